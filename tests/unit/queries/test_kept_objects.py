"""Objects that stay, and that a binding changes for each who asks before it hands them over."""

from __future__ import annotations

import contextvars
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from django.utils.functional import SimpleLazyObject
from rest_framework import serializers

from bindserver import Binding
from bindserver.queries.identity import IdentityEncoder
from bindserver.queries.query import Query
from bindserver.queries.serializer_code import code_of
from bindserver.testing import Live
from tests.app.models import Product
from tests.unit.queries.test_told_apart import ANN, BOSS, binding_of, live, people

__all__ = ["live", "people"]


class Service:
    """Kept in a module, as clients of other services are."""

    def __init__(self) -> None:
        self.shows = False
        self.lock = threading.Lock()
        self.unheld = object()
        self.itself = self


class Slotted:
    __slots__ = ("__weakref__", "shows")


class Declared:
    shows = False


class Heir(Declared):
    pass


def masked() -> bool:
    shown: bool = vars(masked)["shows"]
    return shown


def make_mask() -> tuple[Callable[[], bool], Callable[[bool], None]]:
    shows = False

    def mask() -> bool:
        return shows

    def change(now: bool) -> None:
        nonlocal shows
        shows = now

    return mask, change


SERVICE, SLOTTED, OF_THREAD = Service(), Slotted(), threading.local()
NAMED: Any = defaultdict(bool)
OF_TASK = contextvars.ContextVar("shows", default=False)
MASK, change_mask = make_mask()


def change_default(now: bool) -> None:
    by_default.__defaults__ = (now,)


def by_default(shows: bool = False) -> bool:
    return shows


KEPT: dict[str, tuple[Any, Callable[[bool], object], Callable[[Any], Any]]] = {
    "an object": (SERVICE, lambda now: setattr(SERVICE, "shows", now), lambda kept: kept.shows),
    "slots": (SLOTTED, lambda now: setattr(SLOTTED, "shows", now), lambda kept: kept.shows),
    "a class": (Declared, lambda now: setattr(Declared, "shows", now), lambda kept: kept.shows),
    "a parent": (Heir, lambda now: setattr(Declared, "shows", now), lambda kept: kept.shows),
    "a function": (masked, lambda now: setattr(masked, "shows", now), lambda kept: kept()),
    "a default": (by_default, change_default, lambda kept: kept()),
    "a closure": (MASK, change_mask, lambda kept: kept()),
    "a dict's heir": (NAMED, lambda now: NAMED.update(shows=now), lambda kept: kept["shows"]),
    "a thread's": (
        OF_THREAD,
        lambda now: setattr(OF_THREAD, "shows", now),
        lambda kept: kept.shows,
    ),
    "a task's": (OF_TASK, OF_TASK.set, lambda kept: kept.get()),
}


@pytest.mark.parametrize("kind", KEPT)
def test_what_is_changed_for_each_is_shared_by_nobody(kind: str, live: Live) -> None:
    kept, change, shows = KEPT[kind]

    class Masked(serializers.ModelSerializer[Any]):
        mark = serializers.SerializerMethodField()

        def get_mark(self, product: Product) -> Any:
            return product.stock if shows(self.context["kept"]) else None

        class Meta:
            model = Product
            fields = ("id", "mark")

    def context(binding: Binding[Any]) -> dict[str, Any]:
        change(binding.user.is_staff)
        return {"kept": kept}

    binding = binding_of(serializer_class=Masked, get_serializer_context=context)
    boss = live.subscribe(binding, user=BOSS)
    ann = live.subscribe(binding, user=ANN)
    for stock in (7, 8):
        Product.objects.update(stock=stock)
        live.settle()
        assert {row["mark"] for row in boss.rows} == {stock}
        assert {row["mark"] for row in ann.rows} == {None}


HELD_BY_NO_NAME = {"a dict's heir", "a task's"}


@pytest.mark.parametrize("kind", [kind for kind in KEPT if kind not in HELD_BY_NO_NAME])
def test_what_nobody_changes_is_shared(kind: str, live: Live) -> None:
    binding = binding_of(fields=["id"], get_serializer_context=lambda _: {"kept": KEPT[kind][0]})
    assert Query(binding(user=BOSS)).identity == Query(binding(user=ANN)).identity


def test_a_client_resumes_though_a_class_that_a_serializer_names_says_something_else() -> None:
    class Named(serializers.ModelSerializer[Any]):
        kinds = {"a": Declared}

        class Meta:
            model = Product
            fields = ("id",)

    told = code_of.__wrapped__  # as another process tells it
    before = told(Named)
    Declared.shows = not Declared.shows
    assert told(Named) == before


def test_a_service_s_own_parts_are_not_told_to_be_unknown() -> None:
    encoder = IdentityEncoder()
    encoder.items({"service": SERVICE}, "context")
    assert len(encoder.unshared) == 1


def test_what_is_lazy_is_not_asked_for_by_a_look() -> None:
    asked: list[int] = []
    service = Service()
    service.unheld = SimpleLazyObject(lambda: asked.append(1))
    IdentityEncoder().encode(service)
    assert asked == []
