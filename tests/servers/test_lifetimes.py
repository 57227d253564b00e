"""What one read of a view remembers, the next does not find; and rows that are carried along as
instances are followed like any others."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db.models import Manager, Prefetch, QuerySet
from django.test import override_settings
from django.utils.functional import cached_property as django_cached_property
from rest_framework import serializers
from rest_framework.test import APIRequestFactory, force_authenticate

from bindserver import Binding, BoundModelViewSet
from bindserver.bindings.serializers import held_in
from bindserver.cycle.inbox import Caller, Hint, ReadRequest, SessionRequest
from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.engine.changes import Change
from bindserver.engine.cursor import load
from bindserver.engine.effects import Ask, CatchUp, Release
from bindserver.engine.protocol import Subscribe
from bindserver.hub.hub import hub
from bindserver.queries.carried import Carried, instances_in
from bindserver.queries.lifetimes import fresh, renewed
from bindserver.queries.query import Query
from bindserver.testing import Live
from tests.app.bindings import SignedBinding
from tests.app.models import Category, Membership, Product, Restaurant, Shelf, Tag
from tests.conftest import EVERY_DATABASE
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import talking
from tests.support.turning import Follower, Turning, add

Context = Callable[[Any], dict[str, Any]]


def note(serializer: Any) -> str:
    """Return what the serializer's context says, whichever way it does."""
    [(_, value)] = held_in(serializer.context).items()
    if isinstance(value, (list, QuerySet)):
        return ",".join(item.name for item in value)
    return str(getattr(value, "name", getattr(value, "username", value)))


class NotedSerializer(serializers.ModelSerializer[Product]):
    note = serializers.SerializerMethodField()

    def get_note(self, product: Product) -> str:
        return note(self)

    class Meta:
        model = Product
        fields = ["id", "note"]


def was_read(queryset: QuerySet[Any]) -> QuerySet[Any]:
    assert len(queryset) == 1
    return queryset


def noting(context: Context) -> type[Binding[Product]]:
    """Make a binding whose rows say what its serializer's context does."""

    class Noting(Binding[Product]):
        model = Product
        event = "noting"
        serializer_class = NotedSerializer

        def get_serializer_context(self) -> dict[str, Any]:
            return context(self)

    return Noting


def serving(serializer: type[serializers.BaseSerializer[Any]]) -> type[Binding[Product]]:
    """Make a binding with a serializer."""

    class Serving(Binding[Product]):
        model = Product
        event = "serving"
        serializer_class = serializer

    return Serving


def subscribed(
    turning: Turning, binding: type[Binding[Any]], user: Any = None, auth: Any = None
) -> Follower:
    """Have a user subscribe as over the wire: their permissions are asked."""
    follower = Follower()
    asked = SessionRequest(
        follower,
        Caller(user=user, auth=auth),
        Ask(number=1, message=Subscribe(event=str(binding.event), params={})),
    )
    turning.ask(asked)
    turning.turn()
    return follower


class RememberingField(serializers.Field[Any, Any, Any, Any]):
    """Remembers the first tag."""

    tag: str | None = None

    def to_representation(self, value: Any) -> str:
        self.tag = self.tag or Tag.objects.get().name
        return self.tag


def by_cached_property() -> Any:
    class Remembering(NotedSerializer):
        @cached_property
        def tag(self) -> str:
            return Tag.objects.get().name

        def get_note(self, product: Product) -> str:
            return self.tag

    return Remembering


def by_context() -> Any:
    class Remembering(NotedSerializer):
        def get_note(self, product: Product) -> str:
            context: Any = self.context
            if "tag" not in context:
                context["tag"] = Tag.objects.get().name
            return str(context["tag"])

    return Remembering


def by_attribute() -> Any:
    class Remembering(NotedSerializer):
        def get_note(self, product: Product) -> str:
            if not hasattr(self.root, "tag"):
                setattr(self.root, "tag", Tag.objects.get().name)  # noqa: B010  (types know no such attribute)
            return str(getattr(self.root, "tag"))  # noqa: B009

    return Remembering


def by_field() -> Any:
    class Remembering(serializers.ModelSerializer[Product]):
        note = RememberingField(source="name")

        class Meta:
            model = Product
            fields = ["id", "note"]

    return Remembering


def by_nested() -> Any:
    class Inner(serializers.ModelSerializer[Category]):
        tag = serializers.SerializerMethodField()

        @django_cached_property
        def first(self) -> str:
            return Tag.objects.get().name

        def get_tag(self, category: Category) -> str:
            return self.first

        class Meta:
            model = Category
            fields = ["tag"]

    class Outer(serializers.ModelSerializer[Product]):
        note = Inner(source="category")

        def to_representation(self, instance: Product) -> Any:
            data: Any = super().to_representation(instance)
            return {**data, "note": data["note"]["tag"]}

        class Meta:
            model = Product
            fields = ["id", "note"]

    return Outer


def by_list() -> Any:
    class Many(serializers.ListSerializer[Any]):
        tag: str | None = None

        def to_representation(self, data: Any) -> Any:
            self.tag = self.tag or Tag.objects.get().name
            return [self.tag]

    class Inner(serializers.ModelSerializer[Tag]):
        class Meta:
            model = Tag
            fields = ["name"]
            list_serializer_class = Many

    class Outer(serializers.ModelSerializer[Product]):
        note: Any = Inner(source="tags", many=True)

        def to_representation(self, instance: Product) -> Any:
            data: Any = super().to_representation(instance)
            return {**data, "note": data["note"][0]}

        class Meta:
            model = Product
            fields = ["id", "note"]

    return Outer


REMEMBERING = [by_cached_property, by_context, by_attribute, by_field, by_nested, by_list]


class TestASerializer:
    @pytest.mark.parametrize("made", REMEMBERING)
    def test_remembers_nothing_from_one_read_to_the_next(
        self, sqlite_turning: Turning, made: Callable[[], Any]
    ) -> None:
        Tag.objects.create(name="old")
        add(1, Category.objects.create(name="category").pk)
        rows = sqlite_turning.follow(serving(made())())
        sqlite_turning.turn()
        assert rows.column("note") == ["old"]
        Tag.objects.update(name="new")
        sqlite_turning.turn()
        assert rows.column("note") == ["new"]
        assert rows.told() == ["sync", "update"]

    def test_remembers_for_the_rows_of_one_read(self, sqlite_turning: Turning) -> None:
        Tag.objects.create(name="one")
        for pk in (1, 2, 3):
            add(pk)
        sqlite_turning.follow(serving(by_cached_property())())
        sqlite_turning.turn()
        assert sum("app_tag" in sql for sql in sqlite_turning.statements) == 1

    def test_remembers_nothing_for_views_that_are_read_together(self, turning: Turning) -> None:
        tag, serializer = Tag.objects.create(name="old"), by_cached_property()

        class Part(Binding[Product]):
            model = Product
            params = {"category": int}
            serializer_class = serializer

            def get_queryset(self) -> QuerySet[Any]:
                return Product.objects.filter(category=self.params["category"])

        both = [turning.follow(Part(params={"category": number})) for number in (1, 2)]
        turning.turn()
        Tag.objects.filter(pk=tag.pk).update(name="new")
        turning.turn()
        assert [follower.column("note") for follower in both] == [["new", "new"]] * 2
        Product.objects.filter(pk__in=[10, 20]).update(name="touched")
        Tag.objects.filter(pk=tag.pk).update(name="newer")
        turning.turn()
        assert [follower.column("note") for follower in both] == [["newer", "newer"]] * 2

    @override_settings(BINDSERVER={"SYNC_ROWS": 1})
    def test_remembers_nothing_from_big_load_to_big_load(self, turning: Turning) -> None:
        Tag.objects.create(name="old")
        rows = turning.follow(serving(by_cached_property())())
        turning.turn()
        Tag.objects.update(name="new")
        turning.turn()
        assert set(rows.column("note")) == {"new"}

    def test_of_drf_s_own_classes_is_kept_since_it_remembers_nothing(self, database: Path) -> None:
        class Own(serializers.ModelSerializer[Product]):
            category_name = serializers.CharField(source="category.name")

            class Meta:
                model = Product
                fields = ["id", "category_name"]

        kept = Query(serving(Own)())
        assert kept.render_anew() is kept.render_anew()
        made = Query(serving(by_cached_property())())
        assert made.render_anew() is not made.render_anew()


class TestAContext:
    CHANGED: Mapping[str, Context] = {
        "the user": lambda binding: {"user": binding.user},
        "a row of the user's": lambda binding: {"of": binding.user.membership_set.get().category},
        "a row": lambda binding: {"tag": Tag.objects.get()},
        "a value": lambda binding: {"name": Tag.objects.get().name},
        "rows in a list": lambda binding: {"tags": list(Tag.objects.all())},
        "a queryset": lambda binding: {"tags": Tag.objects.all()},
        "a queryset that was read": lambda binding: {"tags": was_read(Tag.objects.all())},
    }

    @pytest.mark.parametrize("what", CHANGED)
    def test_is_asked_for_anew(self, sqlite_turning: Turning, what: str) -> None:
        ann, binding = make_people(), noting(self.CHANGED[what])
        rows = subscribed(sqlite_turning, binding, ann)
        assert rows.column("note") == ["old"]
        rename_all()
        sqlite_turning.turn()
        assert rows.column("note") == ["new"]
        assert rows.told() == ["sync", "update"]
        assert subscribed(sqlite_turning, binding, ann).column("note") == ["new"]

    @pytest.mark.parametrize("what", CHANGED)
    def test_is_asked_for_anew_by_who_comes_back(self, sqlite_turning: Turning, what: str) -> None:
        ann, binding = make_people(), noting(self.CHANGED[what])
        first = subscribed(sqlite_turning, binding, ann)
        sqlite_turning.ask(SessionRequest(first, Caller(), Release(number=1)))
        sqlite_turning.turn()
        rename_all()
        assert subscribed(sqlite_turning, binding, ann).column("note") == ["new"]

    @pytest.mark.parametrize("what", CHANGED)
    def test_is_asked_for_anew_in_a_test(self, db: None, what: str) -> None:
        ann, binding = make_people(), noting(self.CHANGED[what])
        live = Live()
        rows = live.subscribe(binding, user=ann)
        rename_all()
        live.settle()
        assert [row["note"] for row in rows.rows] == ["new"]
        assert rows.actions == ["sync", "update"]

    @pytest.mark.parametrize("what", CHANGED)
    def test_is_asked_for_anew_where_signals_tell(self, bare_database: Path, what: str) -> None:
        ann, binding = make_people(), noting(self.CHANGED[what])
        with Turning() as turning:
            rows = subscribed(turning, binding, ann)
            rename_all()
            for table, pk in (
                ("auth_user", ann.pk),
                ("app_category", Category.objects.get().pk),
                ("app_tag", Tag.objects.get().pk),
            ):
                turning.ask(Hint(changes=(Change(table=table, pks=frozenset({pk})),)))
            turning.turn()
            assert rows.column("note") == ["new"]

    def test_keeps_nothing_that_a_read_leaves_in_it(self, sqlite_turning: Turning) -> None:
        everywhere: dict[str, Any] = {"notes": {"first": {}}}

        class Leaving(NotedSerializer):
            def get_note(self, product: Product) -> str:
                left = self.context["notes"]["first"]
                return str(left.setdefault("name", Tag.objects.get().name))

        class LeavingBinding(Binding[Product]):
            model = Product
            serializer_class = Leaving

            def get_serializer_context(self) -> dict[str, Any]:
                return everywhere

        Tag.objects.create(name="old")
        add(1)
        rows = sqlite_turning.follow(LeavingBinding())
        sqlite_turning.turn()
        Tag.objects.update(name="new")
        sqlite_turning.turn()
        assert rows.column("note") == ["new"]
        assert everywhere == {"notes": {"first": {}}}

    def test_that_nobody_shares_is_the_present_one_at_each_read(
        self, sqlite_turning: Turning
    ) -> None:
        add(1)
        hours = ["first"]
        rows = sqlite_turning.follow(noting(lambda _: {"hour": hours[0]})())
        sqlite_turning.turn()
        hours[0] = "second"
        Product.objects.update(name="touched")
        sqlite_turning.turn()
        assert rows.column("note") == ["second"]

    def test_that_two_share_stays_what_both_were_proved_to_get(
        self, sqlite_turning: Turning
    ) -> None:
        ann, eve = (User.objects.create(username=name) for name in ("ann", "eve"))
        themes = {"ann": "light", "eve": "light"}
        binding = noting(lambda it: {"theme": themes[it.user.username]})
        add(1)
        both = [subscribed(sqlite_turning, binding, user) for user in (ann, eve)]
        assert len(sqlite_turning.views()) == 1
        for name in themes:
            themes[name] = f"dark, as {name} likes it"
            Product.objects.update(name=f"touched for {name}")
            sqlite_turning.turn()
            assert [rows.column("note") for rows in both] == [["light"], ["light"]]

    def test_has_lazy_querysets_that_are_read_once_in_each_read(self, db: None) -> None:
        Tag.objects.create(name="old")
        context = {"tags": Tag.objects.all(), "known": [Tag.objects.all()]}
        for name in ("old", "new"):
            Tag.objects.update(name=name)
            given = fresh(context)
            assert [tag.name for tag in given["tags"]] == [name]
            assert given["tags"]._result_cache is not None
            assert [tag.name for tag in given["known"][0]] == [name]

    def test_has_querysets_that_were_read_as_they_were_read(self, db: None) -> None:
        Tag.objects.create(name="old")
        tags = Tag.objects.all()
        assert len(tags) == 1
        [given] = fresh(tags)
        given.name = "scribbled over"
        assert [tag.name for tag in tags] == ["old"]


def make_people() -> User:
    """Make a user, and a row of each kind that is called "old"."""
    ann = User.objects.create(username="old")
    category = Category.objects.create(name="old")
    Membership.objects.create(user=ann, category=category)
    Tag.objects.create(name="old")
    add(1)
    return ann


def rename_all() -> None:
    for model, name in ((User, "username"), (Category, "name"), (Tag, "name")):
        model._default_manager.update(**{name: "new"})


class CategorisedSerializer(serializers.ModelSerializer[Product]):
    note: Any = serializers.CharField(source="category.name")

    class Meta:
        model = Product
        fields = ["id", "note"]


class KeptSerializer(serializers.ModelSerializer[Shelf]):
    keeper: Any = serializers.CharField(source="keeper.username")

    class Meta:
        model = Shelf
        fields = ["id", "keeper"]


class ShelvedSerializer(serializers.ModelSerializer[Category]):
    products: Any = CategorisedSerializer(many=True, source="product_set")

    class Meta:
        model = Category
        fields = ["id", "products"]


class TestARelatedManager:
    """Brings an instance along, which the rows take for their related one."""

    def test_is_followed_like_any_row(self, turning: Turning) -> None:
        class Categorised(Binding[Product]):
            model = Product
            event = "categorised"
            serializer_class = CategorisedSerializer

            def get_queryset(self) -> QuerySet[Any]:
                return Category.objects.get(pk=1).product_set.all()

        rows = subscribed(turning, Categorised)
        assert rows.column("note") == ["category 1"] * 2
        Category.objects.filter(pk=1).update(name="renamed")
        turning.turn()
        assert rows.column("note") == ["renamed"] * 2
        assert "sync" not in rows.told()[1:]
        assert subscribed(turning, Categorised).column("note") == ["renamed"] * 2

    def test_of_the_user(self, sqlite_turning: Turning) -> None:
        class Kept(Binding[Shelf]):
            model = Shelf
            event = "kept"
            serializer_class = KeptSerializer

            def get_queryset(self) -> QuerySet[Any]:
                shelves: QuerySet[Any] = self.user.shelf_set.all()
                return shelves

        ann = User.objects.create(username="ann")
        Shelf.objects.create(keeper=ann)
        rows = subscribed(sqlite_turning, Kept, ann)
        User.objects.update(username="anna")
        sqlite_turning.turn()
        assert rows.column("keeper") == ["anna"]
        Shelf.objects.create(keeper=ann)
        sqlite_turning.turn()
        assert rows.column("keeper") == ["anna", "anna"]

    def test_in_a_prefetch(self, sqlite_turning: Turning) -> None:
        class Shelved(Binding[Category]):
            model = Category
            event = "shelved"
            serializer_class = ShelvedSerializer

            def get_queryset(self) -> QuerySet[Any]:
                mine = Category.objects.get(name="one").product_set.all()
                return Category.objects.prefetch_related(Prefetch("product_set", mine))

        add(1, Category.objects.create(pk=1, name="one").pk)
        rows = subscribed(sqlite_turning, Shelved)
        Product.objects.update(name="touched")
        sqlite_turning.turn()
        assert rows.column("products") == [[{"id": 1, "note": "one"}]]

    def test_s_instance_remembers_nothing_from_read_to_read(self, db: None) -> None:
        shelf = Shelf.objects.create(keeper=User.objects.create(username="ann"))
        mine = User.objects.get().shelf_set.all()
        first, second = renewed(mine).get(), renewed(mine).get()
        assert first.pk == second.pk == shelf.pk
        first.keeper.remembered = "something"
        assert not hasattr(second.keeper, "remembered")

    def test_is_followed_in_python_too(self, turning: Turning) -> None:
        class Categorised(Binding[Product]):
            model = Product

            def get_queryset(self) -> QuerySet[Any]:
                return Category.objects.get(pk=1).product_set.all()

        for name in ("category 1", "renamed"):
            Category.objects.filter(pk=1).update(name=name)
            asked = ReadRequest(instance=Categorised())
            turning.ask(asked)
            turning.turn()
            assert {row.category.name for row in asked.answer.result(timeout=0)} == {name}


class TestWhatIsCarriedAlong:
    """Rows that are met as instances, wherever they were loaded."""

    def test_is_found_in_everything_that_may_hold_it(self, db: None) -> None:
        ann = User.objects.create(username="ann")
        ann.groups.add(Group.objects.create(name="staff"))
        shelf = Shelf.objects.create(keeper=ann)
        known = User.objects.prefetch_related("groups").get()
        held = Shelf.objects.select_related("keeper").get()
        assert tables_in({"deep": [({"user": known},)]}) == {"auth_user", "auth_group"}
        assert tables_in(held) == {"app_shelf", "auth_user"}
        assert tables_in(ann.shelf_set.all()) == {"auth_user"}
        assert tables_in(Prefetch("shelf_set", ann.shelf_set.all())) == {"auth_user"}
        assert tables_in(Shelf.objects.all()) == set()
        assert tables_in(Restaurant(pk=1), shelf.pk, None, "text") == set()

    def test_is_known_by_its_keys(self, db: None) -> None:
        place = Restaurant.objects.create(name="place")
        carried = Carried(instances_in(place))
        assert carried.tables == {"app_restaurant", "app_place"}
        for table in carried.tables:
            assert carried.has(Change(table=table, pks=frozenset({str(place.pk)})))
            assert carried.has(Change(table=table, pks=None))
            assert not carried.has(Change(table=table, pks=frozenset({place.pk + 1})))
        assert not carried.has(Change(table="app_tag", pks=None))

    def test_that_was_loaded_before_is_asked_for_again(self, sqlite_turning: Turning) -> None:
        asked: list[int] = []
        tag, other = (Tag.objects.create(name=name) for name in ("one", "other"))

        def context(_: Any) -> dict[str, Any]:
            asked.append(1)
            return {"tag": tag}

        add(1)
        rows = sqlite_turning.follow(noting(context)())
        sqlite_turning.turn()
        asked.clear()
        Tag.objects.filter(pk=other.pk).update(name="not that one")
        sqlite_turning.turn()
        assert asked == []
        tag.name = "renamed"
        tag.save()
        sqlite_turning.turn()
        assert rows.column("note") == ["renamed"]

    def test_by_the_user_that_python_gives_is_read_anew(self, sqlite_turning: Turning) -> None:
        class OfGroups(Binding[Product]):
            model = Product

            def get_queryset(self) -> QuerySet[Any]:
                names = [group.name for group in self.user.groups.all()]
                return Product.objects.filter(name__in=names)

        ann = User.objects.create(username="ann")
        ann.groups.add(Group.objects.create(name="product 1"))
        known = User.objects.prefetch_related("groups").get()
        assert [group.name for group in known.groups.all()] == ["product 1"]
        add(1)
        add(2)
        for pks, name in (([1], "product 1"), ([2], "product 2"), ([], "nothing")):
            Group.objects.update(name=name)
            asked = ReadRequest(instance=OfGroups(user=known))
            sqlite_turning.ask(asked)
            sqlite_turning.turn()
            assert asked.answer.result(timeout=0).keys() == pks

    def test_by_a_cached_property_of_a_binding_is_read_anew(self, sqlite_turning: Turning) -> None:
        class Tagged(Binding[Product]):
            model = Product

            @cached_property
            def names(self) -> list[str]:
                return [tag.name for tag in Tag.objects.all()]

            def get_queryset(self) -> QuerySet[Any]:
                return Product.objects.filter(name__in=self.names)

        Tag.objects.create(name="product 1")
        add(1)
        add(2)
        binding = Tagged()
        for pks, name in (([1], "product 1"), ([2], "product 2")):
            Tag.objects.update(name=name)
            asked = ReadRequest(instance=binding)
            sqlite_turning.ask(asked)
            sqlite_turning.turn()
            assert asked.answer.result(timeout=0).keys() == pks


class TestARowThatProvesWhoAsks:
    """`self.auth`, as packages for API keys have it: loaded by who authenticates, long before."""

    def test_is_followed_with_what_it_leads_to(self, turning: Turning) -> None:
        class OfKey(Binding[Product]):
            model = Product
            event = "of_key"
            serializer_class = CategorisedSerializer

            def get_queryset(self) -> QuerySet[Any]:
                products: QuerySet[Any] = self.auth.category.product_set.all()
                return products

        key = Membership.objects.create(user=User.objects.create(), category_id=1)
        assert key.category.name == "category 1"  # and the instance remembers it
        rows = subscribed(turning, OfKey, auth=key)
        Category.objects.filter(pk=1).update(name="renamed")
        turning.turn()
        assert rows.column("note") == ["renamed"] * 2
        Membership.objects.update(category=2)
        turning.turn()
        assert rows.column("note") == ["category 2"] * 2
        Category.objects.filter(pk=2).update(name="renamed too")
        turning.turn()
        assert rows.column("note") == ["renamed too"] * 2

    def test_is_the_present_one_in_a_context(self, sqlite_turning: Turning) -> None:
        Category.objects.create(pk=1, name="one")
        add(1)
        key = Membership.objects.create(user=User.objects.create(), category_id=1)
        assert key.category.name == "one"
        noted = noting(lambda binding: {"category": binding.auth.category})
        rows = subscribed(sqlite_turning, noted, auth=key)
        Category.objects.update(name="renamed")
        sqlite_turning.turn()
        assert rows.column("note") == ["renamed"]

    def test_asks_for_its_own_changes_alone(self, sqlite_turning: Turning) -> None:
        asked: list[int] = []

        class OfSize(Binding[Product]):
            model = Product
            event = "of_size"
            fields = ["id"]

            def get_queryset(self) -> QuerySet[Any]:
                asked.append(1)
                return Product.objects.filter(stock=self.auth.size)

        key, other = [Shelf.objects.create(size=n) for n in (1, 2)]
        subscribed(sqlite_turning, OfSize, auth=key)
        asked.clear()
        Shelf.objects.filter(pk=other.pk).update(size=3)
        sqlite_turning.turn()
        assert asked == []
        Shelf.objects.filter(pk=key.pk).update(size=4)
        sqlite_turning.turn()
        assert asked == [1]

    def test_keeps_what_authentication_hung_on_it_and_outlives_its_row(
        self, sqlite_turning: Turning
    ) -> None:
        class Scoped(Binding[Product]):
            model = Product
            event = "of_scope"
            fields = ["id", "stock"]

            def get_queryset(self) -> QuerySet[Any]:
                return Product.objects.filter(stock__in=[self.auth.scope, self.auth.size])

        add(1, stock=10)
        add(2, stock=20)
        key: Any = Shelf.objects.create(size=30)
        key.scope = 10
        rows = subscribed(sqlite_turning, Scoped, auth=key)
        Shelf.objects.update(size=20)
        sqlite_turning.turn()
        assert rows.column("stock") == [10, 20]
        Shelf.objects.all().delete()  # when it counts no more is said by who authenticates
        sqlite_turning.turn()
        assert rows.column("stock") == [10]
        assert not rows.ended

    def test_is_read_anew_for_python_too(self, sqlite_turning: Turning) -> None:
        class OfKey(Binding[Product]):
            model = Product

            def get_queryset(self) -> QuerySet[Any]:
                return Product.objects.filter(stock=self.auth.size)

        add(1, stock=10)
        add(2, stock=20)
        key = Shelf.objects.create(size=10)
        for stock in (10, 20):
            Shelf.objects.update(size=stock)
            asked = ReadRequest(instance=OfKey(auth=key))
            sqlite_turning.ask(asked)
            sqlite_turning.turn()
            assert [row.stock for row in asked.answer.result(timeout=0)] == [stock]


def tables_in(*values: Any) -> set[str]:
    return set(Carried(instances_in(*values)).tables)


class ChosenBinding(Binding[Product]):
    """Rows that other rows name, by a list of keys that was read."""

    model = Product
    fields = ["id", "stock"]

    def get_queryset(self) -> QuerySet[Any]:
        keys = Membership.objects.filter(user=self.user.pk).values_list("category", flat=True)
        return Product.objects.filter(category__in=list(keys))


@pytest.fixture
def own() -> type[Binding[Product]]:
    class Own(Binding[Product]):
        """Rows that the user's own row names."""

        model = Product
        event = "own"
        fields = ["id", "stock"]

        def get_queryset(self) -> QuerySet[Any]:
            return Product.objects.filter(category=int(self.user.last_name))

    return Own


def make_named(category: int) -> list[User]:
    """Make Ann and Eve, who both see a category."""
    return [User.objects.create(username=n, last_name=category) for n in ("ann", "eve")]


@pytest.fixture
def chosen() -> type[Binding[Product]]:
    class Chosen(ChosenBinding):
        event = "chosen"

    return Chosen


@pytest.fixture
def people(turning: Turning) -> tuple[User, User]:
    """Ann and Eve, who both see the first category."""
    ann, eve = (User.objects.create(username=name) for name in ("ann", "eve"))
    for user in (ann, eve):
        Membership.objects.create(user=user, category_id=1)
    return ann, eve


class TestTheNewlyAskedQuery:
    def test_takes_the_view_where_nobody_else_looks_at_it(
        self, turning: Turning, people: tuple[User, User], chosen: type[Binding[Product]]
    ) -> None:
        rows = subscribed(turning, chosen, people[0])
        [live] = turning.views()
        before = live.query.fingerprint
        Membership.objects.create(user=people[0], category_id=2)
        turning.turn()
        assert rows.column("id") == [10, 11, 20, 21]
        assert rows.told() == ["sync", "batch"]
        assert turning.views() == [live]
        assert live.query.fingerprint != before
        known = load(rows.replica.cursor, b"secret")
        assert known is not None
        assert known.fingerprint == live.query.fingerprint
        Membership.objects.filter(user=people[0], category_id=1).delete()
        turning.turn()
        assert rows.column("id") == [20, 21]

    def test_leads_one_of_several_elsewhere(
        self, turning: Turning, people: tuple[User, User], chosen: type[Binding[Product]]
    ) -> None:
        ann, eve = (subscribed(turning, chosen, user) for user in people)
        Membership.objects.filter(user=people[0]).update(category=2)
        turning.turn()
        assert (ann.column("id"), eve.column("id")) == ([20, 21], [10, 11])
        assert (ann.told(), eve.told()) == (["sync", "sync"], ["sync"])

    def test_takes_the_view_where_all_who_look_at_it_want_the_same(
        self, turning: Turning, people: tuple[User, User], chosen: type[Binding[Product]]
    ) -> None:
        both = [subscribed(turning, chosen, user) for user in people]
        Membership.objects.update(category=3)
        turning.turn()
        assert [rows.column("id") for rows in both] == [[30, 31]] * 2
        assert [rows.told() for rows in both] == [["sync", "batch"]] * 2
        assert len(turning.views()) == 1

    def test_leaves_to_others_what_they_look_at(
        self, turning: Turning, own: type[Binding[Product]]
    ) -> None:
        ann, eve = make_named(1)
        hers, his = (subscribed(turning, own, user) for user in (ann, eve))
        assert len(turning.views()) == 1
        User.objects.filter(pk=ann.pk).update(last_name=2)
        turning.turn()
        assert (hers.column("id"), his.column("id")) == ([20, 21], [10, 11])
        Product.objects.filter(pk=10).update(stock=7)
        turning.turn()
        assert (hers.column("stock"), his.column("stock")) == ([0, 0], [7, 0])

    def test_lets_nobody_who_comes_back_have_what_is_another_s(
        self, turning: Turning, own: type[Binding[Product]]
    ) -> None:
        ann, eve = make_named(1)
        hers, his = (subscribed(turning, own, user) for user in (ann, eve))
        turning.ask(SessionRequest(his, Caller(), Release(number=1)))
        turning.turn()
        User.objects.filter(pk=ann.pk).update(last_name=2)
        turning.turn()
        assert hers.column("id") == [20, 21]
        assert subscribed(turning, own, eve).column("id") == [10, 11]

    def test_has_what_its_serializer_s_class_has_captured(self, sqlite_turning: Turning) -> None:
        class Capturing(Binding[Product]):
            model = Product

            def get_serializer_class(self) -> Any:
                name = Tag.objects.get().name

                class Captured(NotedSerializer):
                    def get_note(self, product: Product) -> str:
                        return name

                return Captured

        Tag.objects.create(name="old")
        add(1)
        rows = sqlite_turning.follow(Capturing())
        sqlite_turning.turn()
        Tag.objects.update(name="new")
        sqlite_turning.turn()
        assert rows.column("note") == ["new"]

    def test_is_not_the_one_that_an_older_load_reads(
        self, database: Path, own: type[Binding[Product]]
    ) -> None:
        older, newer = (Query(own(user=User(last_name=name))) for name in "12")
        binding: Any = own()
        live = LiveView(older, binding, b"secret")
        live.await_load()
        live.adopt(newer)
        live.await_load()
        assert live.awaits(time.monotonic(), newer)
        assert not live.awaits(time.monotonic(), older)

    def test_is_asked_for_once_for_each_change(
        self, turning: Turning, people: tuple[User, User], chosen: type[Binding[Product]]
    ) -> None:
        subscribed(turning, chosen, people[0])
        Membership.objects.filter(user=people[0]).update(category=2)
        turning.turn()
        assert not turning.take_one()
        turns = turning.turns
        turning.turn()
        assert turning.turns == turns + 1

    def test_of_a_row_that_changes_nothing_reads_nothing(
        self, turning: Turning, people: tuple[User, User], chosen: type[Binding[Product]]
    ) -> None:
        rows = subscribed(turning, chosen, people[0])
        User.objects.filter(pk=people[0].pk).update(last_name="a name that nobody is told")
        turning.turn()
        assert rows.told() == ["sync"]
        assert not any("app_product" in sql for sql in turning.statements)

    def test_takes_the_place_of_one_that_is_being_loaded(
        self, turning: Turning, people: tuple[User, User], chosen: type[Binding[Product]]
    ) -> None:
        with override_settings(BINDSERVER={"SYNC_ROWS": 1}):
            rows = Follower()
            message = Subscribe(event="chosen", params={})
            caller = Caller(user=people[0])
            turning.ask(SessionRequest(rows, caller, Ask(number=1, message=message)))
            turning.take_one()
            loaded = turning.next_load()
            Membership.objects.filter(user=people[0]).update(category=2)
            turning.take_one(loaded)
            [live] = turning.views()
            assert live.state is ViewState.LOADING
            assert rows.told() == []
            turning.take_one(turning.next_load())
            assert rows.column("id") == [20, 21]

    def test_shows_nobody_who_lags_behind_the_rows_of_the_one_before(
        self, turning: Turning, people: tuple[User, User], chosen: type[Binding[Product]]
    ) -> None:
        rows = subscribed(turning, chosen, people[0])
        [live] = turning.views()
        version = live.rows.view.version
        Product.objects.filter(pk=10).update(stock=7)
        turning.turn()
        Membership.objects.filter(user=people[0]).update(category=2)
        turning.ask(
            SessionRequest(rows, Caller(), CatchUp(number=1, event="products", version=version))
        )
        rows.told()
        turning.turn()
        assert rows.told() == ["sync"]
        assert rows.column("id") == [20, 21]


class Hiding(Manager[Any]):
    """Hides rows, as managers for soft deletion do."""

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().none()


class TestAManagerThatHidesRows:
    def test_does_not_hide_which_rows_a_change_reaches(
        self, turning: Turning, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manager = Hiding()
        manager.model = Product
        monkeypatch.setattr(Product._meta, "base_manager", manager)

        class Joined(Binding[Product]):
            queryset = Product.objects.select_related("category")
            serializer_class = CategorisedSerializer

        rows = turning.follow(Joined())
        turning.turn()
        Category.objects.filter(pk=1).update(name="renamed")
        turning.turn()
        assert rows.column("note")[:2] == ["renamed"] * 2

    def test_does_not_hide_users(
        self, sqlite_turning: Turning, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ann = make_people()
        manager = Hiding()
        manager.model = User
        monkeypatch.setattr(User._meta, "base_manager", manager)
        binding = noting(lambda it: {"user": it.user.username})
        assert subscribed(sqlite_turning, binding, ann).column("note") == ["old"]


@EVERY_DATABASE
class TestOverAServer:
    async def test_a_subscriber_is_sent_what_a_fresh_request_would_be(
        self, server: Server, program: Program
    ) -> None:
        program.add_products(2)
        program.run("INSERT INTO app_tag VALUES (1, 'old')")
        ann, eve = (program.log_in(name) for name in ("ann", "eve"))
        async with talking(server.ws, ann) as talk, talking(server.ws, eve) as other:
            hers, his = await talk.follow("signed"), await other.follow("signed")
            assert hers.replica.rows == [
                {"id": pk, "seen_by": "ann", "tag": "old"} for pk in (1, 2)
            ]
            program.run("UPDATE auth_user SET username = 'anna' WHERE username = 'ann'")
            await talk.until(lambda: hers.column("seen_by") == ["anna"] * 2)
            program.run("UPDATE app_tag SET name = 'new'")
            await talk.until(lambda: hers.column("tag") == ["new"] * 2)
            await other.until(lambda: his.column("tag") == ["new"] * 2)
            assert his.column("seen_by") == ["eve"] * 2
            assert hers.actions == ["sync", "batch", "batch"]
        async with talking(server.ws, ann) as talk:
            again = await talk.follow("signed")
            assert again.replica.rows == hers.replica.rows


@pytest.fixture(params=["log", "signals"])
def shop(request: pytest.FixtureRequest) -> Iterator[User]:
    """A product, a tag and a user, once with a change log and once without."""
    request.getfixturevalue("database" if request.param == "log" else "bare_database")
    yield make_people()
    hub.stop()


class TestInARequest:
    """A viewset and Python code are answered from memory, and as if they were not."""

    def test_a_viewset_answers_as_drf_would(self, shop: User) -> None:
        class Signed(BoundModelViewSet):
            binding = SignedBinding

        for name in ("old", "new", "newer"):
            User.objects.filter(pk=shop.pk).update(username=name)
            Tag.objects.update(name=name)
            request = APIRequestFactory().get("/")
            force_authenticate(request, User.objects.get())
            response = Signed.as_view({"get": "list"})(request).render()
            assert json.loads(response.content) == [{"id": 1, "seen_by": name, "tag": name}]

    def test_python_reads_by_what_the_user_is_now(self, shop: User) -> None:
        class Mine(Binding[Shelf]):
            model = Shelf

            def get_queryset(self) -> QuerySet[Any]:
                shelves: QuerySet[Any] = self.user.shelf_set.all()
                return shelves

        Shelf.objects.create(keeper=shop)
        for name in ("old", "new", "newer"):
            User.objects.filter(pk=shop.pk).update(username=name)
            [shelf] = Mine(user=shop).all()
            assert getattr(shelf.keeper, "username", None) == name
