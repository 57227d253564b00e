"""Who asks the same of a database shares a view, whatever its driver makes of the arguments."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import F, Prefetch, Q
from django.db.models.functions import Length
from rest_framework import serializers

from bindserver import Binding
from bindserver.database.pacing import Pacer
from bindserver.queries import reading
from bindserver.queries.dependencies import Recorder
from bindserver.queries.query import Query
from tests.app.models import Category, Product, Tag
from tests.unit.queries.test_rendering import Sample

TYPED: dict[str, Any] = {
    "integer": 3,
    "big": 2**40,
    "small": 5,
    "truth": True,
    "text": "a",
    "chars": "b",
    "number": 1,
    "decimal": Decimal("1.5"),
    "real": 1.5,
    "date": datetime.date(2026, 2, 3),
    "time": datetime.time(4, 5),
    "moment": datetime.datetime(2026, 2, 3, 4, 5, tzinfo=datetime.UTC),
    "span": datetime.timedelta(hours=1),
    "uid": uuid.UUID(int=7),
    "data": {"a": [1, None]},
    "address": "127.0.0.1",
    "blob": b"bytes",
    "category": 3,
    "word": "a",
}
CONDITIONS: dict[str, Any] = {
    **{f"{name} is": {name: value} for name, value in TYPED.items()},
    **{f"{name} is not": ~Q(**{name: value}) for name, value in TYPED.items()},
    **{
        f"{name} is at least": {f"{name}__gte": TYPED[name]}
        for name in ("integer", "big", "small", "decimal", "real", "date", "time", "moment", "span")
    },
    **{
        f"{name} is among": {f"{name}__in": [TYPED[name]]}
        for name in ("integer", "text", "uid", "decimal", "date")
    },
    "a year": {"date__year": 2026},
    "a sum": Q(integer__gt=F("big") + 2),
    "a length": Q(text__gt=Length("chars") + 1),
}


@pytest.mark.parametrize("condition", CONDITIONS.values(), ids=CONDITIONS.keys())
def test_a_condition_on_a_column_of_each_type(each_database: str, condition: Any) -> None:
    class Sampled(Binding[Sample]):
        model = Sample
        fields = ["id"]

        def get_q(self) -> Q:
            return condition if isinstance(condition, Q) else Q(**condition)

    one, other = Query(Sampled()), Query(Sampled())
    assert one.unshared == ()
    assert one.identity == other.identity


class WithProducts(serializers.ModelSerializer[Any]):
    products = serializers.SerializerMethodField()

    class Meta:
        model = Category
        fields = ["id", "products"]

    def get_products(self, category: Category) -> list[Any]:
        return [[tag.pk for tag in each.tags.all()] for each in category.product_set.all()]


TAGS = Prefetch("tags", Tag.objects.order_by("pk"))
PRODUCTS = Prefetch("product_set", Product.objects.order_by("pk").prefetch_related(TAGS))


@pytest.mark.parametrize(
    "lookup",
    [PRODUCTS, Prefetch("product_set", Product.objects.order_by("pk"))],
    ids=["deep", "flat"],
)
def test_a_class_s_prefetch_is_the_same_for_all_who_ask_after_it_was_read(
    each_database: str, lookup: Any
) -> None:
    """Django leaves a hint in the queryset that a `Prefetch` names: the first row read by it."""
    body = {"event": "nested", "serializer_class": WithProducts}
    body |= {"queryset": Category.objects.prefetch_related(lookup), "ordering": ["id"]}
    binding = type("Nested", (Binding,), body)
    category = Category.objects.create(name="c")
    product = Product.objects.create(name="p", category=category)
    product.tags.add(Tag.objects.create(name="t"))
    first = Query(binding())
    for _ in range(2):
        reading.load(first, Recorder(), Pacer(10))
        again = Query(binding())
        assert (again.identity, again.fingerprint) == (first.identity, first.fingerprint)
        assert again.unshared == ()
    assert lookup.queryset._hints == {}
