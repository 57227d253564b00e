"""Views that had rows and fail now: who has rows keeps them, and whoever waits for some is told why
there are none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DataError
from django.db.models import QuerySet
from django.test import Client, override_settings
from rest_framework import serializers

from bindserver import Binding
from bindserver.bindings.registry import registry
from bindserver.cycle.inbox import Caller, SessionRequest, SnapshotRequest, SubscriptionRef
from bindserver.cycle.live_view import ViewState
from bindserver.cycle.outage import out_of_reach
from bindserver.engine.effects import Ask, CatchUp, Reconsider
from bindserver.engine.events import Rejected
from bindserver.engine.protocol import Code, Subscribe
from bindserver.exceptions import Failed, Unavailable
from bindserver.hub.hub import hub
from tests.app.models import Product, Tag
from tests.support.logs import logged
from tests.support.registered import keep_out
from tests.support.turning import Follower, Turning, add


class Rendered(serializers.Serializer[Product]):
    name = serializers.SerializerMethodField()

    def get_name(self, product: Product) -> str:
        if product.name == "broken":
            raise ValueError(f"a secret about {product.pk}")
        if product.name == "lost":
            raise Unavailable
        if product.name == "divided":
            raise DataError("division by zero")
        return product.name


class Later(Binding[Product]):
    """Fails with a product that is broken."""

    model = Product
    event = "later"
    serializer_class = Rendered


class Given(Later):
    event = "given"
    params = {"stock": serializers.IntegerField(required=False)}


class Shifting(Later):
    """Leads to another view while there is a tag."""

    event = "shifting"

    def get_queryset(self) -> QuerySet[Any]:
        return Product.objects.filter(name="broken" if Tag.objects.exists() else "fine")


class ByUser(Later):
    """Serves staff what cannot be read, and all others what can."""

    event = "by_rank"

    def get_queryset(self) -> QuerySet[Any]:
        return Product.objects.filter(name="broken" if self.user == "staff" else "fine")


@pytest.fixture(autouse=True)
def _published() -> Iterator[None]:
    own: list[type[Binding[Any]]] = [Later, Given, Shifting, ByUser]
    for binding in set(own) - set(registry.all()):
        registry.add(binding)
    yield
    for binding in own:
        registry.remove(binding)


def wish_of(binding: type[Binding[Any]]) -> SnapshotRequest:
    return SnapshotRequest(binding=binding, caller=Caller(), params={}, trusted=True)


def reference(told: Rejected | BaseException | None) -> str:
    if isinstance(told, Failed):
        return told.reference
    assert isinstance(told, Rejected)
    return told.detail.rpartition("reference ")[2]


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return logged(caplog, logging.ERROR)


def again(turning: Turning) -> None:
    for live in turning.views():
        live.retry_at = 0.0


def come_back(
    turning: Turning, follower: Follower, binding: Binding[Any], cursor: str | None = None
) -> SubscriptionRef:
    """Have a follower ask again from the state that it has, as after a lost connection."""
    message = Subscribe(
        event=binding.event or "",
        params={},
        cursor=cursor or follower.replica.cursor,
        held=tuple(follower.replica.held),
    )
    request = SessionRequest(follower, Caller(), Ask(number=1000, message=message), binding)
    turning.ask(request)
    return request.ref


@pytest.fixture
def follower(sqlite_turning: Turning) -> Follower:
    """Who has the rows of a view that fails at the next turn."""
    add(1, name="fine")
    follower = sqlite_turning.follow(Later())
    sqlite_turning.turn()
    Product.objects.update(name="broken")
    return follower


class TestWhoComesWhileItFails:
    def test_is_told_why_by_the_turn_in_which_it_fails_first(
        self, sqlite_turning: Turning, follower: Follower, caplog: pytest.LogCaptureFixture
    ) -> None:
        newcomer, request = sqlite_turning.follow(Later()), wish_of(Later)
        sqlite_turning.ask(request)
        sqlite_turning.turn()
        assert follower.told() == ["sync", "stale"]
        assert newcomer.told() == ["error"]
        assert newcomer.refused is not None
        assert newcomer.refused.code == Code.INTERNAL
        assert "secret" not in newcomer.refused.detail
        assert reference(newcomer.refused) == reference(request.answer.exception(0))
        (line,) = errors(caplog)
        assert reference(newcomer.refused) in line

    def test_is_told_the_same_before_it_is_tried_again(
        self, sqlite_turning: Turning, follower: Follower, caplog: pytest.LogCaptureFixture
    ) -> None:
        sqlite_turning.turn()
        follower.told()
        newcomer, request = sqlite_turning.follow(Later()), wish_of(Later)
        sqlite_turning.ask(request)
        sqlite_turning.turn()
        assert newcomer.told() == ["error"]
        assert reference(newcomer.refused) == reference(request.answer.exception(0))
        assert follower.told() == []
        assert sqlite_turning.statements == []
        assert len(errors(caplog)) == 1

    def test_is_told_the_same_when_it_fails_once_more(
        self, sqlite_turning: Turning, follower: Follower, caplog: pytest.LogCaptureFixture
    ) -> None:
        sqlite_turning.turn()
        again(sqlite_turning)
        newcomer = sqlite_turning.follow(Later())
        sqlite_turning.turn()
        assert newcomer.told() == ["error"]  # in place of its acceptance, and nothing behind it
        assert reference(newcomer.refused) in errors(caplog)[0]
        assert len(errors(caplog)) == 1

    def test_is_told_the_reason_in_debug_mode(
        self, sqlite_turning: Turning, follower: Follower
    ) -> None:
        with override_settings(DEBUG=True):
            newcomer = sqlite_turning.follow(Later())
            sqlite_turning.turn()
        assert newcomer.refused is not None
        assert "(ValueError: a secret about 1)" in newcomer.refused.detail

    def test_is_served_when_it_is_well(self, sqlite_turning: Turning, follower: Follower) -> None:
        newcomer = sqlite_turning.follow(Later())
        sqlite_turning.turn()
        Product.objects.update(name="mended")
        again(sqlite_turning)
        sqlite_turning.follow_again(newcomer, Later())
        sqlite_turning.turn()
        assert follower.told() == ["sync", "stale", "update"]
        assert newcomer.told()[-1] == "sync"
        assert newcomer.column("name") == ["mended"]

    def test_is_told_so_when_a_big_load_fails(
        self, sqlite_turning: Turning, follower: Follower
    ) -> None:
        with override_settings(BINDSERVER={"SYNC_ROWS": 1}):
            add(2, name="broken"), add(3, name="broken")
            newcomer = sqlite_turning.follow(Later())
            sqlite_turning.turn()
        assert newcomer.told() == ["error"]
        assert follower.told() == ["sync", "stale"]

    def test_waits_where_the_connection_is_lost_whatever_failed_before(
        self, sqlite_turning: Turning, follower: Follower
    ) -> None:
        sqlite_turning.turn()
        Product.objects.update(name="lost")
        again(sqlite_turning)
        sqlite_turning.turn()
        newcomer, request = sqlite_turning.follow(Later()), wish_of(Later)
        sqlite_turning.ask(request)
        sqlite_turning.turn()
        assert newcomer.told() == ["stale"]
        assert isinstance(request.answer.exception(0), Unavailable)
        Product.objects.update(name="back")
        again(sqlite_turning)
        sqlite_turning.turn()
        assert newcomer.told() == ["sync"]

    def test_is_not_told_that_params_are_wrong_which_have_been_right(
        self, sqlite_turning: Turning
    ) -> None:
        add(1, stock=1, name="fine")
        sqlite_turning.follow(Given(params={"stock": 1}))
        sqlite_turning.turn()
        Product.objects.update(name="divided")
        newcomer = sqlite_turning.follow(Given(params={"stock": 1}))
        sqlite_turning.turn()
        assert newcomer.refused is not None
        assert newcomer.refused.code == Code.INTERNAL

    def test_costs_nothing_once_all_have_left(
        self, sqlite_turning: Turning, follower: Follower
    ) -> None:
        newcomer = sqlite_turning.follow(Later())
        sqlite_turning.turn()
        (live,) = sqlite_turning.views()
        for ref in list(live.audience):
            sqlite_turning.store.release(ref)
        assert newcomer.told() == ["error"]
        assert not live.wanted
        assert sqlite_turning.store.due() == float("inf")

    def test_by_http_is_answered_500_with_the_reference(
        self, database: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        add(1, name="fine")
        client, json = Client(), "application/json"
        answer = client.get("/bindings/later/", HTTP_ACCEPT=json)
        assert answer.json() == [{"name": "fine", "id": 1}]
        Product.objects.update(name="broken")
        for _ in range(2):
            answer = client.get("/bindings/later/", HTTP_ACCEPT=json)
            assert answer.status_code == 500
            assert answer.json()["detail"].rpartition("reference ")[2] in errors(caplog)[0]
        hub.stop()


class TestWhoComesBackWithRows:
    """A client that names its state has rows, as one has that never left."""

    def test_keeps_them_hears_that_they_are_old_and_is_sent_the_difference(
        self, sqlite_turning: Turning, follower: Follower
    ) -> None:
        sqlite_turning.turn()
        follower.told()
        come_back(sqlite_turning, follower, Later())
        sqlite_turning.turn()
        again(sqlite_turning)
        sqlite_turning.turn()
        assert follower.told() == ["stale"]
        assert follower.column("name") == ["fine"]
        Product.objects.update(name="mended")
        again(sqlite_turning)
        sqlite_turning.turn()
        assert follower.refused is None
        assert follower.told()[-1] == "update"
        assert follower.column("name") == ["mended"]

    @pytest.mark.parametrize("failed_before", [False, True])
    def test_does_so_where_the_process_has_never_read_the_view(
        self, sqlite_turning: Turning, follower: Follower, failed_before: bool
    ) -> None:
        with Turning() as other:
            other.store.secret = sqlite_turning.store.secret
            if failed_before:
                newcomer = other.follow(Later())
                other.turn()
                assert newcomer.told() == ["error"]
            follower.told()
            come_back(other, follower, Later())
            other.turn()
            again(other)
            other.turn()
            assert follower.told() == ["stale"]
            newcomer = other.follow(Later())
            other.turn()
            assert newcomer.told() == ["error"]
            Product.objects.update(name="mended")
            again(other)
            other.turn()
            assert follower.told() == ["update"]
        assert follower.refused is None

    def test_does_so_where_it_is_a_big_load_that_fails(
        self, sqlite_turning: Turning, follower: Follower
    ) -> None:
        add(2, name="broken"), add(3, name="broken")
        follower.told()
        with Turning() as other, override_settings(BINDSERVER={"SYNC_ROWS": 1}):
            other.store.secret = sqlite_turning.store.secret
            come_back(other, follower, Later())
            other.turn()
            assert follower.told() == ["stale"]
            Product.objects.update(name="mended")
            again(other)
            other.turn()
            assert follower.refused is None
        assert follower.column("name") == ["mended"] * 3

    def test_is_a_newcomer_with_a_cursor_that_is_none(
        self, sqlite_turning: Turning, follower: Follower
    ) -> None:
        sqlite_turning.turn()
        follower.told()
        come_back(sqlite_turning, follower, Later(), cursor="nonsense")
        sqlite_turning.turn()
        assert follower.told() == ["error"]

    def test_keeps_them_after_the_database_was_lost_while_it_lagged(
        self, sqlite_turning: Turning
    ) -> None:
        add(1, name="fine")
        follower = sqlite_turning.follow(Later())
        sqlite_turning.turn()
        (live,) = sqlite_turning.views()
        (ref,) = live.audience
        catch_up = CatchUp(number=ref.number, event="products", version=0)
        out_of_reach(sqlite_turning.store, [SessionRequest(follower, Caller(), catch_up)])
        Product.objects.update(name="broken")
        sqlite_turning.turn()
        assert follower.refused is None
        Product.objects.update(name="mended")
        again(sqlite_turning)
        sqlite_turning.turn()
        assert follower.column("name") == ["mended"]


class TestWhoWaitsAndIsLedElsewhere:
    """Somebody who has no rows yet has none of another view either."""

    @pytest.fixture
    def waiting(self, sqlite_turning: Turning) -> Follower:
        """Who waits for a big load, and is led to a view that fails."""
        add(1, name="fine"), add(2, name="fine"), add(3, name="broken")
        with override_settings(BINDSERVER={"SYNC_ROWS": 1}):
            waiting = sqlite_turning.follow(Shifting())
            sqlite_turning.follow(Later())
            sqlite_turning.take_one()
        assert {live.state for live in sqlite_turning.views()} == {ViewState.LOADING}
        return waiting

    @pytest.mark.parametrize("known", [False, True])
    def test_is_told_why_there_are_none(
        self, sqlite_turning: Turning, waiting: Follower, known: bool
    ) -> None:
        Tag.objects.create(name="x")
        if known:
            sqlite_turning.follow(Shifting())
        sqlite_turning.take_one()
        assert waiting.told() == ["error"]

    def test_is_told_by_who_is_asked_about_anew_too(self, sqlite_turning: Turning) -> None:
        add(1, name="fine"), add(2, name="fine"), add(3, name="broken")
        first = Follower()
        with override_settings(BINDSERVER={"SYNC_ROWS": 1}):
            message = Subscribe(event="by_rank", params={})
            sqlite_turning.ask(SessionRequest(first, Caller(), Ask(number=1, message=message)))
            sqlite_turning.take_one()
            assert first.told() == []
            anew = Reconsider(number=1, event="by_rank")
            sqlite_turning.ask(SessionRequest(first, Caller(user="staff"), anew))
            sqlite_turning.take_one()
        assert first.told() == ["error"]

    def test_but_who_has_rows_keeps_them(self, sqlite_turning: Turning) -> None:
        add(1, name="fine"), add(3, name="broken")
        first = Follower()
        message = Subscribe(event="by_rank", params={})
        sqlite_turning.ask(SessionRequest(first, Caller(), Ask(number=1, message=message)))
        sqlite_turning.turn()
        anew = Reconsider(number=1, event="by_rank")
        sqlite_turning.ask(SessionRequest(first, Caller(user="staff"), anew))
        sqlite_turning.turn()
        again(sqlite_turning)
        sqlite_turning.turn()
        assert first.told() == ["sync", "stale"]
        assert not first.ended


keep_out(globals())
