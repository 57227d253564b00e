"""Which views and subjects are kept, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.test import override_settings
from rest_framework import serializers

from bindserver import Binding
from bindserver.bindings.registry import registry
from bindserver.cycle.inbox import Caller, Hint, Request, SessionRequest, SubscriptionRef
from bindserver.cycle.resolver import Resolver
from bindserver.cycle.view_store import ViewStore
from bindserver.engine.changes import Position
from bindserver.engine.effects import Ask, Reconsider
from bindserver.engine.events import Event, Rejected
from bindserver.engine.protocol import Code, Subscribe, Unsubscribe
from bindserver.exceptions import Unsound
from tests.app.bindings import ProductBinding
from tests.app.models import Product, Tag, Word
from tests.support.turning import Follower, Turning, add


def test_a_view_does_not_gather_subjects_of_users_who_left(database: Path) -> None:
    store = ViewStore("default", b"secret")
    resolver = Resolver(store)
    position = Position(epoch="", mark="")
    for pk in range(1, 4):
        resolver.resolve(ProductBinding, Caller(user=User(pk=pk)), {}, position)
    assert len(store.views()) == 1
    assert len(store.viewers.all()) == 3
    store.evict()
    assert len(store.views()) == 1
    assert store.viewers.all() == []


@override_settings(BINDSERVER={"MAX_VIEWS": 2})
def test_views_that_nobody_looks_at_make_room_for_others(database: Path) -> None:
    store, position = ViewStore("default", b"secret"), Position(epoch="", mark="")
    resolver = Resolver(store)
    for name in ("one", "other", "third"):
        resolver.resolve(made(name), Caller(), {}, position)
    assert [live.event for live in store.views()] == ["other", "third"]
    kept = [viewer.live for viewer in store.viewers.all()]
    assert [live.event for live in kept] == ["third"]


@override_settings(BINDSERVER={"MAX_VIEWS": 2})
def test_who_makes_room_for_the_view_that_they_are_led_to_is_known_and_then_forgotten(
    database: Path,
) -> None:
    class Listed(Binding[Product]):
        model = Product
        event = "listed"
        fields = ["id"]

        def get_queryset(self) -> Any:
            return Product.objects.filter(pk__in=[len(word.text) for word in Word.objects.all()])

    store, position = ViewStore("default", b"secret"), Position(epoch="", mark="")
    resolver = Resolver(store)
    viewer, _ = resolver.resolve(Listed, Caller(), {}, position)
    resolver.resolve(made("other"), Caller(), {}, position)
    Word.objects.create(text="a")
    assert resolver.lead(viewer, resolver.ask_again(viewer))
    assert store.viewers.all() == [viewer]
    assert Word._meta.db_table in store.reads()
    store.evict()
    assert store.viewers.all() == []
    assert Word._meta.db_table not in store.reads()


def made(name: str) -> type[Binding[Product]]:
    """Make a binding as a project's own function may, which makes several."""

    class Made(Binding[Product]):
        model = Product
        event = name
        fields = ["id"]

    return Made


def test_leaving_a_binding_that_is_not_served_fails_nothing_but_itself(
    sqlite_turning: Turning, forget_bindings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsound = type("Unsound", (ProductBinding,), {"event": "unsound", "params": ["any"]})

    def refuse(binding: type[Binding[Any]]) -> None:
        if binding is unsound:
            raise Unsound("0", "it is wrong", debug=False)

    monkeypatch.setattr(registry, "judge", refuse)
    products, leaver = sqlite_turning.follow(ProductBinding()), Asker()
    message = Unsubscribe(event="unsound", params={"any": 1})
    sqlite_turning.ask(SessionRequest(leaver, Caller(), Ask(number=1, message=message)))
    sqlite_turning.turn()
    assert [event.code for event in leaver.heard if isinstance(event, Rejected)] == [Code.INTERNAL]
    assert products.told() == ["sync"]


def test_bindings_that_one_function_makes_have_each_a_view(database: Path) -> None:
    store, position = ViewStore("default", b"secret"), Position(epoch="", mark="")
    resolver = Resolver(store)
    for binding in (made("one"), made("other")):
        resolver.resolve(binding, Caller(), {}, position)
    assert [live.event for live in store.views()] == ["one", "other"]


class Asker(Follower):
    """Who hears what is said to a request."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Event] = []

    def hear(self, number: int, event: Event) -> None:
        super().hear(number, event)
        self.heard.append(event)


@pytest.fixture
def postgresql_turning(postgresql_database: str) -> Iterator[Turning]:
    with Turning() as turning:
        yield turning


@pytest.mark.usefixtures("forget_bindings")
class TestATableThatSomebodyHasLocked:
    """What is asked about a caller fails alone, in a snapshot that serves everybody."""

    @pytest.fixture
    def products(self, postgresql_turning: Turning) -> Follower:
        add(1)
        products = postgresql_turning.follow(ProductBinding())
        postgresql_turning.turn()
        return products

    @pytest.fixture
    def about_word(self) -> type[Binding[Product]]:
        class AboutWordBinding(Binding[Product]):
            model = Product
            event = "about_word"
            fields = ["id"]
            params = {"word": serializers.PrimaryKeyRelatedField(queryset=Word.objects.all())}

        return AboutWordBinding

    def take(self, turning: Turning, url: str, table: str, request: Request) -> None:
        with psycopg.connect(url) as locker:
            locker.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            Product.objects.update(stock=7)
            turning.ask(request)
            turning.turn()

    def test_the_caller_s_own_row(
        self, postgresql_turning: Turning, postgresql_database: str, products: Follower
    ) -> None:
        caller, asker = Caller(user=User.objects.create(username="ann")), Asker()
        message = Subscribe(event="members", params={})
        request = SessionRequest(asker, caller, Ask(number=1, message=message))
        self.take(postgresql_turning, postgresql_database, "auth_user", request)
        assert products.column("stock") == [7]
        assert [getattr(event, "code", None) for event in asker.heard] == [Code.UNAVAILABLE]

    def test_the_caller_s_own_row_when_they_have_proved_anew_who_they_are(
        self, postgresql_turning: Turning, postgresql_database: str, products: Follower
    ) -> None:
        ann, eve = (Caller(user=User.objects.create(username=name)) for name in ("ann", "eve"))
        asker, message = Asker(), Subscribe(event="members", params={})
        ref = SubscriptionRef(asker, 1)
        postgresql_turning.ask(
            SessionRequest(ref.listener, ann, Ask(number=ref.number, message=message))
        )
        postgresql_turning.turn()
        request = SessionRequest(ref.listener, eve, Reconsider(number=ref.number, event="products"))
        self.take(postgresql_turning, postgresql_database, "auth_user", request)
        assert products.column("stock") == [7]
        assert asker.ended

    def test_a_right_is_not_taken_for_gone(
        self, postgresql_turning: Turning, postgresql_database: str, products: Follower
    ) -> None:
        asker, message = Asker(), Subscribe(event="shaky", params={})
        request = SessionRequest(asker, Caller(), Ask(number=1, message=message))
        postgresql_turning.ask(request)
        postgresql_turning.turn()
        Tag.objects.create(name="new")
        self.take(postgresql_turning, postgresql_database, "app_tag", Hint())
        assert products.column("stock") == [7]
        assert asker.told() == ["sync", "stale"]
        assert not asker.ended
        for live in postgresql_turning.views():
            live.retry_at = 0
        Product.objects.update(name="renamed")
        postgresql_turning.turn()
        assert asker.column("name") == ["renamed"]

    def test_the_rows_that_params_name(
        self,
        postgresql_turning: Turning,
        postgresql_database: str,
        products: Follower,
        about_word: type[Binding[Product]],
    ) -> None:
        asker, params = Asker(), {"word": "a"}
        messages: list[Any] = [
            Subscribe(event="about_word", params=params),
            Unsubscribe(event="about_word", params=params),
        ]
        for message in messages:
            request = SessionRequest(asker, Caller(), Ask(number=1, message=message))
            self.take(postgresql_turning, postgresql_database, "app_word", request)
        assert products.column("stock") == [7]
        assert [type(event) for event in asker.heard] == [Rejected, Rejected]
