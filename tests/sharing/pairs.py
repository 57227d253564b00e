"""Pairs of contexts that differ in one place at most: who shares a view is sent the same.

`python -m tests.sharing --pairs 100000 --seed 1` tries as many.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bindserver import Binding
from bindserver.bindings.columns import has_dicts
from bindserver.bindings.serializers import NoRequest
from bindserver.cycle.inbox import Caller
from bindserver.queries.compiler import queryset_of
from bindserver.queries.plans import Plans
from bindserver.queries.query import Query
from tests.app.models import Category, Product, Tag
from tests.sharing.places import PLACES, Place, Sample, shown
from tests.sharing.shapes import fill_shapes
from tests.sharing.together import wrongly_dealt


@dataclass
class Tally:
    """What pairs came to, by place.

    Attributes:
        shared: pairs whose views were one, and rightly so.
        together: pairs whose views were two, and were read together.
        apart: pairs whose views were two.
        wrong: what was shared, and is not the same.
        split: what is the same and known, and was not shared.
    """

    shared: Counter[str] = field(default_factory=Counter)
    together: Counter[str] = field(default_factory=Counter)
    apart: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    split: list[str] = field(default_factory=list)


def fill() -> None:
    """Write rows that every place shows."""
    category = Category.objects.create(pk=1, name="c")
    tags = [Tag.objects.create(name=name) for name in ("0", "1", "2", "00")]
    for number in range(4):
        product = Product.objects.create(
            pk=1 + number, name=f"p{number}", stock=number, price=number, category=category
        )
        product.tags.set(tags)
    fill_shapes(tags)


def rendered(binding: Binding[Any]) -> str:
    """Return a binding's rows as DRF renders them for a request of their own."""
    queryset = queryset_of(binding)
    if binding.aggregate is not None:
        return json.dumps(queryset.aggregate(**binding.aggregate), default=str)
    if has_dicts(queryset) and binding.serializer_class is None:
        return json.dumps(list(queryset), default=str)
    context = NoRequest(binding.get_serializer_context())
    serializer = binding.get_serializer_class()(list(queryset), many=True, context=context)
    return json.dumps(serializer.data, default=str)


def compare(pairs: int, seed: int, *, until_wrong: bool = False) -> Tally:
    """Compare pairs of contexts.

    Args:
        pairs: how many.
        seed: of the choices.
        until_wrong: whether to end at the first pair that is wrongly shared.
    """
    choose, tally, plans = random.Random(seed), Tally(), Plans()
    for _ in range(pairs):
        place = choose.choice(PLACES)
        one, other = place.pair(choose)
        _compare(place, one, other, plans, tally)
        if until_wrong and tally.wrong:
            break
    return tally


def _named(query: Query) -> tuple[object, ...]:
    return query.identity, query.fingerprint, query.batch_key, query.slot


def _compare(place: Place, one: Sample, other: Sample, plans: Plans, tally: Tally) -> None:
    values = one.value(), other.value()  # both live while they are compared
    bindings = [place.bind(value) for value in values]
    queries = [Query(binding, plans=plans) for binding in bindings]
    said = f"{place.name}: {shown(values[0])} and {shown(values[1])}"
    if _named(queries[1]) != _named(alone := Query(bindings[1])) and not alone.unshared:
        tally.wrong.append(f"another by a known plan: {shown(values[1])} after {shown(values[0])}")
    if queries[0].identity == queries[1].identity:
        tally.shared[place.name] += 1
        if rendered(bindings[0]) != rendered(bindings[1]):
            tally.wrong.append(f"one view for {said}")
    else:
        tally.apart[place.name] += 1
        if one == other and one.known:
            tally.split.append(f"two views for {said}")
        if queries[0].batch_key is not None and queries[0].batch_key == queries[1].batch_key:
            tally.together[place.name] += 1
            tally.wrong += [f"read together: {said}: {wrong}" for wrong in wrongly_dealt(queries)]
        if queries[0].fingerprint == queries[1].fingerprint:
            tally.wrong.append(f"one cursor for {said}")
    for kind in ("user", "auth"):
        first, second = (Caller(**{kind: value}).identity() for value in values)
        if first == second and shown(values[0]) != shown(values[1]):
            tally.wrong.append(f"one {kind} for {said}")
