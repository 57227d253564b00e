"""Values and classes that look alike, and that say something else at a second look."""

from __future__ import annotations

import functools
import threading
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db.models import CharField, Func, Prefetch, Value
from django.utils.functional import SimpleLazyObject
from rest_framework import serializers

from bindserver import Binding
from bindserver.queries.identity import IdentityEncoder
from bindserver.queries.query import Query
from bindserver.testing import Live
from tests.app.models import Category, Product, Tag
from tests.unit.queries.test_told_apart import ANN, BOSS, binding_of, live, people

__all__ = ["live", "people"]


class Tenant(SimpleLazyObject):  # type: ignore[type-arg]  # it takes none at run time
    number = 1


class OtherTenant(SimpleLazyObject):  # type: ignore[type-arg]  # it takes none at run time
    number = 2


class Cut(CharField):  # type: ignore[type-arg]  # it takes none at run time
    """A field that tells migrations nothing of its length."""

    def deconstruct(self) -> Any:
        return (*super().deconstruct()[:3], {})

    def from_db_value(self, value: str, *_: Any) -> str:
        return value[: self.max_length]


def with_method(target: Any, name: str, method: Any) -> Any:
    setattr(target, name, method)
    return target


def hidden(*_: Any) -> str:
    return "hidden"


def partial_of(tenant: int) -> Any:
    return with_method(functools.partial(int, 1), "tenant", tenant)


def zone_called(key: str) -> Any:
    path = next(iter(zoneinfo.TZPATH), "")
    try:
        with Path(path, "Asia/Tokyo").open("rb") as file:
            return zoneinfo.ZoneInfo.from_file(file, key=key)
    except FileNotFoundError:
        return zoneinfo.ZoneInfo.no_cache(key)


def marked(value: Any) -> Any:
    return Product.objects.annotate(mark=value)


def tagged(prefetch: Any) -> Any:
    return Product.objects.prefetch_related(prefetch)


LOOK_ALIKES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "partials with attributes": lambda: (partial_of(1), partial_of(2)),
    "time zones of one key": lambda: (
        zone_called("Europe/Berlin"),
        zoneinfo.ZoneInfo("Europe/Berlin"),
    ),
    "lazy objects of two classes": lambda: (Tenant(lambda: 5), OtherTenant(lambda: 5)),
    "fields of two lengths": lambda: (Cut(max_length=3), Cut(max_length=30)),
    "fields with a method of their own": lambda: (
        with_method(Cut(), "from_db_value", hidden),
        Cut(),
    ),
    "Django's fields with one": lambda: (
        with_method(CharField(), "from_db_value", hidden),
        CharField(),
    ),
    "expressions with one": lambda: (
        marked(with_method(Value("a"), "get_db_converters", lambda connection: [hidden])),
        marked(Value("a")),
    ),
    "prefetches with one": lambda: (
        tagged(
            with_method(
                Prefetch("tags"), "get_current_querysets", lambda level: [Tag.objects.none()]
            )
        ),
        tagged(Prefetch("tags")),
    ),
}


@pytest.mark.parametrize("kind", LOOK_ALIKES)
def test_look_alikes_are_told_apart(kind: str) -> None:
    one, other = LOOK_ALIKES[kind]()
    assert IdentityEncoder().encode(one) != IdentityEncoder().encode(other)


def test_a_lazy_object_of_no_class_of_its_own_is_what_it_stands_for() -> None:
    assert IdentityEncoder().encode(SimpleLazyObject(lambda: 5)) == IdentityEncoder().encode(5)


# Serializer classes that a binding changes for whoever asks, as may be done for each request.


class Masked(serializers.Field[Any, Any, Any, Any]):
    def __init__(self, *, shows: bool = False) -> None:
        self.shows = shows
        super().__init__(source="name", read_only=True)

    def to_representation(self, value: Any) -> Any:
        return value if self.shows else None


class Marked(serializers.ModelSerializer[Any]):
    mark = serializers.SerializerMethodField()
    shows = False

    class Meta:
        model = Product
        fields: Any = ("id", "mark")
        shows = False

    def get_mark(self, product: Product) -> str | None:
        return product.name if self.shows or self.Meta.shows else None

    def named(self, product: Product) -> str:
        return product.name


class OfCategory(serializers.ModelSerializer[Any]):
    shows = False

    class Meta:
        model = Category
        fields: Any = ("id",)

    def to_representation(self, category: Category) -> Any:
        return category.name if self.shows else None


class Nesting(serializers.ModelSerializer[Any]):
    mark = OfCategory(source="category")

    class Meta:
        model = Product
        fields: Any = ("id", "mark")


def by_attribute(binding: Binding[Any]) -> Any:
    Marked.shows = binding.user.is_staff
    return Marked


def by_meta(binding: Binding[Any]) -> Any:
    Marked.Meta.shows = binding.user.is_staff
    return Marked


def by_method(binding: Binding[Any]) -> Any:
    def get_mark(self: Any, product: Product, shows: bool = binding.user.is_staff) -> Any:
        return product.name if shows else None

    kind: Any = Marked
    kind.get_mark = get_mark
    return kind


def by_field(binding: Binding[Any]) -> Any:
    Marked._declared_fields = {"mark": Masked(shows=binding.user.is_staff)}
    return Marked


def by_method_name(binding: Binding[Any]) -> Any:
    name = "named" if binding.user.is_staff else "get_mark"
    Marked._declared_fields = {"mark": serializers.SerializerMethodField(method_name=name)}
    return Marked


def by_nested(binding: Binding[Any]) -> Any:
    OfCategory.shows = binding.user.is_staff
    return Nesting


@pytest.fixture(autouse=True)
def pristine(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (Marked, Marked.Meta, OfCategory):
        monkeypatch.setattr(kind, "shows", False)
    monkeypatch.setattr(Marked, "get_mark", Marked.get_mark)
    monkeypatch.setattr(Marked, "_declared_fields", Marked._declared_fields)


@pytest.mark.parametrize(
    "change", [by_attribute, by_meta, by_method, by_field, by_method_name, by_nested]
)
def test_a_class_that_was_changed_for_another_makes_another_view(change: Any, live: Live) -> None:
    Product.objects.update(category=Category.objects.create(name="c"))
    binding = binding_of(get_serializer_class=change)
    assert {row["mark"] for row in live.subscribe(binding, user=BOSS).rows} != {None}
    assert {row["mark"] for row in live.subscribe(binding, user=ANN).rows} == {None}


def test_a_class_that_nobody_changes_is_shared(live: Live) -> None:
    binding = binding_of(serializer_class=Nesting)
    one, other = (Query(binding(user=user)) for user in (BOSS, ANN))
    assert (one.identity, one.fingerprint) == (other.identity, other.fingerprint)


OF_THREAD = threading.local()


class OfThread(Func):
    """An expression that compiles to what its thread has set."""

    def as_sql(self, *_: Any, **__: Any) -> Any:
        return "%s", [OF_THREAD.mark]


def marked_by_thread(binding: Binding[Any]) -> Any:
    OF_THREAD.mark = "secret" if binding.user.is_staff else "public"
    return Product.objects.annotate(mark=OfThread(output_field=CharField()))


def test_sql_that_depends_on_the_thread_is_read_for_nobody_else(live: Live) -> None:
    class WithMark(serializers.ModelSerializer[Any]):
        mark = serializers.CharField()

        class Meta:
            model = Product
            fields = ("id", "mark")

    kind = binding_of(get_queryset=marked_by_thread, serializer_class=WithMark)
    boss = live.subscribe(kind, user=BOSS)
    ann = live.subscribe(kind, user=ANN)
    live.raises = False
    Product.objects.update(stock=7)
    live.settle()
    assert {row["mark"] for row in boss.rows} == {"secret"}
    assert {row["mark"] for row in ann.rows} == {"public"}
    assert boss.stale
    assert "other SQL" in str(live.problems)
