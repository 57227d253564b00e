"""`Live`: subscribers in a test, on the test's own connection."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet
from django.test import override_settings
from rest_framework import serializers

from bindserver import Binding
from bindserver.hub.hub import hub
from bindserver.testing import Live, Refused
from tests.app import bindings as app
from tests.app.models import Category, Membership, Product, Tag, Word
from tests.support.logs import logged

pytestmark = pytest.mark.django_db


@pytest.fixture
def live() -> Live:
    return Live()


def names(rows: list[dict[str, Any]]) -> list[Any]:
    return [row["name"] for row in rows]


def test_a_subscriber_is_answered_at_once(live: Live) -> None:
    pen = Product.objects.create(name="pen", price="2.50", stock=3)
    Product.objects.create(name="old", active=False)
    c = live.subscribe(app.ProductBinding)
    assert c.rows == [{"id": pen.pk, "name": "pen", "price": "2.50", "stock": 3, "category": None}]
    assert c.actions == ["sync"]
    assert (c.key, c.event, c.params, c.subscribed) == ("id", "products", {}, True)


def test_the_event_names_the_binding_too(live: Live) -> None:
    assert live.subscribe("products").rows == []


def test_nothing_comes_before_settle(live: Live) -> None:
    c = live.subscribe(app.ProductBinding)
    Product.objects.create(name="pen")
    assert c.rows == []
    assert c.actions == ["sync"]
    live.settle()
    assert names(c.rows) == ["pen"]


def test_settle_sends_the_frames_of_one_committed_state(live: Live) -> None:
    pen = Product.objects.create(name="pen")
    c = live.subscribe(app.ProductBinding)
    c.clear()
    ink = Product.objects.create(name="ink")
    heard = live.settle()
    assert heard == {c: c.frames}
    assert c.changes == [("create", c.get(ink.pk))]
    assert c.frames[0]["after"] == pen.pk
    gone = {("delete", pen.pk), ("delete", ink.pk)}
    pen.delete()
    Product.objects.filter(name="ink").update(active=False)
    c.clear()
    live.settle()
    assert c.actions == ["batch"]
    assert {(action, payload["id"]) for action, payload in c.changes} == gone
    assert c.rows == []


def test_settling_again_sends_nothing(live: Live) -> None:
    c = live.subscribe(app.ProductBinding)
    Product.objects.create(name="pen")
    assert live.settle()
    assert not live.settle()
    assert c.actions == ["sync", "create"]


def test_what_a_change_leaves_as_it_is_sends_nothing(live: Live) -> None:
    pen = Product.objects.create(name="pen")
    live.subscribe(app.CategoryBinding)
    pen.sku = "P-1"
    pen.save()
    assert live.settle() == {}


def test_every_kind_of_write_is_seen(live: Live) -> None:
    c = live.subscribe(app.ProductBinding)
    Product.objects.bulk_create([Product(name="a"), Product(name="b")])
    live.settle()
    Product.objects.filter(name="a").update(name="c")
    live.settle()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_product SET name = 'd' WHERE name = 'b'")
    live.settle()
    assert names(c.rows) == ["c", "d"]
    assert c.actions == ["sync", "batch", "update", "update"]


def test_a_row_of_a_joined_table_counts(live: Live) -> None:
    tools = Category.objects.create(name="tools")
    Product.objects.create(name="saw", category=tools)
    c = live.subscribe(app.CatalogueBinding)
    tools.name = "Tools"
    tools.save()
    live.settle()
    assert c.rows[0]["category_name"] == "Tools"
    assert c.actions == ["sync", "update"]


def test_what_was_rolled_back_is_not_seen(live: Live) -> None:
    c = live.subscribe(app.ProductBinding)
    with transaction.atomic():
        Product.objects.create(name="pen")
        transaction.set_rollback(True)
    assert live.settle() == {}
    assert c.rows == []


def test_settling_changes_nothing_about_the_test_s_transaction(live: Live) -> None:
    c = live.subscribe(app.ProductBinding)
    with transaction.atomic():
        Product.objects.create(name="pen")
        live.settle()
        assert names(c.rows) == ["pen"]
        transaction.set_rollback(True)
    live.settle()
    assert c.rows == []
    assert not Product.objects.exists()
    assert connection.in_atomic_block
    Product.objects.create(name="ink")  # nor is the connection read-only now


def test_rows_stand_in_the_binding_s_order(live: Live) -> None:
    for name, stock in (("a", 1), ("b", 3), ("c", 2)):
        Product.objects.create(name=name, stock=stock)
    c = live.subscribe(app.StockBinding)
    Product.objects.filter(name="a").update(stock=9)
    live.settle()
    assert [row["stock"] for row in c.rows] == [9, 3, 2]


def test_params_are_checked_and_filled_in(live: Live) -> None:
    one, two = Category.objects.create(name="one"), Category.objects.create(name="two")
    Product.objects.create(name="in one", category=one)
    Product.objects.create(name="in two", category=two)
    c = live.subscribe(app.InCategoryBinding, params={"category": str(two.pk)})
    assert names(c.rows) == ["in two"]
    assert c.params == {"category": two.pk}


def test_a_refusal_has_its_code(live: Live) -> None:
    with pytest.raises(Refused, match="category") as caught:
        live.subscribe(app.InCategoryBinding)
    assert caught.value.code == "invalid_params"
    assert live.settle() == {}


def test_each_user_gets_their_own_rows(live: Live) -> None:
    ann, bob = User.objects.create(username="ann"), User.objects.create(username="bob")
    one, two = Category.objects.create(name="one"), Category.objects.create(name="two")
    Membership.objects.create(user=ann, category=one)
    Membership.objects.create(user=bob, category=two)
    Product.objects.create(name="in one", category=one)
    of_ann, of_bob = (live.subscribe(app.MineBinding, user=user) for user in (ann, bob))
    of_none = live.subscribe(app.MineBinding, user=AnonymousUser())
    assert (names(of_ann.rows), of_bob.rows, of_none.rows) == (["in one"], [], [])
    Product.objects.create(name="in two", category=two)
    assert set(live.settle()) == {of_bob}
    Membership.objects.create(user=bob, category=one)
    live.settle()
    assert names(of_bob.rows) == ["in one", "in two"]


def test_a_permission_that_is_taken_away_takes_the_rows(live: Live) -> None:
    ann = User.objects.create(username="ann", is_staff=True)
    Product.objects.create(name="pen")
    c = live.subscribe(app.StaffBinding, user=ann)
    assert names(c.rows) == ["pen"]
    User.objects.update(is_staff=False)
    live.settle()
    assert c.rows == []


def test_a_permission_class_refuses_with_its_code(live: Live) -> None:
    with pytest.raises(Refused) as refused:
        live.subscribe(app.MembersBinding)
    assert refused.value.code == "unauthenticated"
    with pytest.raises(Refused, match="ask for the right") as refused:
        live.subscribe(app.GuardedBinding, user=User.objects.create(username="ann"))
    assert refused.value.code == "forbidden"


def test_a_right_that_is_taken_away_ends_the_subscription(live: Live) -> None:
    ann = User.objects.create(username="ann", is_superuser=True)
    c = live.subscribe(app.GuardedBinding, user=ann)
    User.objects.update(is_superuser=False)
    live.settle()
    assert (c.ended, c.subscribed) == ("revoked", False)


def test_what_is_proved_reaches_the_permission(live: Live) -> None:
    assert live.subscribe(app.ScopedBinding, auth={"scope": "products"}).rows == []
    with pytest.raises(Refused):
        live.subscribe(app.ScopedBinding, auth={"scope": "other"})


def test_what_a_permission_class_raises_is_raised_in_the_test(live: Live) -> None:
    Tag.objects.create(name="broken permission")
    with pytest.raises(RuntimeError, match="a secret of the permission"):
        live.subscribe(app.ShakyBinding)


def test_a_user_who_is_not_saved_is_a_mistake(live: Live) -> None:
    with pytest.raises(ValueError, match="not saved"):
        live.subscribe(app.ProductBinding, user=User(username="nobody"))


def test_subscribing_settles_for_everybody(live: Live) -> None:
    first = live.subscribe(app.ProductBinding)
    Product.objects.create(name="pen")
    second = live.subscribe(app.ProductBinding)
    assert first.rows == second.rows
    assert (first.actions, second.actions) == (["sync", "create"], ["sync"])


def test_unsubscribing_ends_it(live: Live) -> None:
    c = live.subscribe(app.ProductBinding)
    c.unsubscribe()
    Product.objects.create(name="pen")
    assert live.settle() == {}
    assert not c.subscribed
    assert c.ended is None


def test_whoever_comes_back_gets_what_they_missed(live: Live) -> None:
    pen = Product.objects.create(name="pen")
    Product.objects.create(name="ink")
    c = live.subscribe(app.ProductBinding)
    c.unsubscribe()
    c.clear()
    pen.delete()
    Product.objects.create(name="cap")
    c.resume()
    assert c.actions == ["batch"]
    assert names(c.rows) == ["ink", "cap"]
    c.unsubscribe()
    c.clear()
    c.resume()
    assert c.actions == ["ok"]


def test_a_cursor_from_elsewhere_gives_everything(live: Live) -> None:
    Product.objects.create(name="pen")
    c = live.subscribe(app.ProductBinding, cursor="made-up", held=[1, 2])
    assert c.actions == ["sync"]


def test_a_cursor_of_this_test_gives_what_came_since(live: Live) -> None:
    Product.objects.create(name="pen")
    first = live.subscribe(app.ProductBinding)
    Product.objects.create(name="ink")
    c = live.subscribe(app.ProductBinding, cursor=first.frames[0]["cursor"])
    assert c.actions == ["create"]


@override_settings(BINDSERVER={"SYNC_ROWS": 3})
def test_big_views_are_loaded_at_once(live: Live) -> None:
    Product.objects.bulk_create(Product(name=str(n)) for n in range(20))
    c = live.subscribe(app.ProductBinding)
    assert len(c) == 20
    Product.objects.update(stock=5)
    live.settle()
    assert {row["stock"] for row in c.rows} == {5}
    assert c.actions == ["sync", "batch"]


def test_a_long_answer_comes_in_pages(live: Live) -> None:
    Word.objects.bulk_create(Word(text=f"{n:05}") for n in range(2500))
    c = live.subscribe(app.WordBinding)
    assert [frame["pages"] for frame in c.frames] == [3, 3, 3]
    assert (c.actions, len(c)) == (["sync"], 2500)


def test_a_binding_that_outgrows_its_limit_ends(live: Live) -> None:
    c = live.subscribe(app.FewBinding)
    Product.objects.bulk_create(Product(name=str(n)) for n in range(6))
    live.settle()
    assert c.ended == "too_large"
    with pytest.raises(Refused) as caught:
        live.subscribe(app.FewBinding)
    assert caught.value.code == "too_large"


def test_what_a_binding_raises_is_raised_in_the_test(live: Live) -> None:
    with pytest.raises(RuntimeError, match="a secret of the binding") as caught:
        live.subscribe(app.BrokenBinding)
    assert caught.traceback[-1].name == "get_queryset"


def test_what_a_serializer_raises_is_raised_in_the_test(
    live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    c = live.subscribe(app.FragileBinding)
    broken = Product.objects.create(name="broken")
    with pytest.raises(ValueError, match="a secret of the serializer"):
        live.settle()
    assert c.stale
    assert not logged(caplog)
    broken.name = "mended"
    broken.save()
    live.settle()
    assert (names(c.rows), c.stale) == (["mended"], False)


def test_a_test_can_look_at_what_clients_are_told_of_a_failure(live: Live) -> None:
    live.raises = False
    c = live.subscribe(app.FragileBinding)
    other = live.subscribe(app.ProductBinding)
    Product.objects.create(name="broken")
    live.settle()
    assert c.actions == ["sync", "stale"]
    assert names(other.rows) == ["broken"]
    assert [str(problem) for problem in live.problems] == ["a secret of the serializer"]
    with pytest.raises(Refused, match="reference") as caught:
        live.subscribe(app.BrokenBinding)
    assert caught.value.code == "internal"


def test_a_refused_subscriber_is_forgotten(live: Live) -> None:
    Product.objects.create(name="broken")
    with pytest.raises(ValueError, match="secret"):
        live.subscribe(app.FragileBinding)
    assert live.settle() == {}  # nobody wants its rows any more, so nothing is raised


def test_a_binding_that_writes_fails_as_it_would_on_a_server(live: Live) -> None:
    class CountingBinding(Binding[Product]):
        model = Product
        event = "counting"
        fields = ["id"]

        def get_queryset(self) -> QuerySet[Any]:
            Tag.objects.create(name="seen")
            return super().get_queryset()

    with pytest.raises(OperationalError, match="readonly"):
        live.subscribe(CountingBinding)
    assert not Tag.objects.exists()


def test_a_binding_without_an_event_has_no_subscribers(live: Live) -> None:
    class QuietBinding(Binding[Product]):
        model = Product

    with pytest.raises(ValueError, match="QuietBinding has no event"):
        live.subscribe(QuietBinding)
    with pytest.raises(ValueError, match="'nothing'"):
        live.subscribe("nothing")


def test_two_bindings_of_one_event_are_a_mistake(live: Live) -> None:
    class OtherBinding(Binding[Product]):
        model = Product
        event = "products"
        fields = ["id"]

    with pytest.raises(ValueError, match="the event of ProductBinding, too"):
        live.subscribe(OtherBinding)


def test_params_may_be_python_values(live: Live) -> None:
    class SinceBinding(Binding[Word]):
        model = Word
        event = "since"
        fields = ["text"]
        params = {"day": serializers.DateField(), "least": serializers.DecimalField(6, 2)}

    c = live.subscribe(SinceBinding, params={"day": date(2026, 1, 2), "least": Decimal("1.5")})
    assert c.params == {"day": "2026-01-02", "least": "1.50"}


def test_keys_are_looked_up(live: Live) -> None:
    pen = Product.objects.create(name="pen")
    c = live.subscribe(app.ProductBinding)
    assert c.get(pen.pk)["name"] == "pen"
    assert c.keys == [pen.pk]
    with pytest.raises(KeyError):
        c.get(0)


def test_a_running_hub_has_no_part_in_it(live: Live) -> None:
    before = dict(hub._cycles)
    live.subscribe(app.ProductBinding)
    live.settle()
    assert hub._cycles == before


@pytest.mark.django_db(transaction=True)
def test_it_works_without_a_transaction_too(live: Live) -> None:
    c = live.subscribe(app.ProductBinding)
    Product.objects.create(name="pen")
    live.settle()
    assert names(c.rows) == ["pen"]
    assert not connection.in_atomic_block


@pytest.mark.django_db(transaction=True)
async def test_async_tests_wait_for_it(live: Live) -> None:
    c = await live.asubscribe(app.ProductBinding)
    await Product.objects.acreate(name="pen")
    heard = await live.asettle()
    assert heard == {c: c.frames[1:]}
    assert names(c.rows) == ["pen"]
