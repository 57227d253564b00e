"""Look-alikes: what two users are told apart by where classes, fields and queries look the same."""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import CharField, ExpressionWrapper, F, FileField, Q, QuerySet
from django.test.utils import isolate_apps
from rest_framework import serializers

from bindserver import Binding
from bindserver.cycle.attached import carry_over
from bindserver.hub.hub import hub
from bindserver.queries.identity import IdentityEncoder
from bindserver.testing import Live
from tests.app.models import Category, Product


class Rights(enum.IntFlag):
    READ = 1


def encoded(value: Any) -> Any:
    return IdentityEncoder().encode(value)


class TestValues:
    def test_flags_without_names_are_told_apart(self) -> None:
        assert encoded(Rights(16)) != encoded(Rights(32))
        assert encoded(Rights.READ) == encoded(Rights(1))

    def test_files_of_one_name_in_two_fields_are_told_apart(self) -> None:
        class Kept(FileField):
            pass

        fields: list[Any] = [FileField(), Kept()]
        one, other = (field.attr_class(None, field, "a.png") for field in fields)
        assert encoded(one) != encoded(other)

    def test_what_is_in_itself_is_known_by_itself_alone(self) -> None:
        circle: dict[str, Any] = {}
        circle["of"] = [circle]
        encoder = IdentityEncoder()
        encoder.encode(circle)
        assert encoder.unshared

    def test_so_is_what_has_no_end(self) -> None:
        deep: list[Any] = []
        for _ in range(5000):
            deep = [deep]
        encoder = IdentityEncoder()
        encoder.encode(deep)
        assert encoder.unshared


@pytest.fixture
def live(database: object) -> Iterator[Live]:
    for number in (1, 2):
        Product.objects.create(pk=number, name=f"product {number}", stock=number, price=9)
    yield Live()
    hub.stop()


BOSS = User(pk=1, username="boss", is_staff=True)
ANN = User(pk=2, username="ann")


@pytest.fixture(autouse=True)
def people(live: Live) -> None:
    User.objects.bulk_create([BOSS, ANN])
    for person in (BOSS, ANN):
        person.refresh_from_db()


class Marked(serializers.ModelSerializer[Any]):
    mark = serializers.ReadOnlyField()

    class Meta:
        model = Product
        fields: Any = ("id", "mark")


def binding_of(**body: Any) -> type[Binding[Any]]:
    defaults = {"model": Product, "event": "marks", "permission_classes": ()}
    return type("Marks", (Binding,), {**defaults, "serializer_class": Marked, **body})


def marks(live: Live, binding: type[Binding[Any]]) -> set[Any]:
    """Return what Ann is sent after the boss was sent the same binding's rows."""
    assert {row.get("mark") for row in live.subscribe(binding, user=BOSS).rows} != {None}
    return {row.get("mark") for row in live.subscribe(binding, user=ANN).rows}


def make(is_staff: bool) -> Any:
    """Put a serializer into this module, in place of the one before."""

    class Replaced(serializers.ModelSerializer[Any]):
        mark = serializers.SerializerMethodField()

        class Meta:
            model = Product
            fields = ("id", "mark")

        def get_mark(self, product: Product) -> str | None:
            return product.name if is_staff else None

    Replaced.__qualname__ = "Replaced"
    globals()["Replaced"] = Replaced
    return Replaced


class Varied(serializers.ModelSerializer[Any]):
    mark = serializers.CharField(source="name")

    class Meta:
        model = Product
        fields: Any = ("id", "mark")


def vary(binding: Binding[Any]) -> Any:
    Varied._declared_fields = {
        name: field
        for name, field in {"mark": serializers.CharField(source="name")}.items()
        if binding.user.is_staff
    }
    Varied.Meta.fields = ("id", "mark") if binding.user.is_staff else ("id",)
    return Varied


class Hidden(CharField):  # type: ignore[type-arg]  # it takes none at run time
    """A field of which migrations are told less than there is to know."""

    def __init__(self, *, shows: bool = False) -> None:
        self.shows = shows
        super().__init__()

    def from_db_value(self, value: Any, *_: Any) -> Any:
        return value if self.shows else None


class Redacting(QuerySet[Product]):
    """A queryset that keeps in its query what becomes of rows."""

    def _fetch_all(self) -> None:
        super()._fetch_all()
        rows: Any = self._result_cache
        for product in rows or ():
            product.mark = product.name if vars(self.query)["shows"] else None


def redacted(binding: Binding[Any]) -> Any:
    queryset = Redacting(Product)
    vars(queryset.query)["shows"] = binding.user.is_staff
    return queryset


class TestBindings:
    def test_a_class_that_took_another_s_place_in_its_module_is_another(self, live: Live) -> None:
        binding = binding_of(get_serializer_class=lambda self: make(self.user.is_staff))
        assert marks(live, binding) == {None}

    def test_one_serializer_class_with_other_fields_makes_another_view(self, live: Live) -> None:
        assert marks(live, binding_of(get_serializer_class=vary)) == {None}

    def test_a_field_s_own_attributes_count(self, live: Live) -> None:
        def queryset(binding: Binding[Any]) -> Any:
            shown = ExpressionWrapper(F("name"), output_field=Hidden(shows=binding.user.is_staff))
            return Product.objects.annotate(mark=shown)

        assert marks(live, binding_of(get_queryset=queryset)) == {None}

    def test_what_a_query_keeps_counts(self, live: Live) -> None:
        assert marks(live, binding_of(get_queryset=redacted)) == {None}


class Shown(serializers.ModelSerializer[Any]):
    mark = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = ("id", "mark")

    def get_mark(self, product: Product) -> str | None:
        return product.name if self.context["shows"] else None


class TestTime:
    def test_who_has_been_sent_by_another_answer_shares_with_nobody(self, live: Live) -> None:
        shows: set[Any] = set()
        binding = binding_of(
            serializer_class=Shown,
            get_serializer_context=lambda self: {"shows": self.user.pk in shows},
        )
        boss = live.subscribe(binding, user=BOSS)
        shows.add(BOSS.pk)  # no database says so
        Product.objects.filter(pk=1).update(stock=5)
        live.settle()
        assert boss.rows[0]["mark"] == "product 1"
        assert {row["mark"] for row in live.subscribe(binding, user=ANN).rows} == {None}

    def test_an_object_that_nobody_can_look_into_is_asked_for_again(self, live: Live) -> None:
        class Key:
            stock = 1

        key = Key()
        binding = binding_of(get_q=lambda self: Q(stock=self.auth.stock))
        assert binding(auth=key).keys() == [1]
        key.stock = 2
        assert binding(auth=key).keys() == [2]

    def test_so_is_an_instance_s_own(self, live: Live) -> None:
        class Lookups(OrderedDict[str, int]):
            pass

        binding: Binding[Any] = Binding(model=Product, filters=Lookups(stock=1))
        assert binding.keys() == [1]
        binding.filters["stock"] = 2
        assert binding.keys() == [2]


class Masked(serializers.CharField):
    def to_representation(self, value: str) -> str:
        return "***"


def test_a_param_is_asked_again_as_it_was_given(live: Live) -> None:
    def named(binding: Binding[Any]) -> Q:
        Category.objects.count()  # so it is asked again when one is written
        return Q(name=binding.params["name"])

    kind = binding_of(params={"name": Masked()}, get_q=named)
    binding = kind(params={"name": "product 2"})
    assert binding.keys() == [2]
    Category.objects.create(name="new")
    assert binding.keys() == [2]


class TestWhatHangsOnAUser:
    @isolate_apps("tests.app")
    def test_stays_where_the_class_has_a_default(self) -> None:
        class Narrow(User):
            narrow = False

            class Meta:
                app_label = "app"
                proxy = True

        known, fresh = Narrow(pk=1), Narrow(pk=1)
        vars(known)["narrow"] = True
        carry_over(known, fresh)
        assert fresh.narrow

    def test_is_read_anew_where_it_is_a_row(self, live: Live) -> None:
        tenant = Category.objects.create(name="product 1")
        user = User.objects.get(pk=ANN.pk)
        vars(user)["tenant"] = tenant
        binding = binding_of(
            fields=("id",),
            serializer_class=None,
            get_queryset=lambda self: Product.objects.filter(name=self.user.tenant.name),
        )
        seen = live.subscribe(binding, user=user)
        assert [row["id"] for row in seen.rows] == [1]
        Category.objects.filter(pk=tenant.pk).update(name="product 2")
        live.settle()
        assert [row["id"] for row in seen.rows] == [2]
