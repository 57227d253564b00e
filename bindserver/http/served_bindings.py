"""Which binding a viewset serves, and what its rows are."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar, Protocol

from django.db.models import Model, QuerySet
from rest_framework.serializers import BaseSerializer

from bindserver.bindings.binding import Binding, declared_columns
from bindserver.bindings.model_serializers import says_fields


class NamesBinding(Protocol):
    """A viewset that names a binding, or a model."""

    binding: ClassVar[type[Binding[Any]] | Binding[Any] | None]
    model: ClassVar[type[Model] | None]


def binding_class(viewset: type[NamesBinding]) -> type[Binding[Any]]:
    """Return the class of bindings that a viewset serves; one is made for a bare model."""
    if viewset.binding is None:
        assert viewset.model is not None, (
            f"{viewset.__name__} needs `binding = YourBinding` or `model = YourModel`."
        )
        return _class_for_model(viewset.model)
    if isinstance(viewset.binding, type):
        return viewset.binding
    if viewset.binding.is_plain():
        return type(viewset.binding)
    return _class_like(viewset.binding)


def _class_like(binding: Binding[Any]) -> type[Binding[Any]]:
    """Return a class that declares what an instance does; made once, and not published."""
    if id(binding) not in _classes:
        declared = binding.own_attributes()
        name = f"{type(binding).__name__}{len(_classes)}"
        body = {**declared, "event": None, "__module__": __name__, "__qualname__": name}
        _classes[id(binding)] = (binding, type(name, (type(binding),), body))
    return _classes[id(binding)][1]


_classes: dict[int, tuple[Binding[Any], type[Binding[Any]]]] = {}
"""Each instance that a viewset names, by its identity, and the class that is like it."""


@lru_cache(maxsize=256)
def _class_for_model(model: type[Model]) -> type[Binding[Any]]:
    name = f"{model.__name__}Rows"
    return type(name, (Binding,), {"__module__": model.__module__, "model": model})


def serializer_of(binding: Binding[Any]) -> type[BaseSerializer[Any]]:
    """Return a binding's own serializer.

    Raises:
        AssertionError: nobody has said which fields are to be served.
    """
    found = binding.get_serializer_class()
    if not says_fields(found):
        raise AssertionError(  # raised, since `python -O` leaves asserts out
            f"Name a `serializer_class` in the viewset, or in {type(binding).__name__} one or its "
            "`fields`."
        )
    return found


def has_columns(binding: type[Binding[Any]]) -> bool:
    """Return whether a binding's class says that its rows are no instances of a model."""
    return binding.aggregate is not None or declared_columns(binding) is not None


def queryset_for_routes(model: type[Model]) -> QuerySet[Any]:
    """Return the queryset by which routers name a viewset's routes."""
    try:
        return model._default_manager.all()
    except Exception:  # a manager may answer in a request's surroundings alone, and none is here
        return QuerySet(model).none()
