"""What two are told apart by: values, callers, classes that a function has made."""

from __future__ import annotations

import gc
import json
from typing import Any, NoReturn

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import QuerySet
from django.utils.functional import SimpleLazyObject
from rest_framework import serializers

from bindserver import Binding
from bindserver.bindings.registry import registry
from bindserver.cycle.attached import carry_over
from bindserver.cycle.inbox import Caller
from bindserver.queries.identity import IdentityEncoder
from bindserver.queries.query import Query
from tests.app.models import Category, Product
from tests.servers.test_commands import run


def encoded(value: Any) -> str:
    return json.dumps(IdentityEncoder().encode(value))


class TestValues:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (memoryview(b"a"), memoryview(b"b")),
            ([1], [True]),
            ({1: "a"}, {"1": "a"}),
            (b"a", bytearray(b"a")),
            (0.0, -0.0),
        ],
    )
    def test_that_are_written_alike_are_told_apart(self, one: Any, other: Any) -> None:
        assert encoded(one) != encoded(other)

    @pytest.mark.parametrize(
        "make",
        [
            lambda: memoryview(b"ann"),
            lambda: {"a": {2, 1}, "b": [1.5, None]},
            lambda: Product(pk=1, category=Category(pk=2)),
            lambda: Product.objects.filter(pk__in=[1, 2]),
        ],
    )
    def test_that_are_made_alike_are_one(self, make: Any) -> None:
        assert encoded(make()) == encoded(make())

    def test_a_driver_s_type_by_another_s_path_is_not_believed(self) -> None:
        class Pretender:
            obj = dumps = None

        Pretender.__module__, Pretender.__qualname__ = "psycopg.types.json", "Jsonb"
        assert encoded(Pretender()) != encoded(Pretender())

    def test_an_object_is_itself_as_long_as_it_lives(self) -> None:
        class Thing:
            pass

        thing = Thing()
        assert encoded(thing) == encoded(thing)
        seen = {encoded(Thing()) for _ in range(100) if gc.collect(0) >= 0}
        assert len(seen) == 100  # each had the last one's place in memory

    def test_what_is_not_known_is_said(self) -> None:
        encoder = IdentityEncoder()
        encoder.items({"request": object()}, "context")
        (why,) = encoder.unshared
        assert why == "context['request'] is builtins.object, which is known by itself alone"

    def test_a_key_is_never_asked_for_its_text(self) -> None:
        class Key:
            def __repr__(self) -> NoReturn:
                raise AssertionError("a key's text was asked for")

        encoder = IdentityEncoder()
        encoder.items({Key(): object()}, "context")
        assert encoder.unshared[1].startswith("context[a Key] is builtins.object")


class TestCallers:
    def test_nobody_is_nobody_in_any_form(self) -> None:
        known = {Caller(user=user).identity() for user in (None, AnonymousUser())}
        assert known == {Caller(user=SimpleLazyObject(AnonymousUser)).identity()}

    def test_what_hangs_on_a_user_counts(self) -> None:
        reader, writer = User(pk=1, username="a"), User(pk=1, username="a")
        writer.date_joined = reader.date_joined
        assert Caller(user=reader).identity() == Caller(user=writer).identity()
        vars(writer)["scopes"] = ["write"]
        assert Caller(user=reader).identity() != Caller(user=writer).identity()

    def test_two_keys_of_one_name_are_two(self) -> None:
        one, other = Category(pk=1, name="default"), Category(pk=2, name="default")
        assert Caller(auth=one).identity() != Caller(auth=other).identity()

    def test_what_authentication_hung_on_a_user_stays_when_its_row_is_read_anew(self) -> None:
        known, fresh = User(pk=1, username="old", is_staff=True), User(pk=1, username="new")
        vars(known).update(scopes=["read"], _perm_cache={"app.delete"})
        lazy: Any = SimpleLazyObject(lambda: known)
        carry_over(lazy, fresh)
        assert vars(fresh)["scopes"] == ["read"]
        assert (fresh.username, fresh.is_staff) == ("new", False)
        assert "_perm_cache" not in vars(fresh)


class TestClasses:
    def test_bindings_that_one_function_makes_are_all_published(self) -> None:
        def make(name: str) -> type[Binding[Any]]:
            class Made(Binding[Product]):
                model = Product
                event = f"made_{name}"
                fields = ["id"]

            return Made

        made = {name: make(name) for name in ("one", "other")}
        assert registry.get("made_one") is made["one"]
        assert registry.get("made_other") is made["other"]

    def test_a_serializer_that_is_made_for_each_makes_a_view_of_each(self) -> None:
        class ForEach(Binding[Product]):
            model = Product

            def get_serializer_class(self) -> Any:
                class Row(serializers.ModelSerializer[Product]):
                    class Meta:
                        model = Product
                        fields = ["id"]

                return Row

        one, other = Query(ForEach()), Query(ForEach())
        assert one.identity != other.identity
        assert one.fingerprint != other.fingerprint
        assert "the serializer class is " in other.unshared[0]

    def test_views_of_each_are_listed_with_the_reason(self, bare_database: object) -> None:
        class Kept:
            pass

        class Lonely(Binding[Product]):
            model = Product
            event = "lonely"
            fields = ["id"]

            def get_serializer_context(self) -> dict[str, Any]:
                return {"kept": Kept()}

            def get_queryset(self) -> QuerySet[Any]:
                return Product.objects.all()

        lines = run("list").splitlines()
        at = next(i for i, line in enumerate(lines) if line.startswith("lonely: "))
        assert lines[at + 1].startswith(
            f"  each subscriber has a view of their own: context['kept'] is {__name__}."
        )
