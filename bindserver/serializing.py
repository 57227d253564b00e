"""What a binding's serializer is, and what it is given as its context: anything but a request."""

from __future__ import annotations

import sys
from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from types import FrameType
from typing import Any, NoReturn, Self

from rest_framework import serializers

from bindserver.binding import SAY, UNSAID, Binding, is_sent, says_fields
from bindserver.exceptions import BindingError

REQUEST_KEYS = frozenset({"format", "request", "view"})
"""What DRF's views put into a serializer's context, and a binding has none of."""

ASKED_NAMES = {*REQUEST_KEYS, None}
LOOKERS = frozenset({"bindserver", "rest_framework"})
"""Packages whose own code renders rightly whether or not there is a request."""


class NoRequest(dict[str, Any]):
    """A serializer context that says why there is no request in it, however it is asked.

    Code that would hide a field "if there is a request" must not take silence for an answer. DRF's
    own fields, which merely look, are told that there is none. Whoever says `request` in the
    context has answered for the request, the view and the format.
    """

    def __init__(self, context: Mapping[str, Any] | None = None) -> None:
        super().__init__(context or {})
        self._given = frozenset(dict.keys(self))  # an answer that is taken out was one
        self._refused: list[BindingError] = []  # copies share it

    def _look(self, name: object) -> None:
        """Note that a name is asked for, or any (None).

        Raises:
            BindingError: it may be the request's, and nobody has answered for that.
        """
        if name not in ASKED_NAMES or self._answers(name):
            return
        if not self._merely_looks(sys._getframe(2)):
            self._refuse("request" if name is None else str(name))

    def _refuse(self, name: str) -> NoReturn:
        problem = self._refusal(name)
        self._refused.append(problem)
        raise problem

    def insist(self) -> None:
        """Raise what code that caught it went on without: it took the refusal for an answer.

        Raises:
            BindingError: the request has been asked for, and nobody has answered for that.
        """
        if self._refused:
            raise self._refused[0]

    def _answers(self, name: object) -> bool:
        """Tell whether somebody has said what is to be said of a name, or of all (None)."""
        return "request" in self._given or dict.__contains__(self, name)

    def _merely_looks(self, caller: FrameType) -> bool:
        """Tell whether who asks renders rightly without an answer."""
        return str(caller.f_globals.get("__name__")).partition(".")[0] in LOOKERS

    def _refusal(self, name: str) -> BindingError:
        return BindingError(
            f"A binding's serializer has no {name}: one view serves many subscribers. "
            "Hand what it needs to it in Binding.get_serializer_context(); or say `request = None` "
            "in the binding, if the serializer renders rightly without one."
        )

    def __missing__(self, name: str) -> Any:
        if name in ASKED_NAMES and not self._answers(name):
            self._refuse(name)
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        self._look(name)
        return super().__contains__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value, as a dict does."""
        self._look(name)
        return super().get(name, default)

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Return a value, and put it there first where it is missing, as a dict does."""
        self._look(name)
        return super().setdefault(name, default)

    def pop(self, name: str, *default: Any) -> Any:
        """Return a value and take it away, as a dict does."""
        self._look(name)
        return super().pop(name, *default)

    # Of all that is there, the request would be a part; and a copy would not say why it is not.

    def __len__(self) -> int:
        self._look(None)
        return super().__len__()

    def __iter__(self) -> Iterator[str]:
        self._look(None)
        return super().__iter__()

    def __reversed__(self) -> Iterator[str]:
        self._look(None)
        return super().__reversed__()

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        """Return the names, as a dict does."""
        self._look(None)
        return super().keys()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """Return the values, as a dict does."""
        self._look(None)
        return super().values()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """Return names and values, as a dict does."""
        self._look(None)
        return super().items()

    def copy(self) -> dict[str, Any]:
        """Return a copy, as a dict does."""
        self._look(None)
        return super().copy()

    def __copy__(self) -> Self:
        """Return a copy that says the same of what is not in it."""
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self))
        dict.update(twin, dict.items(self))
        return twin

    def popitem(self) -> tuple[str, Any]:
        """Return some name and value and take them away, as a dict does."""
        self._look(None)
        return super().popitem()

    def __eq__(self, other: object) -> bool:
        self._look(None)
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        self._look(None)
        return super().__ne__(other)

    __hash__ = None

    def __or__(self, other: Any) -> Any:
        self._look(None)
        return super().__or__(other)

    def __ror__(self, other: Any) -> Any:
        self._look(None)
        return super().__ror__(other)


def context_of(binding: Binding[Any]) -> dict[str, Any]:
    """Return a binding's serializer context, with the answer of one that says `request = None`."""
    context = binding.get_serializer_context()
    if isinstance(context, NoRequest) or getattr(type(binding), "request", True) is not None:
        return context
    return {**dict.fromkeys(REQUEST_KEYS), **context}


def serializer_of(binding: Binding[Any]) -> type[serializers.BaseSerializer[Any]]:
    """Return a binding's serializer.

    Raises:
        BindingError: the rows are sent to others, and nobody has said which fields.
    """
    serializer_class = binding.get_serializer_class()
    if is_sent(binding) and not says_fields(serializer_class):
        raise BindingError(f"{UNSAID.format(type(binding).__name__)} {SAY}")
    return serializer_class
