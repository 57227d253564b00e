"""What a binding's serializer is, and what it is given as its context: anything but a request."""

from __future__ import annotations

import sys
from collections.abc import (
    ItemsView,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    Sequence,
    ValuesView,
)
from types import FrameType
from typing import Any, NoReturn, Self

from rest_framework import serializers

from bindserver.bindings.binding import SAY, UNSAID, Binding, is_sent
from bindserver.bindings.columns import serializer_for
from bindserver.bindings.model_serializers import says_fields
from bindserver.exceptions import BindingError

REQUEST_KEYS = frozenset({"format", "request", "view"})
"""What DRF's views put into a serializer's context, and a binding has none of."""

ASKED_NAMES = {*REQUEST_KEYS, None}
LOOKERS = frozenset({"rest_framework.fields", "rest_framework.relations"})
"""Modules whose own fields look for a request, and render rightly whether or not there is one."""


class NoRequest(MutableMapping[str, Any]):
    """A serializer context that says why there is no request in it, however it is asked.

    Code that would hide a field "if there is a request" must not take silence for an answer. DRF's
    own fields, which merely look, are told that there is none. Whoever says `request` in the
    context has answered for the request, the view and the format.

    It is no dict: `dict.get(context, "request")`, JSON and whatever else is written in C look into
    a dict past the methods of a class that derives from it, and would find nothing. Where Python
    asks whether it is one, it says so, since code that is handed anything else may go on without.
    """

    __slots__ = ("_given", "_held", "_refused")

    def __init__(self, context: Mapping[str, Any] | None = None) -> None:
        self._held = dict(context or {})
        self._given = frozenset(self._held)  # an answer that is taken out was one
        self._refused: list[BindingError] = []  # copies share it

    @property  # type: ignore[misc]  # which no class is expected to say of itself
    def __class__(self) -> Any:
        return dict

    def handed(self) -> Mapping[str, Any]:
        """Return what a serializer is given: where somebody has answered, what they have said."""
        return self._held if self._answers(None) else self

    def held(self) -> dict[str, Any]:
        """Return all that is in it, to code of our own, which takes it for no answer."""
        return dict(self._held)

    def holding(self, context: Mapping[str, Any]) -> Self:
        """Return one that holds something else, and says the same of what it does not hold."""
        twin = type(self).__new__(type(self))
        twin._held, twin._given, twin._refused = dict(context), self._given, self._refused
        return twin

    def _look(self, name: object) -> None:
        """Note that a name is asked for, or any (None).

        Raises:
            BindingError: it may be the request's, and nobody has answered for that.
        """
        if name not in ASKED_NAMES or self._answers(name):
            return
        if not self._merely_looks(name, sys._getframe(2)):
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
        """Return whether somebody has said what is to be said of a name, or of all (None)."""
        return "request" in self._given or name in self._held

    def _merely_looks(self, name: object, caller: FrameType) -> bool:
        """Return whether who asks renders rightly without an answer: code of DRF's that names what
        it asks for. Where the name is not in it, it calls what it was handed."""
        known = caller.f_globals.get("__name__") in LOOKERS
        return known and name in caller.f_code.co_consts

    def _refusal(self, name: str) -> BindingError:
        return BindingError(
            f"A binding's serializer has no {name}: one view serves many subscribers. "
            "Hand what it needs to it in Binding.get_serializer_context(); or say `request = None` "
            "in the binding, if the serializer renders rightly without one."
        )

    def __getitem__(self, name: str) -> Any:
        if name in ASKED_NAMES and not self._answers(name):
            self._refuse(name)
        return self._held[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._held[name] = value

    def __delitem__(self, name: str) -> None:
        self._look(name)
        del self._held[name]

    def __contains__(self, name: object) -> bool:
        self._look(name)
        return name in self._held

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value, as a dict does."""
        self._look(name)
        return self._held.get(name, default)

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Return a value, and put it there first where it is missing, as a dict does."""
        self._look(name)
        return self._held.setdefault(name, default)

    def pop(self, name: str, *default: Any) -> Any:
        """Return a value and take it away, as a dict does."""
        self._look(name)
        return self._held.pop(name, *default)

    # Of all that is there, the request would be a part; and a copy would not say why it is not.

    def __len__(self) -> int:
        self._look(None)
        return len(self._held)

    def __iter__(self) -> Iterator[str]:
        self._look(None)
        return iter(self._held)

    def __reversed__(self) -> Iterator[str]:
        self._look(None)
        return reversed(self._held)

    def keys(self) -> KeysView[str]:
        """Return the names, as a dict does."""
        self._look(None)
        return self._held.keys()

    def values(self) -> ValuesView[Any]:
        """Return the values, as a dict does."""
        self._look(None)
        return self._held.values()

    def items(self) -> ItemsView[str, Any]:
        """Return names and values, as a dict does."""
        self._look(None)
        return self._held.items()

    def copy(self) -> dict[str, Any]:
        """Return a copy, as a dict does."""
        self._look(None)
        return dict(self._held)

    def __copy__(self) -> Self:
        """Return a copy that says the same of what is not in it."""
        return self.holding(self._held)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Return what a pickle or a deep copy is made of, as a dict does."""
        self._look(None)
        return dict, (self._held,)

    def clear(self) -> None:
        """Take all away, as a dict does."""
        self._look(None)
        self._held.clear()

    def popitem(self) -> tuple[str, Any]:
        """Return some name and value and take them away, as a dict does."""
        self._look(None)
        return self._held.popitem()

    def __eq__(self, other: object) -> bool:
        self._look(None)
        return self._held == other

    def __ne__(self, other: object) -> bool:
        self._look(None)
        return self._held != other

    __hash__ = None  # type: ignore[assignment]  # as a dict's, which nobody can hash

    def __or__(self, other: Any) -> Any:
        self._look(None)
        return self._held | other

    def __ror__(self, other: Any) -> Any:
        self._look(None)
        return other | self._held

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self

    def __repr__(self) -> str:
        return f"NoRequest({self._held!r})"


def without_request(context: Mapping[str, Any]) -> NoRequest:
    """Return a serializer context that says why there is no request in it."""
    return context if isinstance(context, NoRequest) else NoRequest(context)


def held_in(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that is in a serializer context, which may say why there is no request."""
    return context.held() if isinstance(context, NoRequest) else dict(context)


def context_of(binding: Binding[Any]) -> Mapping[str, Any]:
    """Return a binding's serializer context, with the answer of one that says `request = None`."""
    context = binding.get_serializer_context()
    if isinstance(context, NoRequest) or getattr(type(binding), "request", True) is not None:
        return context
    return {**dict.fromkeys(REQUEST_KEYS), **context}


def serializer_of(
    binding: Binding[Any], columns: tuple[Sequence[str], bool] | None = None
) -> type[serializers.BaseSerializer[Any]]:
    """Return a binding's serializer.

    Args:
        binding: the binding.
        columns: the names of the rows' columns, and whether somebody has said them, where rows are
            no model instances.

    Raises:
        BindingError: the rows are sent to others, and nobody has said which fields.
    """
    usual = type(binding).get_serializer_class is Binding.get_serializer_class
    if columns is None or not usual or binding.serializer_class is not None:
        serializer_class = binding.get_serializer_class()
    else:
        names, said = columns
        serializer_class = serializer_for(names, binding.fields, said=said)
    if is_sent(binding) and not says_fields(serializer_class):
        raise BindingError(f"{UNSAID.format(type(binding).__name__)} {SAY}")
    return serializer_class
