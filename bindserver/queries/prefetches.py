"""Which statements a queryset's prefetches will send, and how what these read leads back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.db.models import (
    ForeignKey,
    ForeignObjectRel,
    ManyToManyField,
    Model,
    Prefetch,
    QuerySet,
)
from django.db.models.constants import LOOKUP_SEP

from bindserver.queries.backwards import Chain, Hop
from bindserver.queries.internals import prefetches_of

Levels = Mapping[tuple[str, str], set[Chain]]
"""By table and column, of which a prefetch names values: the chains from there to the model."""


class Step(NamedTuple):
    """One relation that a prefetch follows.

    Attributes:
        model: what it leads to.
        near: the hop from what the statement names values of.
        far: the hops from there on to the model's rows.
    """

    model: type[Model]
    near: Hop
    far: tuple[Hop, ...] = ()


class Reached(NamedTuple):
    """A model that a prefetch has reached, and how its rows lead back."""

    model: type[Model]
    chain: Chain


def levels_of(queryset: QuerySet[Any]) -> Levels:
    """Return by which columns a queryset's prefetches read, at whatever depth.

    Nothing where a manager adds prefetches of its own: then nobody knows whose a statement is.
    """
    found: dict[tuple[str, str], set[Chain]] = {}
    lookups: Any = prefetches_of(queryset)
    return found if _note(queryset.model, (), lookups, found) else {}


def _note(
    model: type[Model],
    chain: Chain,
    lookups: Iterable[str | Prefetch[Any]],
    found: dict[tuple[str, str], set[Chain]],
) -> bool:
    """Note the levels of lookups that begin at a model's rows; return whether these are all."""
    for lookup in lookups:
        given: Any = lookup if isinstance(lookup, Prefetch) else None
        path = lookup if isinstance(lookup, str) else given.prefetch_through
        reached: Reached | None = Reached(model, chain)
        for name in path.split(LOOKUP_SEP):
            reached = _follow(reached, name, found) if reached is not None else None
            if reached is not None and _adds_lookups(reached.model):
                return False
        inner = None if given is None or given.queryset is None else given.queryset
        deeper = () if inner is None else inner._prefetch_related_lookups
        if reached is not None and not _note(reached.model, reached.chain, deeper, found):
            return False
    return True


def _follow(
    reached: Reached, name: str, found: dict[tuple[str, str], set[Chain]]
) -> Reached | None:
    """Note what is read of a relation; return what it leads to, None where that is not known."""
    step = _step(reached.model, name)
    if step is None or step.near.nearer != reached.model._meta.db_table:
        return None
    near = (step.near, *reached.chain)
    found.setdefault((step.near.table, step.near.column), set()).add(near)
    return Reached(step.model, (*step.far, *near))


def _step(model: type[Model], name: str) -> Step | None:
    fields: Any = model._meta.get_fields(include_hidden=True)
    field = next((f for f in fields if _attribute(f) == name), None)
    if field is None or not field.is_relation:
        return None
    if field.many_to_many:
        return _through(field)
    if isinstance(field, ForeignKey):
        return Step(field.related_model, _hop(field.target_field, field))
    key = getattr(field, "field", None)
    if isinstance(field, ForeignObjectRel) and isinstance(key, ForeignKey):
        return Step(field.related_model, _hop(key, key.target_field))
    return None


def _attribute(field: Any) -> str | None:
    """Return by which attribute a relation is followed."""
    if field.auto_created and not field.concrete:
        accessor: str | None = field.get_accessor_name()
        return accessor
    return str(field.name)


def _through(field: Any) -> Step | None:
    """Return the step over a many-to-many relation, from either side; None over one of another
    library's making, as django-taggit's is, which reads its tables in its own way."""
    forward = not field.auto_created
    declared: Any = field if forward else field.field
    if not isinstance(declared, ManyToManyField):
        return None
    names = [declared.m2m_field_name(), declared.m2m_reverse_field_name()]
    through: Any = declared.remote_field.through
    here, there = (through._meta.get_field(n) for n in (names if forward else names[::-1]))
    return Step(
        field.related_model, _hop(here, here.target_field), (_hop(there.target_field, there),)
    )


def _hop(field: Any, nearer: Any) -> Hop:
    tables = [str(one.model._meta.db_table) for one in (field, nearer)]
    return Hop(tables[0], str(field.column), tables[1], str(nearer.column))


def _adds_lookups(model: type[Model]) -> bool:
    """Return whether a manager's querysets prefetch something of their own."""
    managers: Any = (model._default_manager, model._base_manager)
    return any(manager.get_queryset()._prefetch_related_lookups for manager in managers)
