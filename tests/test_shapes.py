"""Queries that differ only in an equality argument: which they are, and how they are read."""

from __future__ import annotations

import datetime
import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q, QuerySet, Window
from django.db.models.functions import RowNumber
from django.test import override_settings

from bindserver import Binding
from bindserver.dependencies import Recorder
from bindserver.live import State
from bindserver.pace import Pacer
from bindserver.queries import Form, OverBudget, Query
from bindserver.registry import registry
from bindserver.shapes import NotDealt, Slots, shape_of
from bindserver.wishes import Caller, ReadWish, SnapshotWish
from tests.app.bindings import CatalogueBinding, FragileSerializer, PartBinding, TaggedInBinding
from tests.app.models import Category, Note, Product, Restaurant, Tag
from tests.support.turning import Follower, Turning
from tests.test_rendering import Sample

FIXTURES = {
    "sqlite": "database",
    "postgresql": "postgresql_database",
    "mysql": "on_maria",
}


@pytest.fixture(autouse=True)
def forget_bindings() -> Iterator[None]:
    known = registry.all()
    yield
    for binding in registry.all():
        if binding not in known:
            registry.remove(binding)


@pytest.fixture(params=sorted(FIXTURES))
def each_database(request: pytest.FixtureRequest) -> str:
    """A database of each kind, with a change log, as this process's own."""
    request.getfixturevalue(FIXTURES[request.param])
    return str(request.param)


def part(**params: Any) -> PartBinding:
    return PartBinding(params=params)


def add(pk: int, category: int | None = None, **values: Any) -> Product:
    return Product.objects.create(
        pk=pk, **{"name": f"product {pk}", "category_id": category, **values}
    )


@pytest.fixture
def shop(each_database: str) -> Iterator[Turning]:
    """Three categories with two products each, and turns to take."""
    for number in (1, 2, 3):
        Category.objects.create(pk=number, name=f"category {number}")
        add(number * 10, number)
        add(number * 10 + 1, number, active=False)
    with Turning() as turning:
        yield turning


@pytest.fixture
def sqlite_shop(database: Path) -> Iterator[Turning]:
    """Turns to take on SQLite."""
    with Turning() as turning:
        yield turning


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
            Product.objects.filter(tags=1),
            Product.objects.annotate(twice=F("stock") * 2).filter(twice=4),
            Product.objects.annotate(n=Count("tags")).filter(n=1),
            Restaurant.objects.filter(name="a"),
            Product.objects.filter(stock=2**70),
        ],
        ids=lambda queryset: str(queryset.query.where),
    )
    def test_other_conditions_are_not(self, queryset: QuerySet[Any]) -> None:
        assert slot_of(queryset) is None

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


def kin(binding: Binding[Any], form: Form = Form.JSON) -> Any:
    return Query(binding, form).kin


class TestKin:
    def test_are_queries_that_differ_in_their_slots_alone(self) -> None:
        assert kin(part(category=1)) == kin(part(category=2)) != None  # noqa: E711
        assert kin(CatalogueBinding(params={"category": 1, "q": "a"})) == kin(
            CatalogueBinding(params={"category": 2, "q": "a"})
        )
        assert kin(part(category=1), Form.MODELS) == kin(part(category=2), Form.MODELS) != None  # noqa: E711

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
            assert kin(other) not in (None, kin(one))
        assert kin(one) != kin(one, Form.MODELS)
        assert kin(Fewer(params={"category": 1})) != kin(Other(params={"category": 1}))
        for own in (Personal, Anew):
            assert kin(own(params={"category": 1})) != kin(own(params={"category": 2}))

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
        assert kin(Read()) is None


# Reading.


class TestReading:
    def test_a_value_of_another_kind_is_dealt_to_nobody(self) -> None:
        slots = Slots(("stock",), (int,), frozenset({(1,)}))
        assert slots.find((1,)) == (1,)
        assert slots.find((0,)) is None
        assert slots.find((None,)) is None
        for strange in (True, 1.0, "1"):
            with pytest.raises(NotDealt):
                slots.find((strange,))

    def test_each_slot_s_rows_in_order(self, shop: Turning) -> None:
        for pk in (12, 22):
            add(pk, pk // 10, stock=5)
        query = Query(part(category=1))
        dealt = query.load_together({(1,), (2,), (77,)}, Recorder(), Pacer(10))
        assert {slot: list(rows.fresh) for slot, rows in dealt.items()} == {
            (1,): [12, 10, 11],
            (2,): [22, 20, 21],
            (77,): [],
        }

    def test_no_more_than_the_budget_of_all_slots(self, shop: Turning) -> None:
        query = Query(part(category=1))
        assert query.load_together({(1,), (2,)}, Recorder(), Pacer(10), 4)
        with pytest.raises(OverBudget):
            query.load_together({(1,), (2,)}, Recorder(), Pacer(10), 3)

    def test_more_slots_and_keys_than_one_query_names(self, shop: Turning) -> None:
        query, slots = Query(part(category=1)), {(number,) for number in range(1, 1203)}
        dealt = query.load_together(slots, Recorder(), Pacer(10), 100)
        assert sum(rows.count for rows in dealt.values()) == 6
        read = query.read_together(set(range(1, 1203)), slots, Recorder(), Pacer(10))
        assert sorted(read) == [(1,), (2,), (3,)]
        few = query.read_together(set(range(1, 1203)), {(1,), (3,)}, Recorder(), Pacer(10))
        assert sorted(few) == [(1,), (3,)]

    def test_slots_of_several_columns(self, shop: Turning) -> None:
        Product.objects.filter(active=False).update(stock=4)
        query = Query(InBoth(params={"category": 1, "stock": 4}))
        slots = {(1, 0), (2, 4), (9, 0), (1, 4)}
        for dealt in (
            query.load_together(slots, Recorder(), Pacer(10), 3),
            query.read_together(set(range(100)), slots, Recorder(), Pacer(10)),
            query.read_together({10, 11, 20, 21, 30}, slots, Recorder(), Pacer(10)),
            query.load_together(slots | {(n, n) for n in range(50, 700)}, Recorder(), Pacer(10)),
        ):
            found = {slot: list(rows.fresh) for slot, rows in dealt.items() if rows.fresh}
            assert found == {(1, 0): [10], (2, 4): [21], (1, 4): [11]}

    def test_model_instances_are_dealt_too(self, shop: Turning) -> None:
        dealt = Query(part(category=1), Form.MODELS).load_together(
            {(1,), (2,)}, Recorder(), Pacer(10)
        )
        assert {row.pk for row in dealt[(2,)].instances.values()} == {20, 21}


class InBoth(Binding[Product]):
    """Parts by two arguments."""

    model = Product
    fields = ["id"]
    params = {"category": int, "stock": int}

    def filters(self) -> dict[str, Any]:
        return dict(self.params)


# Turns.


class TestTurns:
    def test_one_changed_row_is_one_query_for_all_views(self, shop: Turning) -> None:
        followers = [shop.follow(part(category=number)) for number in range(1, 41)]
        shop.turn()
        assert len(shop.statements) == 1
        assert [f.told() for f in followers] == [["sync"]] * 40
        Product.objects.filter(pk=10).update(stock=7)
        shop.turn()
        assert len(shop.statements) == 1
        assert [f.told() for f in followers] == [["update"], *[[]] * 39]
        assert followers[0].column("stock") == [7, 0]

    def test_a_row_that_moves_leaves_one_and_comes_to_another_in_one_state(
        self, shop: Turning
    ) -> None:
        first, second, third = (shop.follow(part(category=n)) for n in (1, 2, 3))
        shop.turn()
        for follower in (first, second, third):
            follower.told()
        Product.objects.filter(pk=10).update(category=2)
        shop.turn()
        assert (first.told(), second.told(), third.told()) == (["delete"], ["create"], [])
        assert (first.column("id"), second.column("id")) == ([11], [10, 20, 21])
        Product.objects.filter(pk=10).update(category=None)
        shop.turn()
        assert (first.told(), second.told(), third.told()) == ([], ["delete"], [])
        Product.objects.filter(pk__in=[20, 30]).delete()
        add(40, 3)
        shop.turn()
        assert (first.told(), second.told(), third.told()) == ([], ["delete"], ["batch"])
        assert len(shop.statements) == 1
        assert (second.column("id"), third.column("id")) == ([21], [31, 40])

    def test_truth_values_are_no_slots_and_right_all_the_same(self, shop: Turning) -> None:
        on, off = shop.follow(part(active=True)), shop.follow(part(active=False))
        both = [shop.follow(part(active=True, category=n)) for n in (1, 2)]
        shop.turn()
        assert len(shop.statements) == 3
        assert (on.column("id"), off.column("id")) == ([10, 20, 30], [11, 21, 31])
        Product.objects.filter(pk=20).update(active=False)
        shop.turn()
        assert (on.column("id"), off.column("id")) == ([10, 30], [11, 20, 21, 31])
        assert [f.column("id") for f in both] == [[10], []]

    def test_texts_are_the_database_s_to_compare(self, shop: Turning) -> None:
        add(1, name="word"), add(2, name="WORD"), add(3, name="word ")
        low, high = shop.follow(part(name="word")), shop.follow(part(name="WORD"))
        shop.turn()
        assert len(shop.statements) == 2
        before = [low.column("id"), high.column("id")]
        mixed = connections["default"].vendor == "mysql"
        assert before == ([[1, 2, 3]] * 2 if mixed else [[1], [2]])
        Product.objects.filter(pk__lte=3).update(stock=1)
        shop.turn()
        assert [low.column("id"), high.column("id")] == before
        assert low.column("stock") == [1] * len(before[0])

    def test_views_that_stand_at_different_positions_come_to_one(self, shop: Turning) -> None:
        first = shop.follow(part(category=1))
        shop.turn()
        Product.objects.filter(pk=20).update(stock=3)
        second = shop.follow(part(category=2))
        shop.turn()
        Product.objects.filter(pk__in=[10, 20]).update(stock=4)
        shop.turn()
        assert len(shop.statements) == 1
        assert (first.column("stock"), second.column("stock")) == ([4, 0], [4, 0])

    def test_what_many_to_many_rows_touch_is_read_together(self, shop: Turning) -> None:
        first, second = (shop.follow(TaggedInBinding(params={"category": n})) for n in (1, 2))
        shop.turn()
        tag = Tag.objects.create(name="new")
        Product.objects.get(pk=20).tags.add(tag)
        shop.turn()
        assert (first.column("tags"), second.column("tags")) == ([[], []], [["new"], []])
        Tag.objects.update(name="old")
        shop.turn()
        assert second.column("tags") == [["old"], []]
        assert len(shop.statements) == 2  # the rows, and the tags of all

    def test_a_table_that_is_found_late_is_watched_at_once(self, shop: Turning) -> None:
        followers = [shop.follow(TaggedInBinding(params={"category": n})) for n in (8, 9)]
        shop.turn()
        shop.forget_table("app_product_tags")
        Category.objects.create(pk=9, name="filled")
        add(90, 9)
        assert shop.take_one()
        assert followers[1].column("id") == [90]
        assert not shop.take_one()

    def test_a_joined_row_reaches_views_by_one_question(self, shop: Turning) -> None:
        followers = [
            shop.follow(CatalogueBinding(params={"category": number})) for number in range(1, 21)
        ]
        texts = [shop.follow(CatalogueBinding(params={"q": text})) for text in ("a", "product")]
        shop.turn()
        Category.objects.filter(pk=2).update(name="other")
        shop.turn()
        assert followers[1].column("category_name") == ["other"] * 2
        assert followers[0].column("category_name") == ["category 1"] * 2
        assert texts[1].column("category_name").count("other") == 2
        questions = [sql for sql in shop.statements if "category_name" not in sql]
        reached = [sql for sql in shop.statements if "name" not in sql.split("FROM")[0]]
        assert len(questions) == len(shop.statements)
        assert len([sql for sql in reached if "ORDER BY" not in sql]) == 1

    def test_python_s_own_views_are_read_together(self, shop: Turning) -> None:
        wishes = [ReadWish(instance=part(category=number)) for number in (1, 2, 3)]
        for wish in wishes:
            shop.ask(wish)
        shop.turn()
        assert len(shop.statements) == 1
        rows = [wish.answer.result(0) for wish in wishes]
        assert [[row.pk for row in some] for some in rows] == [[10, 11], [20, 21], [30, 31]]

    def test_two_views_of_one_slot_do_not_share_what_they_remember(self, shop: Turning) -> None:
        class Noted(PartBinding):
            event = "noted"
            params = {**PartBinding.params, "note": int}

            def filters(self) -> dict[str, Any]:
                return {"category": self.params["category"]}

        both = [shop.follow(Noted(params={"category": 1, "note": n})) for n in (1, 2)]
        shop.turn()
        assert len(shop.statements) == 1
        for write in ({"stock": 1}, {"category": 2}, {"category": 1}):
            Product.objects.filter(pk=10).update(**write)
            shop.turn()
            one, other = shop.views()
            assert one.keys == other.keys
            assert one.keys is not other.keys
            assert both[0].replica.rows == both[1].replica.rows


class Fragile(Binding[Product]):
    """Parts with a serializer that may raise."""

    model = Product
    serializer_class = FragileSerializer
    params = {"category": int}

    def filters(self) -> dict[str, Any]:
        return {"category": self.params["category"]}


@pytest.mark.usefixtures("quiet")
class TestFailures:
    @pytest.fixture
    def quiet(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.CRITICAL, "bindserver")

    def follow(self, shop: Turning) -> list[Follower]:
        followers = [shop.follow(Fragile(params={"category": n})) for n in (1, 2, 3)]
        shop.turn()
        for follower in followers:
            assert follower.told() == ["sync"]
        return followers

    def test_a_row_that_cannot_be_rendered_harms_its_view_alone(self, shop: Turning) -> None:
        first, second, third = self.follow(shop)
        Product.objects.filter(pk=20).update(name="broken")
        Product.objects.filter(pk=30).update(name="fine")
        shop.turn()
        assert (first.told(), second.told(), third.told()) == ([], ["stale"], ["update"])
        Product.objects.filter(pk=10).update(name="good")
        shop.turn()
        assert (first.told(), second.told(), third.told()) == (["update"], [], [])
        assert len(shop.statements) == 1
        Product.objects.filter(pk=20).update(name="mended")
        for live in shop.views():
            live.retry_at = 0.0
        shop.turn()
        assert (first.told(), second.told(), third.told()) == ([], ["update"], [])

    def test_at_the_first_load_too(self, shop: Turning) -> None:
        Product.objects.filter(pk=20).update(name="broken")
        followers = [shop.follow(Fragile(params={"category": n})) for n in (1, 2, 3)]
        shop.turn()
        assert [f.told() for f in followers] == [["sync"], ["stale"], ["sync"]]

    def test_and_in_the_loader(self, shop: Turning) -> None:
        Product.objects.filter(pk=20).update(name="broken")
        with override_settings(BINDSERVER={"SYNC_ROWS": 1}):
            followers = [shop.follow(Fragile(params={"category": n})) for n in (1, 2, 3)]
            shop.turn()
        assert [f.told() for f in followers] == [["sync"], ["stale"], ["sync"]]

    def test_a_row_that_nobody_follows_is_not_rendered(self, shop: Turning) -> None:
        followers = self.follow(shop)
        Category.objects.create(pk=9, name="unfollowed")
        add(90, 9, name="broken")
        Product.objects.filter(pk=10).update(name="good")
        shop.turn()
        assert [f.told() for f in followers] == [["update"], [], []]
        assert len(shop.statements) == 1

    def test_one_that_is_tried_again_does_not_fail_those_that_are_new(self, shop: Turning) -> None:
        self.follow(shop)
        Product.objects.filter(pk=20).update(name="broken")
        shop.turn()
        for live in shop.views():
            live.retry_at = 0.0
        late = [shop.follow(Fragile(params={"category": n})) for n in (8, 9)]
        shop.turn()
        assert len(shop.statements) == 2
        assert [f.told() for f in late] == [["sync"], ["sync"]]

    def test_a_view_that_outgrows_its_limit_ends_alone(self, shop: Turning) -> None:
        class Few(Fragile):
            max_rows = 2

        add(32, 3)
        followers = [shop.follow(Few(params={"category": n})) for n in (1, 2, 3)]
        shop.turn()
        assert [f.ended for f in followers] == [False, False, True]
        add(12, 1)
        shop.turn()
        assert [f.ended for f in followers] == [True, False, True]


class TestLoads:
    def test_what_is_too_much_for_a_turn_is_loaded_together_elsewhere(self, shop: Turning) -> None:
        with override_settings(BINDSERVER={"SYNC_ROWS": 3}):
            followers = [shop.follow(part(category=number)) for number in range(1, 11)]
            shop.turn()
            assert len(shop.statements) == 1  # that which found it too much
            assert [f.column("id") for f in followers[:4]] == [[10, 11], [20, 21], [30, 31], []]
            Product.objects.update(stock=F("id"))
            shop.turn()
        assert [f.column("stock") for f in followers[:3]] == [[11, 10], [21, 20], [31, 30]]
        assert all(live.state is State.READY for live in shop.views())

    def test_http_s_own_wishes_are_served_by_the_same_read(self, shop: Turning) -> None:
        wishes = [
            SnapshotWish(binding=PartBinding, caller=Caller(), params={"category": n})
            for n in (1, 2)
        ]
        for wish in wishes:
            shop.ask(wish)
        shop.turn()
        assert len(shop.statements) == 1
        assert [list(wish.answer.result(0).rows) for wish in wishes] == [[10, 11], [20, 21]]


class Stocked(Binding[Product]):
    """Parts by a whole number."""

    model = Product
    fields = ["id", "name"]
    params = {"stock": int}

    def filters(self) -> dict[str, Any]:
        return {"stock": self.params["stock"]}


def test_what_sqlite_holds_in_a_column_of_another_kind_is_read_by_itself(
    sqlite_shop: Turning,
) -> None:
    add(1, stock=1), add(2, stock=2)
    views = [sqlite_shop.follow(Stocked(params={"stock": n})) for n in (1, 2)]
    sqlite_shop.turn()
    with connections["default"].cursor() as cursor:
        cursor.execute("UPDATE app_product SET stock = 1.5 WHERE id = 2")
    Product.objects.filter(pk=1).update(name="other")
    sqlite_shop.turn()
    assert [f.column("name") for f in views] == [["other"], []]
    assert len(sqlite_shop.statements) == 3  # together, and then each


def test_an_argument_that_no_column_holds_harms_nobody_else(sqlite_shop: Turning) -> None:
    add(1, stock=7)
    views = [sqlite_shop.follow(Stocked(params={"stock": n})) for n in (7, 2**40, 2**70)]
    sqlite_shop.turn()
    assert [f.column("id") for f in views] == [[1], [], []]
