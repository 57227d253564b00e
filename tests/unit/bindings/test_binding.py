"""Declaring a binding: the forms that its parts may take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q, QuerySet
from rest_framework import serializers

from bindserver import Binding
from bindserver.bindings.binding import alias_of
from bindserver.bindings.registry import registry
from bindserver.database.pacing import Pacer
from bindserver.exceptions import BindingError, InvalidParams, UnknownEvent
from bindserver.queries import reading
from bindserver.queries.query import Query
from tests.app.models import Category, Product


def names(binding: Binding[Any]) -> list[str]:
    """Return the names of the products that a binding serves, in its order."""
    from bindserver.queries.dependencies import Recorder

    recorder = Recorder()
    with recorder.watching("default"):
        rows = reading.load(Query(binding), recorder, Pacer(10))
    found = Product.objects.in_bulk(list(rows.keys))
    return [found[pk].name for pk in rows.keys]


@pytest.fixture
def products(database: Path) -> None:
    toys, books = Category.objects.create(name="toys"), Category.objects.create(name="books")
    for name, stock, category in (("a", 1, toys), ("b", 2, books), ("c", 3, toys), ("d", 4, None)):
        Product.objects.create(name=name, stock=stock, category=category, active=name != "d")


@pytest.mark.usefixtures("products")
class TestConditions:
    def test_filters_as_a_dict(self) -> None:
        class Active(Binding[Product]):
            model = Product
            filters = {"active": True, "stock__gt": 1}

        assert names(Active()) == ["b", "c"]

    def test_filters_as_a_method_that_knows_params(self) -> None:
        class Above(Binding[Product]):
            model = Product
            params = {"least": int}

            def filters(self) -> dict[str, Any]:
                return {"stock__gte": self.params["least"]}

        assert names(Above(params={"least": "3"})) == ["c", "d"]

    def test_filters_as_a_property(self) -> None:
        class Mine(Binding[Product]):
            model = Product

            @property
            def filters(self) -> dict[str, Any]:
                return {"name": self.user.username}

        assert names(Mine(user=User(username="b"))) == ["b"]

    def test_excludes(self) -> None:
        class NoToys(Binding[Product]):
            model = Product
            excludes = {"category__name": "toys"}

        assert names(NoToys()) == ["b", "d"]

    def test_get_q_is_a_further_condition(self) -> None:
        class Some(Binding[Product]):
            model = Product
            filters = {"active": True}

            def get_q(self) -> Q:
                return Q(name="a") | Q(name="d") | Q(name="c")

        assert names(Some()) == ["a", "c"]

    def test_a_queryset_without_a_model(self) -> None:
        class Toys(Binding[Product]):
            queryset = Product.objects.filter(category__name="toys")
            filters = {"stock__gt": 1}

        assert Toys().get_model() is Product
        assert names(Toys()) == ["c"]

    def test_get_queryset(self) -> None:
        class Later(Binding[Product]):
            model = Product

            def get_queryset(self) -> QuerySet[Any]:
                return super().get_queryset().filter(name__gt="b")

        assert names(Later()) == ["c", "d"]

    def test_a_queryset_is_asked_anew_each_time(self) -> None:
        class All(Binding[Product]):
            queryset = Product.objects.all()

        assert len(names(All())) == 4
        Product.objects.create(name="e")
        assert len(names(All())) == 5

    @pytest.mark.parametrize(
        ("ordering", "expected"),
        [
            (["-stock"], "dcba"),
            ("-name", "dcba"),
            (["active", "-pk"], "dcba"),
            (["category__name", "-name"], "dbca"),
            (None, "abcd"),
        ],
    )
    def test_ordering(self, ordering: Any, expected: str) -> None:
        class Ordered(Binding[Product]):
            model = Product

        Ordered.ordering = ordering
        assert "".join(names(Ordered())) == expected

    def test_the_key_decides_between_equals(self) -> None:
        Product.objects.update(stock=7)

        class Equal(Binding[Product]):
            model = Product
            ordering = ["stock"]

        pks = list(Product.objects.order_by("pk").values_list("name", flat=True))
        assert names(Equal()) == pks

    def test_limit(self) -> None:
        class Two(Binding[Product]):
            model = Product
            ordering = ["-stock"]
            limit = 2

        assert names(Two()) == ["d", "c"]

    def test_filters_that_are_no_mapping_are_refused_by_name(self) -> None:
        class Wrong(Binding[Product]):
            model = Product
            filters = ["active"]

        with pytest.raises(BindingError, match=r"Wrong\.filters is a dict of lookups"):
            Query(Wrong())

    def test_a_get_queryset_that_returns_no_queryset_is_refused_by_name(self) -> None:
        class Wrong(Binding[Product]):
            model = Product

            def get_queryset(self) -> Any:
                return [1]

        with pytest.raises(
            BindingError, match=r"Wrong\.get_queryset\(\) returns a list; return a QuerySet"
        ):
            Query(Wrong())


def test_without_a_user_it_is_for_an_anonymous_one() -> None:
    class All(Binding[Product]):
        model = Product

    assert isinstance(All().user, AnonymousUser)


def test_a_binding_without_a_model_says_what_to_write() -> None:
    class Bare(Binding[Product]):
        fields = ["id"]

    with pytest.raises(BindingError, match=r"Bare has no model; write `model = YourModel`"):
        Bare().get_model()


def test_wrong_params_are_refused_when_it_is_made() -> None:
    class All(Binding[Product]):
        model = Product

    with pytest.raises(InvalidParams, match="unknown params: x"):
        All(params={"x": 1})


class TestRegistry:
    def test_a_subclass_is_found_by_its_event(self) -> None:
        class Named(Binding[Product]):
            model = Product
            event = "named"
            fields = ("id",)

        assert registry.get("named") is Named
        assert Named in registry.published()

    def test_without_an_event_it_is_python_s_alone(self) -> None:
        class Quiet(Binding[Product]):
            model = Product

        assert Quiet in registry.all()
        assert Quiet not in registry.published()

    def test_a_base_class_of_a_project_s_own_is_no_binding(self) -> None:
        class Base(Binding[Product]):
            limit = 10

        assert Base not in registry.all()

    def test_a_class_that_is_loaded_again_replaces_itself(self) -> None:
        def load() -> type[Binding[Any]]:
            class Again(Binding[Product]):
                model = Product
                event = "again"
                serializer_class = serializers.Serializer

            return Again

        load()
        last = load()
        assert registry.get("again") is last
        assert [b.event for b in registry.published()].count("again") == 1

    def test_the_databases_of_bindings_are_told_once_each(self) -> None:
        class Far(Binding[Product]):
            model = Product
            using = "far"

        try:
            assert alias_of(Far) == "far"
            assert alias_of(registry.get("products")) == "default"
            assert registry.aliases().count("default") == registry.aliases().count("far") == 1
        finally:
            registry.remove(Far)

    def test_an_unknown_event_is_unknown(self) -> None:
        with pytest.raises(UnknownEvent):
            registry.get("nothing")

    def test_the_app_s_bindings_were_found(self) -> None:
        assert {"products", "catalogue", "mine"} <= {b.event for b in registry.published()}
