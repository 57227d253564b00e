"""Queries that differ only in an equality argument: which they are, and how they are read."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q, QuerySet, Window
from django.db.models.functions import RowNumber
from rest_framework import serializers

from bindserver import Binding
from bindserver.database.pacing import Pacer
from bindserver.queries import reading
from bindserver.queries.dependencies import Recorder
from bindserver.queries.query import Query
from bindserver.queries.rows import Form, OverBudget, Rows
from bindserver.queries.shapes import shape_of
from bindserver.queries.slots import NotBySlot, Slots
from tests.app.bindings import CatalogueBinding, PartBinding
from tests.app.models import Category, Membership, Note, Product, Restaurant, Tag
from tests.support.turning import Turning, add, part
from tests.unit.queries.test_rendering import Sample

# What has a shape.


def slot_of(queryset: QuerySet[Any]) -> tuple[tuple[str, ...], tuple[Any, ...]] | None:
    """Return the columns and values of a query's slot."""
    found = shape_of(queryset, "default")
    return None if found is None else (found[0].columns, found[1])


class TestShape:
    def test_equality_with_a_constant_is_taken_out(self) -> None:
        products = Product.objects
        assert slot_of(products.filter(category=3)) == (("category_id",), (3,))
        assert slot_of(products.filter(category__pk=3)) == (("category_id",), (3,))
        assert slot_of(products.filter(category=Category(pk=3))) == (("category_id",), (3,))
        assert slot_of(products.filter(pk=3)) == (("id",), (3,))
        assert slot_of(products.filter(stock="3", active=True)) == (("stock",), (3,))
        assert slot_of(products.filter(Q(stock=1) & Q(active=False, category=2))) == (
            ("category_id", "stock"),
            (2, 1),
        )

    @pytest.mark.parametrize(
        "queryset",
        [
            Product.objects.all(),
            Product.objects.filter(category=None),
            Product.objects.filter(active=True),
            Product.objects.exclude(category=3),
            Product.objects.filter(~Q(category=3)),
            Product.objects.filter(Q(category=3) | Q(stock=1)),
            Product.objects.filter(category__in=[3]),
            Product.objects.filter(stock=F("category")),
            Product.objects.filter(category__name="a"),
            Product.objects.filter(tags__in=[1]),
            Product.objects.annotate(n=Count("tags")).filter(tags=1),
            Product.objects.annotate(twice=F("stock") * 2).filter(twice=4),
            Product.objects.annotate(n=Count("tags")).filter(n=1),
            Restaurant.objects.filter(name="a"),
            Product.objects.filter(stock=2**70),
        ],
        ids=lambda queryset: str(queryset.query.where),
    )
    def test_other_conditions_are_not(self, queryset: QuerySet[Any]) -> None:
        assert slot_of(queryset) is None

    def test_so_is_one_with_a_column_of_a_joined_table(self) -> None:
        products = Product.objects
        assert slot_of(products.filter(tags=1)) == (("bindserver_slot_0",), (1,))
        assert slot_of(products.filter(category__membership__user=User(pk=7), stock=3)) == (
            ("bindserver_slot_0", "stock"),
            (7, 3),
        )
        one_of_two = slot_of(products.filter(tags=1).filter(tags=2))
        assert one_of_two is not None
        assert len(one_of_two[1]) == 1

    def test_but_not_for_python_whose_instances_would_bear_it(self) -> None:
        assert shape_of(Product.objects.filter(tags=1), "default", joined=False) is None

    def test_no_text_no_decimal_no_truth_and_no_moment(self, each_database: str) -> None:
        assert slot_of(Product.objects.filter(name="a")) is None
        assert slot_of(Product.objects.filter(sku="a")) is None
        assert slot_of(Product.objects.filter(price=1)) is None
        assert slot_of(Note.objects.filter(slug="a")) is None
        moment = datetime.datetime.now(datetime.UTC)
        assert slot_of(User.objects.filter(last_login=moment)) is None

    def test_dates_and_uuids_where_the_database_has_types_for_them(
        self, each_database: str
    ) -> None:
        key, day = uuid.uuid4(), datetime.date(2026, 2, 3)
        dated, keyed = (
            slot_of(Sample.objects.filter(**{name: value}))
            for name, value in (("date", day), ("uid", key))
        )
        assert dated == (None if each_database == "sqlite" else (("date",), (day,)))
        assert keyed == ((("uid",), (key,)) if each_database == "postgresql" else None)

    @pytest.mark.parametrize(
        "queryset",
        [
            Product.objects.only("name"),
            Product.objects.defer("name"),
            Product.objects.values("id"),
            Product.objects.extra(select={"stock": "price"}),
            Product.objects.values("stock").annotate(n=Count("id")),
            Product.objects.prefetch_related(Prefetch("tags", Tag.objects.filter(name="a"))),
            Category(pk=3).product_set.all(),
        ],
        ids=[
            "only",
            "defer",
            "values",
            "extra",
            "groups",
            "a prefetch's own queryset",
            "a related manager",
        ],
    )
    def test_querysets_that_are_more_than_their_sql_have_none(
        self, queryset: QuerySet[Any]
    ) -> None:
        assert slot_of(queryset.filter(stock=1)) is None

    def test_the_rest_of_the_query_stays(self) -> None:
        tagged = Exists(Product.tags.through.objects.filter(product=OuterRef("pk")))
        rest = Product.objects.annotate(tagged=tagged, n=Count("tags")).filter(
            ~Q(stock=4), category__name="a", n__gt=0
        )
        found = shape_of(rest.filter(stock=3), "default")
        assert found is not None
        assert str(found[0].queryset.query) == str(rest.query)

    def test_the_queryset_itself_is_left_alone(self) -> None:
        queryset = Product.objects.filter(Q(stock=3) | Q(stock=4), Q(stock=3) & Q(active=True))
        before = str(queryset.query)
        assert shape_of(queryset, "default") is not None
        assert str(queryset.query) == before


def batch_key(binding: Binding[Any], form: Form = Form.JSON) -> Any:
    return Query(binding, form).batch_key


class TestBatchKeys:
    def test_are_queries_that_differ_in_their_slots_alone(self) -> None:
        one, other = (batch_key(part(category=number)) for number in (1, 2))
        assert one is not None
        assert one == other
        assert batch_key(CatalogueBinding(params={"category": 1, "q": "a"})) == batch_key(
            CatalogueBinding(params={"category": 2, "q": "a"})
        )
        one, other = (batch_key(part(category=n), Form.MODELS) for n in (1, 2))
        assert one == other
        assert one is not None

    def test_are_not_queries_that_differ_in_anything_else(self) -> None:
        class Other(PartBinding):
            event = "other"

        class Fewer(PartBinding):
            event = "fewer"
            max_rows = 7

        class Personal(PartBinding):
            event = "personal"

            def get_serializer_context(self) -> dict[str, Any]:
                return {"category": self.params["category"]}

        class Anew(PartBinding):
            event = "anew"

            def get_serializer_class(self) -> Any:
                return type("Row", (super().get_serializer_class(),), {})

        one = part(category=1)
        for other in (
            part(category=1, active=True),
            part(category=1, name="a"),
            Other(params={"category": 2}),
        ):
            assert batch_key(other) not in (None, batch_key(one))
        assert batch_key(one) != batch_key(one, Form.MODELS)
        assert batch_key(Fewer(params={"category": 1})) != batch_key(Other(params={"category": 1}))
        for own in (Personal, Anew):
            assert batch_key(own(params={"category": 1})) != batch_key(own(params={"category": 2}))

    @pytest.mark.parametrize(
        "queryset",
        [
            Product.objects.filter(stock=1)[:5],
            Product.objects.filter(stock=1).union(Product.objects.filter(stock=2)),
            Product.objects.annotate(n=Window(RowNumber())).filter(stock=1),
            Product.objects.filter(stock=1, pk__in=[]),
        ],
        ids=["slice", "union", "window", "nothing"],
    )
    def test_what_is_read_whole_or_not_at_all_has_none(self, queryset: QuerySet[Any]) -> None:
        class Read(Binding[Product]):
            fields = ["id"]

        Read.queryset = queryset
        assert batch_key(Read()) is None


# Reading.


class TestReading:
    def test_a_value_of_another_kind_is_dealt_to_nobody(self) -> None:
        slots = Slots(("stock",), (int,), frozenset({(1,)}))
        assert slots.find((1,)) == ((1,),)
        assert not slots.find((0,))
        assert not slots.find((None,))
        for strange in (True, 1.0, "1"):
            with pytest.raises(NotBySlot):
                slots.find((strange,))

    def test_each_slot_s_rows_in_order(self, turning: Turning) -> None:
        for pk in (12, 22):
            add(pk, pk // 10, stock=5)
        query = Query(part(category=1))
        dealt = reading.load_together(query, {(1,), (2,), (77,)}, Recorder(), Pacer(10))
        assert {slot: list(rows.fresh) for slot, rows in dealt.items()} == {
            (1,): [12, 10, 11],
            (2,): [22, 20, 21],
            (77,): [],
        }

    def test_no_more_than_the_budget_of_all_slots(self, turning: Turning) -> None:
        query = Query(part(category=1))
        assert reading.load_together(query, {(1,), (2,)}, Recorder(), Pacer(10), 4)
        with pytest.raises(OverBudget):
            reading.load_together(query, {(1,), (2,)}, Recorder(), Pacer(10), 3)

    def test_more_slots_and_keys_than_one_query_names(self, turning: Turning) -> None:
        query, slots = Query(part(category=1)), {(number,) for number in range(1, 1203)}
        dealt = reading.load_together(query, slots, Recorder(), Pacer(10), 100)
        assert sum(rows.count for rows in dealt.values()) == 6
        read = reading.read_together(query, set(range(1, 1203)), slots, Recorder(), Pacer(10))
        assert sorted(read) == [(1,), (2,), (3,)]
        few = reading.read_together(query, set(range(1, 1203)), {(1,), (3,)}, Recorder(), Pacer(10))
        assert sorted(few) == [(1,), (3,)]

    def test_slots_of_several_columns(self, turning: Turning) -> None:
        Product.objects.filter(active=False).update(stock=4)
        query = Query(InBoth(params={"category": 1, "stock": 4}))
        slots = {(1, 0), (2, 4), (9, 0), (1, 4)}
        for dealt in (
            reading.load_together(query, slots, Recorder(), Pacer(10), 3),
            reading.read_together(query, set(range(100)), slots, Recorder(), Pacer(10)),
            reading.read_together(query, {10, 11, 20, 21, 30}, slots, Recorder(), Pacer(10)),
            reading.load_together(
                query, slots | {(n, n) for n in range(50, 700)}, Recorder(), Pacer(10)
            ),
        ):
            found = {slot: list(rows.fresh) for slot, rows in dealt.items() if rows.fresh}
            assert found == {(1, 0): [10], (2, 4): [21], (1, 4): [11]}

    def test_model_instances_are_dealt_too(self, turning: Turning) -> None:
        dealt = reading.load_together(
            Query(part(category=1), Form.MODELS), {(1,), (2,)}, Recorder(), Pacer(10)
        )
        assert {row.pk for row in dealt[(2,)].instances.values()} == {20, 21}


class InBoth(Binding[Product]):
    """Parts by two arguments."""

    model = Product
    fields = ["id"]
    params = {"category": int, "stock": int}

    def filters(self) -> dict[str, Any]:
        return dict(self.params)


# Slots on joined tables.


class Named(serializers.ModelSerializer[Product]):
    """Reads what is joined, and what is prefetched; shows what instances bear."""

    labels = serializers.SerializerMethodField()
    borne = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = ["id", "name", "labels", "borne"]

    def get_labels(self, product: Product) -> list[str]:
        return sorted(tag.name for tag in product.tags.all())

    def get_borne(self, product: Product) -> list[str]:
        return sorted(vars(product))


def joined(queryset: Callable[[int], QuerySet[Any]], **declared: Any) -> type[Binding[Any]]:
    def get_queryset(self: Binding[Any]) -> QuerySet[Any]:
        return queryset(self.params["of"])

    body = {
        "model": queryset(1).model,
        "fields": ["id"],
        **declared,
        "params": {"of": int},
        "get_queryset": get_queryset,
    }
    return type("Joined", (Binding,), body)


JOINED = {
    "a many-to-many": joined(lambda n: Product.objects.filter(tags=n)),
    "distinct": joined(lambda n: Product.objects.filter(tags=n, stock__lt=3).distinct()),
    "through the other side": joined(lambda n: Category.objects.filter(membership__user=n)),
    "over two joins": joined(lambda n: Product.objects.filter(category__membership__user=n)),
    "beside an own column": joined(
        lambda n: Product.objects.filter(category__membership__user=n, stock=1)
    ),
    "in another order": joined(
        lambda n: Product.objects.filter(tags=n).order_by("category__name", "-name")
    ),
    "as instances": joined(
        lambda n: Product.objects.filter(tags=n).prefetch_related("tags"),
        serializer_class=Named,
        fields=None,
    ),
    "two of one": joined(lambda n: Product.objects.filter(tags=n).filter(tags=2)),
    "a subquery": joined(
        lambda n: Product.objects.filter(category__in=Category.objects.filter(membership__user=n))
    ),
    "a subquery of keys": joined(
        lambda n: Product.objects.filter(
            category_id__in=Membership.objects.filter(user=n).values("category_id"), stock__gte=1
        )
    ),
    "a subquery beside an own column": joined(
        lambda n: Product.objects.filter(
            stock=n, pk__in=Product.tags.through.objects.filter(tag=n).values("product_id")
        ).order_by("-name")
    ),
    "a subquery, as instances": joined(
        lambda n: Product.objects.filter(
            pk__in=Product.objects.filter(tags=n, stock__lt=4)
        ).prefetch_related("tags"),
        serializer_class=Named,
        fields=None,
    ),
    "a subquery among others": joined(
        lambda n: Product.objects.filter(
            Q(pk__in=Product.objects.filter(tags=n)) & ~Q(pk__in=Product.objects.filter(tags=1))
        )
    ),
    "with an excluded one": joined(lambda n: Product.objects.filter(tags=n).exclude(tags=2)),
}


@pytest.fixture
def tangled(turning: Turning) -> Turning:
    """Products, tags and memberships of all sorts, some of them twice."""
    draw = Random(5)
    tags = [Tag.objects.create(pk=number, name=f"tag {number}") for number in range(1, 6)]
    users = [User.objects.create(pk=number, username=f"user {number}") for number in range(1, 6)]
    for number in range(4, 8):
        Category.objects.create(pk=number, name=f"category {draw.randint(1, 3)}")
    for number in range(100, 130):
        product = add(number, draw.choice([None, 1, 2, 3, 4, 5]), stock=draw.randint(0, 4))
        product.tags.set(draw.sample(tags, draw.randint(0, 4)))
    for _ in range(12):
        category = draw.randint(1, 7)
        Membership.objects.create(user=draw.choice(users), category_id=category)
    return turning


@pytest.mark.parametrize("binding", JOINED.values(), ids=JOINED.keys())
def test_rows_are_dealt_by_what_they_are_joined_to_as_each_slot_reads_its_own(
    tangled: Turning, binding: type[Binding[Any]]
) -> None:
    queries = [Query(binding(params={"of": number})) for number in range(1, 7)]
    assert len({query.batch_key for query in queries}) == 1
    assert queries[0].batch_key is not None
    slots = {query.slot for query in queries}
    every = set(queries[0].model._default_manager.values_list("pk", flat=True))
    some = Random(1).sample(sorted(every), 3)
    whole = reading.load_together(queries[0], slots, Recorder(), Pacer(10))
    by_key = reading.read_together(queries[0], every, slots, Recorder(), Pacer(10))
    few = reading.read_together(queries[0], some, slots, Recorder(), Pacer(10))
    read = 0
    for query in queries:
        own = reading.load(query, Recorder(), Pacer(10))
        read += len(own.fresh)
        assert [*whole[query.slot].fresh.items()] == [*own.fresh.items()]
        nothing = Rows()
        assert by_key.get(query.slot, nothing).fresh == own.fresh
        assert few.get(query.slot, nothing).fresh == {
            key: row for key, row in own.fresh.items() if key in some
        }
    assert read


@pytest.mark.parametrize("name", ["over two joins", "a subquery"])
def test_views_by_membership_are_moved_in_as_many_questions_as_one(
    tangled: Turning, name: str
) -> None:
    binding = JOINED[name]
    followers = [tangled.follow(binding(params={"of": number})) for number in range(1, 6)]
    tangled.turn()

    def expected(number: int) -> list[int]:
        rows = Product.objects.filter(category__membership__user=number).order_by("pk")
        return list(dict.fromkeys(rows.values_list("pk", flat=True)))

    asked = []
    for change in (
        lambda: Product.objects.filter(pk=101).update(category=1),
        lambda: Product.objects.filter(pk=101).update(category=2),
        lambda: Product.objects.filter(pk=102).update(category=None),
        lambda: Product.objects.filter(pk=103).delete(),
        lambda: add(131, 3),
    ):
        change()
        tangled.turn()
        asked.append(len(tangled.statements))
        for number, follower in enumerate(followers, start=1):
            assert follower.column("id") == expected(number)
    assert max(asked) <= 3
    Membership.objects.filter(user=1).delete()
    Membership.objects.create(user_id=1, category_id=3)
    tangled.turn()
    assert [f.column("id") for f in followers] == [expected(number) for number in range(1, 6)]
