"""The plans of queries, each made once for all queries of its shape."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from django.db.models import QuerySet

from bindserver.bindings.binding import Binding, alias_of
from bindserver.bindings.columns import has_dicts
from bindserver.bindings.refreshing import refresh_of
from bindserver.queries.compiler import located
from bindserver.queries.declared import DeclaredPlans, declared_of, says_by_filters
from bindserver.queries.depends_on import tables_behind
from bindserver.queries.identity import IdentityEncoder, digest
from bindserver.queries.plan import Plan, most_of
from bindserver.queries.prepared import adds_nothing
from bindserver.queries.rows import Form
from bindserver.queries.slots import Slot
from bindserver.queries.trees import Constant, tree_of
from bindserver.queries.windows import cut_of
from bindserver.user_code import Surroundings

KEPT = 500
"""So many plans are kept, those that were asked for last."""


class Known(NamedTuple):
    """A plan that is kept.

    Attributes:
        plan: the plan.
        places: which constants of a tree make the slot.
        queryset: what the tree is of, kept since that tells fields and classes by where they are.
    """

    plan: Plan
    places: tuple[int, ...]
    queryset: QuerySet[Any]


class Plans:
    """Finds the plan of a query, by its tree. One thread alone may use it.

    Constants that make a slot may be others; all else must be the same, to the type. What there is
    no tree of gets a plan of its own each time.
    """

    def __init__(self) -> None:
        self._places: OrderedDict[Hashable, tuple[int, ...]] = OrderedDict()
        self._known: OrderedDict[Hashable, Known] = OrderedDict()
        self._declared = DeclaredPlans(KEPT)
        self._around: Surroundings | None = None
        self._around_told: str | None = None

    def plan_of(self, binding: Binding[Any], form: Form) -> tuple[Plan, Slot]:
        """Return how a binding's rows are read, and in which slot they are.

        It asks the binding for its queryset, which may read the database.

        Raises:
            BindingError: they cannot be read.
            InvalidParams: the params are for other rows than there can be.
        """
        filters = binding.conditions("filters") if says_by_filters(binding) else None
        declared = None if filters is None else declared_of(binding, filters)
        said = None if declared is None else self._said(binding, form)
        if declared is None or said is None:
            return self._by_tree(binding, form, filters)[:2]
        found = self._declared.find(said, declared)
        if found is not None:
            return found
        plan, slot, is_kept = self._by_tree(binding, form, filters)
        if is_kept:

            def make(others: Mapping[str, Any]) -> Plan:
                alias = alias_of(binding)
                return Plan(binding, form, located(binding, alias, others), alias)

            self._declared.prove(said, declared, (plan, slot), make)
        return plan, slot

    def _by_tree(
        self, binding: Binding[Any], form: Form, filters: Mapping[str, Any] | None
    ) -> tuple[Plan, Slot, bool]:
        """Return the plan and the slot as the queryset's tree tells them, and whether the plan is
        kept.

        Args:
            binding: the binding.
            form: what its rows are read as.
            filters: what its `filters` say, if they have been asked already.
        """
        alias = alias_of(binding)
        queryset = located(binding, alias, filters)
        said = None if has_dicts(queryset) else self._said(binding, form)
        tree = None if said is None else tree_of(queryset, binding.ordering)
        if tree is None:
            plan = Plan(binding, form, queryset, alias)
            return plan, plan.slot, False
        structure: Hashable = (said, tree.structure)
        if (known := self._find(structure, tree.constants)) is not None:
            slot = tuple([tree.constants[at].value for at in known.places])
            return known.plan, slot, True
        plan = Plan(binding, form, queryset, alias)
        is_kept = self._keep(plan, queryset, structure, tree.constants)
        return plan, plan.slot, is_kept

    def _said(self, binding: Binding[Any], form: Form) -> Hashable | None:
        """Return what a binding says of its rows beside its queryset; None where class and context
        do not say all of it."""
        if not binding.is_plain() or binding.aggregate is not None:
            return None
        around = self._told_around(Surroundings.now())
        if around is None:
            return None
        most = most_of(binding)
        return (
            type(binding),
            form,
            most,
            cut_of(binding, most),
            refresh_of(binding),
            tables_behind(binding),
            around,
        )

    def _told_around(self, around: Surroundings) -> str | None:
        """Return what is equal for equal surroundings; None where that cannot be told."""
        # Zones may be equal to Python that are called otherwise, in SQL and in what is rendered.
        before = self._around
        if before is None or around != before or around.zone is not before.zone:
            encoder = IdentityEncoder()
            told = digest(encoder.encode(list(around)))
            self._around, self._around_told = around, None if encoder.unshared else told
        return self._around_told

    def _find(self, structure: Hashable, constants: Sequence[Constant]) -> Known | None:
        places = self._places.get(structure)
        if places is None:
            return None
        self._places.move_to_end(structure)
        told = _fixed(constants, places)
        key = (structure, places, told)
        known = None if told is None else self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
        return known

    def _keep(
        self,
        plan: Plan,
        queryset: QuerySet[Any],
        structure: Hashable,
        constants: Sequence[Constant],
    ) -> bool:
        """Keep a plan, if it may be another query's too; return whether it may."""
        if not plan.is_own or plan.unshared:
            return False
        places = _places_of(plan, constants)
        told = None if places is None else _fixed(constants, places)
        if places is None or told is None:
            return False
        plan.statements.is_kept = adds_nothing(type(queryset))
        self._places[structure] = places
        self._known[structure, places, told] = Known(plan, places, queryset)
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        if len(self._places) > KEPT:
            self._places.popitem(last=False)
        return True


def _places_of(plan: Plan, constants: Sequence[Constant]) -> tuple[int, ...] | None:
    """Return which constants make a plan's slot; None where that cannot be told."""
    conditions = [] if plan.shape is None else plan.shape.conditions
    places: list[int] = []
    for condition in conditions:
        found = [at for at, one in enumerate(constants) if one.condition is condition]
        if len(found) != 1:
            return None
        places += found
    return tuple(places)


def _fixed(constants: Sequence[Constant], places: Sequence[int]) -> str | None:
    """Return what is equal for equal constants but those of the slot; None where that cannot be
    told."""
    fixed = [one.value for at, one in enumerate(constants) if at not in places]
    if not fixed:
        return ""
    encoder = IdentityEncoder()
    told = digest(encoder.encode(fixed))
    return None if encoder.unshared else told
