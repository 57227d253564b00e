"""Which bindings there are: every subclass of `Binding`, and those published by their event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings

from bindserver.bindings.binding import Binding, alias_of, model_of
from bindserver.exceptions import BindingError, UnknownEvent, Unsound

BindingClass = type[Binding[Any]]


class Registry:
    """The bindings of this process, in the order of their declaration.

    Attributes:
        judge: raises `Unsound` for a binding that must not be served; the app sets it.
    """

    judge: Callable[[BindingClass], None]

    def __init__(self) -> None:
        self._classes: list[BindingClass] = []
        self.judge = _nobody

    def add(self, binding: BindingClass) -> None:
        """Remember a binding; one declared again under its own name and event (a reload) replaces
        the old. One function may make several of one name."""
        name = _name_of(binding)
        self._classes = [known for known in self._classes if _name_of(known) != name]
        self._classes.append(binding)

    def remove(self, binding: BindingClass) -> None:
        """Forget a binding, as tests do with theirs."""
        self._classes.remove(binding)

    def all(self) -> list[BindingClass]:
        """Return every binding that names a model or a queryset, and every published one."""
        return [
            binding
            for binding in self._classes
            if binding.event is not None
            or binding.model is not None
            or binding.queryset is not None
        ]

    def aliases(self) -> list[str]:
        """Return the aliases of the databases that bindings are on, sorted."""
        return sorted({alias_of(binding) for binding in self.all()})

    def published(self) -> list[BindingClass]:
        """Return the bindings with an event."""
        return [binding for binding in self._classes if binding.event is not None]

    def has(self, event: str) -> bool:
        """Return whether a binding has the event."""
        return any(binding.event == event for binding in self._classes)

    def served(self) -> list[BindingClass]:
        """Return the bindings with an event that may be served."""
        return [binding for binding in self.published() if self.is_sound(binding)]

    def is_sound(self, binding: BindingClass) -> bool:
        """Return whether a binding may be served; why not is logged."""
        try:
            self.judge(binding)
        except Unsound:
            return False
        return True

    def find(self, event: str) -> BindingClass:
        """Return the binding of an event, whether or not it may be served.

        Raises:
            UnknownEvent: there is none.
        """
        for binding in self._classes:
            if binding.event == event:
                return binding
        known = [str(binding.event) for binding in self.published()]
        raise UnknownEvent(event, known, debug=settings.DEBUG)

    def get(self, event: str) -> BindingClass:
        """Return the binding that is served under an event.

        Raises:
            UnknownEvent: there is none.
            Unsound: it must not be served.
        """
        binding = self.find(event)
        self.judge(binding)
        return binding


def _nobody(binding: BindingClass) -> None:
    raise BindingError('Add "bindserver" to INSTALLED_APPS.')


def tables_named(binding: BindingClass) -> set[str]:
    """Return the tables of a binding's model and its parents; none where it names no model."""
    if binding.model is None and binding.queryset is None:
        return set()  # which a check tells
    model = model_of(binding)
    return {m._meta.db_table for m in (model, *model._meta.all_parents)}


def _name_of(binding: BindingClass) -> tuple[str, str, object]:
    return binding.__module__, binding.__qualname__, binding.event


registry = Registry()
Binding._subclassed.append(registry.add)
