"""Views of one shape move together, in one query, and each comes to its own rows."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from typing import Any

import pytest
from django.db import connections
from django.db.models import F, QuerySet
from django.test import override_settings

from bindserver import Binding
from bindserver.cycle.failures import LOCKED_SECONDS
from bindserver.cycle.inbox import Caller, ReadRequest, SessionRequest, SnapshotRequest
from bindserver.cycle.live_view import ViewState
from bindserver.cycle.load_messages import Loaded, Wanted
from bindserver.engine.cursor import load
from bindserver.engine.effects import Ask
from bindserver.engine.protocol import Subscribe
from tests.app.bindings import (
    CatalogueBinding,
    FragileSerializer,
    PartBinding,
    ProductBinding,
    TagBinding,
    TaggedInBinding,
    WordBinding,
)
from tests.app.models import Category, Product, Tag, Word
from tests.support.turning import Follower, Turning, add, part


class TestTurns:
    def test_one_changed_row_is_one_query_for_all_views(self, turning: Turning) -> None:
        followers = [turning.follow(part(category=number)) for number in range(1, 41)]
        turning.turn()
        assert len(turning.statements) == 1
        assert [f.told() for f in followers] == [["sync"]] * 40
        Product.objects.filter(pk=10).update(stock=7)
        turning.turn()
        assert len(turning.statements) == 1
        assert [f.told() for f in followers] == [["update"], *[[]] * 39]
        assert followers[0].column("stock") == [7, 0]

    def test_a_row_that_moves_leaves_one_and_comes_to_another_in_one_state(
        self, turning: Turning
    ) -> None:
        first, second, third = (turning.follow(part(category=n)) for n in (1, 2, 3))
        turning.turn()
        for follower in (first, second, third):
            follower.told()
        Product.objects.filter(pk=10).update(category=2)
        turning.turn()
        assert (first.told(), second.told(), third.told()) == (["delete"], ["create"], [])
        assert (first.column("id"), second.column("id")) == ([11], [10, 20, 21])
        Product.objects.filter(pk=10).update(category=None)
        turning.turn()
        assert (first.told(), second.told(), third.told()) == ([], ["delete"], [])
        Product.objects.filter(pk__in=[20, 30]).delete()
        add(40, 3)
        turning.turn()
        assert (first.told(), second.told(), third.told()) == ([], ["delete"], ["batch"])
        assert len(turning.statements) == 1
        assert (second.column("id"), third.column("id")) == ([21], [31, 40])

    def test_whoever_comes_to_a_view_that_stayed_as_it_was_gets_its_present_cursor(
        self, turning: Turning
    ) -> None:
        before = [turning.follow(part(category=number)) for number in (1, 2)]
        turning.turn()
        Product.objects.filter(pk=20).update(stock=5)
        turning.turn()
        late = turning.follow(part(category=1))
        turning.turn()
        assert late.replica.rows == before[0].replica.rows
        known = load(late.replica.cursor, b"secret")
        assert known is not None
        assert known.position == turning.views()[0].position

    def test_truth_values_are_no_slots_and_right_all_the_same(self, turning: Turning) -> None:
        on, off = turning.follow(part(active=True)), turning.follow(part(active=False))
        both = [turning.follow(part(active=True, category=n)) for n in (1, 2)]
        turning.turn()
        assert len(turning.statements) == 3
        assert (on.column("id"), off.column("id")) == ([10, 20, 30], [11, 21, 31])
        Product.objects.filter(pk=20).update(active=False)
        turning.turn()
        assert (on.column("id"), off.column("id")) == ([10, 30], [11, 20, 21, 31])
        assert [f.column("id") for f in both] == [[10], []]

    def test_texts_are_the_database_s_to_compare(self, turning: Turning) -> None:
        add(1, name="word"), add(2, name="WORD"), add(3, name="word ")
        low, high = turning.follow(part(name="word")), turning.follow(part(name="WORD"))
        turning.turn()
        assert len(turning.statements) == 2
        before = [low.column("id"), high.column("id")]
        mixed = connections["default"].vendor == "mysql"
        assert before == ([[1, 2, 3]] * 2 if mixed else [[1], [2]])
        Product.objects.filter(pk__lte=3).update(stock=1)
        turning.turn()
        assert [low.column("id"), high.column("id")] == before
        assert low.column("stock") == [1] * len(before[0])

    def test_views_that_stand_at_different_positions_come_to_one(self, turning: Turning) -> None:
        first = turning.follow(part(category=1))
        turning.turn()
        Product.objects.filter(pk=20).update(stock=3)
        second = turning.follow(part(category=2))
        turning.turn()
        Product.objects.filter(pk__in=[10, 20]).update(stock=4)
        turning.turn()
        assert len(turning.statements) == 1
        assert (first.column("stock"), second.column("stock")) == ([4, 0], [4, 0])

    def test_what_many_to_many_rows_touch_is_read_together(self, turning: Turning) -> None:
        first, second = (turning.follow(TaggedInBinding(params={"category": n})) for n in (1, 2))
        turning.turn()
        tag = Tag.objects.create(name="new")
        Product.objects.get(pk=20).tags.add(tag)
        turning.turn()
        assert (first.column("tags"), second.column("tags")) == ([[], []], [["new"], []])
        Tag.objects.update(name="old")
        turning.turn()
        assert second.column("tags") == [["old"], []]
        assert len(turning.statements) == 3  # which rows they are, these, and the tags of all

    def test_a_table_that_is_found_late_is_watched_at_once(self, turning: Turning) -> None:
        followers = [turning.follow(TaggedInBinding(params={"category": n})) for n in (8, 9)]
        turning.turn()
        turning.forget_table("app_product_tags")
        Category.objects.create(pk=9, name="filled")
        add(90, 9)
        assert turning.take_one()
        assert followers[1].column("id") == [90]
        assert not turning.take_one()

    def test_a_joined_row_reaches_views_by_one_question(self, turning: Turning) -> None:
        followers = [
            turning.follow(CatalogueBinding(params={"category": number})) for number in range(1, 21)
        ]
        texts = [turning.follow(CatalogueBinding(params={"q": text})) for text in ("a", "product")]
        turning.turn()
        Category.objects.filter(pk=2).update(name="other")
        turning.turn()
        assert followers[1].column("category_name") == ["other"] * 2
        assert followers[0].column("category_name") == ["category 1"] * 2
        assert texts[1].column("category_name").count("other") == 2
        questions = [sql for sql in turning.statements if "category_name" not in sql]
        reached = [sql for sql in turning.statements if "name" not in sql.split("FROM")[0]]
        assert len(questions) == len(turning.statements)
        assert len([sql for sql in reached if "ORDER BY" not in sql]) == 1

    def test_a_snapshot_is_not_held_for_all_that_there_is_to_read(self, turning: Turning) -> None:
        Tag.objects.create(name="old"), Word.objects.create(text="one")
        products = turning.follow(part())
        tags, words = turning.follow(TagBinding()), turning.follow(WordBinding(), "text")
        turning.turn()
        for follower in (products, tags, words):
            follower.told()
        Tag.objects.update(name="new"), Word.objects.update(count=7)
        with override_settings(BINDSERVER={"QUERY_SECONDS": 0}):
            for number, moved in enumerate((products, tags, words), start=1):
                Product.objects.filter(pk=10).update(stock=number)
                assert turning.take_one()
                assert moved.told() == ["update"]
        turning.turn()
        assert products.column("stock")[0] == 3

    def test_nor_for_all_who_wish_something(self, turning: Turning) -> None:
        followers = [turning.follow(part(category=number)) for number in (1, 2, 3)]
        with override_settings(BINDSERVER={"QUERY_SECONDS": 0}):
            for number in (1, 2, 3):
                assert turning.take_one() is (number < 3)
                assert [f.told() for f in followers].count(["sync"]) == 1
        assert [f.column("id") for f in followers] == [[10, 11], [20, 21], [30, 31]]

    def test_nor_to_ask_again_who_may_see_what(self, turning: Turning) -> None:
        followers = [Follower() for _ in range(3)]
        for number, follower in enumerate(followers, start=1):
            message = Subscribe(event="shaky", params={"category": number})
            turning.ask(SessionRequest(follower, Caller(), Ask(number=1, message=message)))
        turning.turn()
        Tag.objects.create(name="closed")
        Product.objects.update(name="for nobody's eyes any more")
        for follower in followers:
            follower.told()
        with override_settings(BINDSERVER={"QUERY_SECONDS": 0}):
            for number in (1, 2, 3):
                turning.take_one()
                assert [follower.ended for follower in followers].count(True) == number
        assert [follower.told() for follower in followers] == [[], [], []]

    def test_python_s_own_views_are_read_together(self, turning: Turning) -> None:
        requests = [ReadRequest(instance=part(category=number)) for number in (1, 2, 3)]
        for request in requests:
            turning.ask(request)
        turning.turn()
        assert len(turning.statements) == 1
        rows = [request.answer.result(0) for request in requests]
        assert [[row.pk for row in some] for some in rows] == [[10, 11], [20, 21], [30, 31]]

    def test_two_views_of_one_slot_do_not_share_what_they_remember(self, turning: Turning) -> None:
        class Noted(PartBinding):
            event = "noted"
            params = {**PartBinding.params, "note": int}

            def filters(self) -> dict[str, Any]:
                return {"category": self.params["category"]}

        both = [turning.follow(Noted(params={"category": 1, "note": n})) for n in (1, 2)]
        turning.turn()
        assert len(turning.statements) == 1
        for write in ({"stock": 1}, {"category": 2}, {"category": 1}):
            Product.objects.filter(pk=10).update(**write)
            turning.turn()
            one, other = turning.views()
            assert one.rows.keys == other.rows.keys
            assert one.rows.keys is not other.rows.keys
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

    def follow(self, turning: Turning) -> list[Follower]:
        followers = [turning.follow(Fragile(params={"category": n})) for n in (1, 2, 3)]
        turning.turn()
        for follower in followers:
            assert follower.told() == ["sync"]
        return followers

    def test_a_row_that_cannot_be_rendered_harms_its_view_alone(self, turning: Turning) -> None:
        first, second, third = self.follow(turning)
        Product.objects.filter(pk=20).update(name="broken")
        Product.objects.filter(pk=30).update(name="fine")
        turning.turn()
        assert (first.told(), second.told(), third.told()) == ([], ["stale"], ["update"])
        Product.objects.filter(pk=10).update(name="good")
        turning.turn()
        assert (first.told(), second.told(), third.told()) == (["update"], [], [])
        assert len(turning.statements) == 1
        Product.objects.filter(pk=20).update(name="mended")
        for live in turning.views():
            live.retry_at = 0.0
        turning.turn()
        assert (first.told(), second.told(), third.told()) == ([], ["update"], [])

    def test_at_the_first_load_too(self, turning: Turning) -> None:
        Product.objects.filter(pk=20).update(name="broken")
        followers = [turning.follow(Fragile(params={"category": n})) for n in (1, 2, 3)]
        turning.turn()
        assert [f.told() for f in followers] == [["sync"], ["error"], ["sync"]]

    def test_and_in_the_loader(self, turning: Turning) -> None:
        Product.objects.filter(pk=20).update(name="broken")
        with override_settings(BINDSERVER={"SYNC_ROWS": 1}):
            followers = [turning.follow(Fragile(params={"category": n})) for n in (1, 2, 3)]
            turning.turn()
        assert [f.told() for f in followers] == [["sync"], ["error"], ["sync"]]

    def test_a_row_that_nobody_follows_is_not_rendered(self, turning: Turning) -> None:
        followers = self.follow(turning)
        Category.objects.create(pk=9, name="unfollowed")
        add(90, 9, name="broken")
        Product.objects.filter(pk=10).update(name="good")
        turning.turn()
        assert [f.told() for f in followers] == [["update"], [], []]
        assert len(turning.statements) == 1

    def test_one_that_is_tried_again_does_not_fail_those_that_are_new(
        self, turning: Turning
    ) -> None:
        self.follow(turning)
        Product.objects.filter(pk=20).update(name="broken")
        turning.turn()
        for live in turning.views():
            live.retry_at = 0.0
        late = [turning.follow(Fragile(params={"category": n})) for n in (8, 9)]
        turning.turn()
        assert len(turning.statements) == 2
        assert [f.told() for f in late] == [["sync"], ["sync"]]

    def test_a_view_that_outgrows_its_limit_ends_alone(self, turning: Turning) -> None:
        class Few(Fragile):
            max_rows = 2

        add(32, 3)
        followers = [turning.follow(Few(params={"category": n})) for n in (1, 2, 3)]
        turning.turn()
        assert [f.ended for f in followers] == [False, False, True]
        add(12, 1)
        turning.turn()
        assert [f.ended for f in followers] == [True, False, True]


class TestLoads:
    def test_what_is_too_much_for_a_turn_is_loaded_together_elsewhere(
        self, turning: Turning
    ) -> None:
        with override_settings(BINDSERVER={"SYNC_ROWS": 3}):
            followers = [turning.follow(part(category=number)) for number in range(1, 11)]
            turning.turn()
            assert len(turning.statements) == 1  # that which found it too much
            assert [f.column("id") for f in followers[:4]] == [[10, 11], [20, 21], [30, 31], []]
            Product.objects.update(stock=F("id"))
            turning.turn()
        assert [f.column("stock") for f in followers[:3]] == [[11, 10], [21, 20], [31, 30]]
        assert all(live.state is ViewState.READY for live in turning.views())

    def test_http_s_own_wishes_are_served_by_the_same_read(self, turning: Turning) -> None:
        requests = [
            SnapshotRequest(binding=PartBinding, caller=Caller(), params={"category": n})
            for n in (1, 2)
        ]
        for request in requests:
            turning.ask(request)
        turning.turn()
        assert len(turning.statements) == 1
        assert [list(request.answer.result(0).rows) for request in requests] == [[10, 11], [20, 21]]


class Tagged(Binding[Product]):
    """Looks at tags, and may fail over them."""

    model = Product
    fields = ["id", "stock"]
    broken = False

    def get_queryset(self) -> QuerySet[Product]:
        assert not self.broken
        Tag.objects.exists()
        return super().get_queryset()


def test_a_load_that_was_begun_for_an_earlier_need_takes_no_view_back(
    turning: Turning, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[Wanted] = []
    monkeypatch.setattr(turning.loader, "load", wanted.append)
    follower, shown = turning.follow(Tagged()), [0]

    def take(*loaded: Loaded) -> None:
        turning._turn([*turning._requests, *loaded])
        turning._requests.clear()
        shown.extend(follower.column("stock")[:1])

    def load(number: int) -> Loaded:
        (loaded,) = turning.loader._load(wanted[number], turning._connection)
        return loaded

    with override_settings(BINDSERVER={"SYNC_ROWS": 1}):
        take()
        first = load(0)
        monkeypatch.setattr(Tagged, "broken", True)
        Tag.objects.create(name="new")
        take()  # set aside while it is being loaded
        monkeypatch.setattr(Tagged, "broken", False)
        (live,) = turning.views()
        live.retry_at = 0.0
        turning.follow_again(follower, Tagged())
        take()  # and to be loaded once more
        take(first)
        second = load(1)
        Product.objects.filter(pk=10).update(stock=5)
        take()
        Product.objects.update(stock=6)
        take()
        take(second)
    take(load(-1))
    assert shown == sorted(shown)
    assert shown[-1] == 6


class Stocked(Binding[Product]):
    """Parts by a whole number."""

    model = Product
    fields = ["id", "name"]
    params = {"stock": int}

    def filters(self) -> dict[str, Any]:
        return {"stock": self.params["stock"]}


def test_what_sqlite_holds_in_a_column_of_another_kind_is_read_by_itself(
    sqlite_turning: Turning,
) -> None:
    add(1, stock=1), add(2, stock=2)
    views = [sqlite_turning.follow(Stocked(params={"stock": n})) for n in (1, 2)]
    sqlite_turning.turn()
    with connections["default"].cursor() as cursor:
        cursor.execute("UPDATE app_product SET stock = 1.5 WHERE id = 2")
    Product.objects.filter(pk=1).update(name="other")
    sqlite_turning.turn()
    assert [f.column("name") for f in views] == [["other"], []]
    assert len(sqlite_turning.statements) == 3  # together, and then each


def test_an_argument_that_no_column_holds_harms_nobody_else(sqlite_turning: Turning) -> None:
    add(1, stock=7)
    views = [sqlite_turning.follow(Stocked(params={"stock": n})) for n in (7, 2**40, 2**62)]
    sqlite_turning.turn()
    assert [f.column("id") for f in views] == [[1], [], []]


LOCKS = {
    "mysql": "LOCK TABLES app_product WRITE",
    "postgresql": "BEGIN; LOCK TABLE app_product IN ACCESS EXCLUSIVE MODE",
}


@pytest.mark.parametrize("each_database", sorted(LOCKS), indirect=True)
def test_a_view_whose_table_is_locked_is_tried_again_before_long(
    each_database: str, turning: Turning, caplog: pytest.LogCaptureFixture
) -> None:
    products = turning.follow(ProductBinding())
    turning.turn()
    (live,) = turning.views()
    live.failures = 100
    parts = [turning.follow(part(category=number)) for number in (1, 2, 3)]
    turning.turn()
    Product.objects.update(stock=7)
    with closing(connections["default"].copy()) as locker:
        with locker.cursor() as cursor:
            cursor.execute(LOCKS[each_database])
        turning.turn()
    assert len(turning.statements) == 1  # nobody waits for what another has waited for
    assert [each.told()[-1] for each in parts] == ["stale"] * 3
    assert 0 < live.retry_at - time.monotonic() <= LOCKED_SECONDS
    assert "somebody has locked a table" in caplog.text
    assert products.told() == ["sync", "stale"]
    for each in turning.views():
        each.retry_at = 0
    turning.turn()
    assert set(products.column("stock")) == {7}
    assert [set(each.column("stock")) for each in parts] == [{7}] * 3
