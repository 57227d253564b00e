"""A serializer as DRF makes it for a list of rows: `serializer_class(queryset, many=True).child`.

Rows are rendered one by one, and some are rendered again without the others. So what looks at the
whole list, or makes something else of it, cannot be served.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from django.db.models import Model, QuerySet
from rest_framework import serializers

from bindserver.exceptions import BindingError

RENDERING = ("to_representation", "data", "__iter__", "get_attribute")
"""What a list's serializer may not have of its own."""


class _Whole(QuerySet[Any]):
    """Stands for the queryset that DRF hands to a serializer: it is there, and must not be read."""

    def __init__(self, model: type[Model], serializer: str) -> None:
        self.model = model
        self._serializer = serializer

    def __bool__(self) -> bool:
        return True  # as it is, wherever there is a row to render

    def __deepcopy__(self, memo: dict[int, Any]) -> _Whole:
        return self

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise BindingError(
            f"{self._serializer} reads `instance`, the list of all rows; a binding renders each "
            "row by itself. Annotate the queryset with what a row needs to know of the others."
        )


def child_of(
    serializer_class: type[serializers.BaseSerializer[Any]],
    model: type[Model],
    context: Mapping[str, Any],
) -> Any:
    """Return what renders one row of a list, as DRF makes it.

    Raises:
        BindingError: the class makes something of its own of the list.
    """
    whole = _Whole(model, serializer_class.__name__)
    made: Any = serializer_class(instance=whole, many=True, context=context)
    if not renders_singly(type(made)):
        raise BindingError(why_listed(serializer_class))
    return made.child


def renders_singly(kind: type[Any]) -> bool:
    """Return whether a list's serializer makes of rows just the list of what its child makes."""
    own: Any = serializers.ListSerializer
    return issubclass(kind, own) and all(
        getattr(kind, name, None) is getattr(own, name, None) for name in RENDERING
    )


def list_serializer_of(serializer_class: type[serializers.BaseSerializer[Any]]) -> type[Any]:
    """Return the class that a serializer names to render lists of it."""
    meta = getattr(serializer_class, "Meta", None)
    named: type[Any] = getattr(meta, "list_serializer_class", serializers.ListSerializer)
    return named


def why_listed(serializer_class: type[serializers.BaseSerializer[Any]]) -> str:
    """Return the words that a serializer cannot be served, since it makes lists in its own way."""
    return (
        f"{serializer_class.__name__} has a list serializer of its own, "
        f"{list_serializer_of(serializer_class).__name__}, and a binding's rows are rendered "
        "one by one. Filter and order in get_queryset(), or name another serializer_class."
    )
