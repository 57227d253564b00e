"""Bindings for a viewset's serializer, which may need the request that views in memory lack.

What DRF's own fields do is known beforehand. Code of the project's own is watched: its context
notices who asks for the request, and from then on its rows come from the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import FrameType
from typing import Any, ClassVar, Self

from rest_framework import serializers

from bindserver.bindings.binding import Binding
from bindserver.bindings.serializers import REQUEST_KEYS, NoRequest
from bindserver.exceptions import BindingError


class NeedsRequest(BindingError):
    """A serializer has asked for the request, where there is none."""


class Contextless(Binding[Any]):
    """The base of bindings that are made for a viewset's serializer.

    Attributes:
        needs_request: whether the serializer has asked for the request.
    """

    needs_request: ClassVar[bool] = False

    def get_serializer_context(self) -> Any:
        """Return a context that notices who asks for the request."""
        return Watched(type(self), super().get_serializer_context())


class Watched(NoRequest):
    """A serializer's context that notices who asks for the request, DRF's own fields too: with a
    request they would render otherwise."""

    __slots__ = ("_binding",)

    def __init__(self, binding: type[Contextless], context: Mapping[str, Any]) -> None:
        super().__init__(context)
        self._binding = binding

    def holding(self, context: Mapping[str, Any]) -> Self:
        """Return one that holds something else, and says the same of what it does not hold."""
        twin = super().holding(context)
        twin._binding = self._binding
        return twin

    def _answers(self, name: object) -> bool:
        names = REQUEST_KEYS if name is None else {name}
        return all(name in self._given or name in self._held for name in names)

    def _merely_looks(self, name: object, caller: FrameType) -> bool:
        return False

    def _refusal(self, name: str) -> BindingError:
        self._binding.needs_request = True
        return NeedsRequest(f"{self._binding.__name__}: its serializer asks for the {name}")


@lru_cache(maxsize=256)
def binding_for(
    binding: type[Binding[Any]], serializer_class: type[serializers.BaseSerializer[Any]]
) -> type[Contextless]:
    """Return a binding of the same rows for another serializer; it is not published."""
    name = f"{binding.__qualname__}[{serializer_class.__module__}.{serializer_class.__qualname__}]"
    return type(
        f"{binding.__name__}Rows",
        (Contextless, binding),
        {
            "__module__": binding.__module__,
            "__qualname__": name,
            "event": None,
            "fields": None,
            "serializer_class": serializer_class,
            "get_serializer_class": Binding.get_serializer_class,
        },
    )
