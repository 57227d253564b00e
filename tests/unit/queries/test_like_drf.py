"""Rows are those that `serializer(queryset, many=True).data` has in a fresh request, or refused."""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from asgiref.local import Local
from django.contrib.contenttypes.prefetch import GenericPrefetch
from django.db import models
from django.db.models import F, Prefetch, QuerySet, Value
from django.db.models.functions import ExtractHour
from django.db.models.query import ModelIterable
from django.test import override_settings
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.timezone import localtime
from rest_framework import serializers

from bindserver.bindings.binding import Binding
from bindserver.bindings.registry import registry
from bindserver.bindings.row_keys import row_key
from bindserver.checks.bindings import CHECKS, problems_of
from bindserver.database.pacing import Pacer
from bindserver.database.routers import elsewhere, misplaced
from bindserver.exceptions import BindingError, TooManyRows
from bindserver.queries import reading
from bindserver.queries.dependencies import Recorder
from bindserver.queries.listed import child_of
from bindserver.queries.query import Query
from bindserver.queries.rendering import Renderer
from bindserver.user_code import neutral
from tests.app.models import Category, Product, Tag
from tests.support.turning import Turning, add


class ProductRow(serializers.ModelSerializer[Product]):
    class Meta:
        model = Product
        fields = ["id", "name"]


def unlisted(binding: type[Binding[Any]]) -> type[Any]:
    """Keep a binding out of the registry, which other tests look at."""
    registry.remove(binding)
    return binding


@dataclass(frozen=True)
class Kept:
    """Where libraries keep whose request it is."""

    get: Callable[[], str]
    set: Callable[[str], object]


_variable: ContextVar[str] = ContextVar("tenant", default="")
_local = Local()
CONTEXT_VARIABLE = Kept(_variable.get, _variable.set)
ASGIREF_LOCAL = Kept(
    lambda: getattr(_local, "tenant", ""), lambda value: setattr(_local, "tenant", value)
)


def problems(binding: type[Binding[Any]]) -> list[str]:
    return [str(problem.id) for check in CHECKS for problem in check(binding)]


def load(binding: Binding[Any]) -> list[Any]:
    rows = reading.load(Query(binding), Recorder(), Pacer(10))
    return [json.loads(fresh.text) for fresh in rows.fresh.values()]


def as_drf(queryset: QuerySet[Any], kind: Any) -> list[Any]:
    with neutral():
        rows = [dict(row) for row in kind(queryset, many=True).data]
        sent: list[Any] = json.loads(json.dumps(rows))
        return sent


# Columns that rows do not bring along.


class DeferredRow(ProductRow):
    deferred = serializers.SerializerMethodField()

    def get_deferred(self, row: Product) -> list[str]:
        return sorted(row.get_deferred_fields())

    class Meta(ProductRow.Meta):
        fields = ["id", "deferred"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "queryset",
    [Product.objects.only("name"), Product.objects.defer("stock")],
    ids=["only", "defer"],
)
def test_an_order_by_a_column_that_is_left_out_does_not_load_it(
    queryset: QuerySet[Any], django_assert_num_queries: Any
) -> None:
    for number in range(3):
        Product.objects.create(name=f"product {number}", stock=3 - number)

    class Bound(Binding[Product]):
        serializer_class = DeferredRow
        ordering = ["stock"]

        def get_queryset(self) -> QuerySet[Any]:
            return queryset.all()

    with django_assert_num_queries(1):
        loaded = load(Bound())
    assert loaded == as_drf(queryset.order_by("stock", "pk"), DeferredRow)


# The list.


class Backwards(serializers.ListSerializer[Any]):
    def to_representation(self, data: Any) -> Any:
        return super().to_representation(data)[::-1]


class BackwardsRow(ProductRow):
    class Meta(ProductRow.Meta):
        list_serializer_class = Backwards


class SavingList(serializers.ListSerializer[Any]):
    def update(self, instance: Any, validated_data: Any) -> Any:
        return instance


class SavingRow(ProductRow):
    class Meta(ProductRow.Meta):
        list_serializer_class = SavingList


class CountingRow(ProductRow):
    def to_representation(self, row: Any) -> Any:
        rows: Any = self.instance
        return {**super().to_representation(row), "of": len(rows)}


class AskingRow(ProductRow):
    def to_representation(self, row: Any) -> Any:
        seen = self.instance is not None and isinstance(self.instance, QuerySet)
        is_listed = [type(self.root).__name__, type(self.parent).__name__]
        return {**super().to_representation(row), "seen": seen, "listed": is_listed}


class ListRow(serializers.BaseSerializer[Any]):
    def to_representation(self, row: Any) -> Any:
        return [row.pk]


@unlisted
class BackwardsBinding(Binding[Product]):
    model = Product
    serializer_class = BackwardsRow


@unlisted
class SavingBinding(Binding[Product]):
    model = Product
    serializer_class = SavingRow


class TestLists:
    def test_a_list_serializer_that_renders_is_refused_by_a_check_and_at_run_time(self) -> None:
        assert problems(BackwardsBinding) == ["bindserver.E040"]
        with pytest.raises(BindingError, match="Backwards"):
            child_of(BackwardsRow, Product, {})

    def test_one_that_only_saves_is_served(self) -> None:
        assert problems(SavingBinding) == []
        assert child_of(SavingRow, Product, {}).fields.keys() == {"id", "name"}

    @pytest.mark.usefixtures("database")
    def test_a_serializer_sees_that_it_is_one_of_a_list(self) -> None:
        add(1)
        binding = Binding(model=Product, serializer_class=AskingRow)
        assert load(binding) == as_drf(Product.objects.all(), AskingRow)

    @pytest.mark.usefixtures("database")
    @pytest.mark.parametrize(
        "look",
        [
            lambda rows: len(rows),
            lambda rows: rows.count(),
            lambda rows: list(rows),
            lambda rows: rows.filter(pk=1),
            lambda rows: rows[0],
        ],
    )
    def test_one_that_reads_the_list_is_refused_loudly(self, look: Any) -> None:
        add(1)

        class Looking(ProductRow):
            def to_representation(self, row: Any) -> Any:
                return {"id": row.pk, "seen": look(self.instance)}

        with pytest.raises(BindingError, match="the list of all rows"):
            load(Binding(model=Product, serializer_class=Looking))

    @pytest.mark.usefixtures("database")
    def test_a_row_that_is_no_object_is_refused(self) -> None:
        add(1)
        with pytest.raises(BindingError, match="as a dict, not as list"):
            load(Binding(model=Product, serializer_class=ListRow))


# The key.


class ScoredRow(serializers.ModelSerializer[Product]):
    id = serializers.IntegerField(source="stock")

    class Meta:
        model = Product
        fields = ["id", "name"]


class MethodRow(serializers.ModelSerializer[Product]):
    id = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = ["id", "name"]

    def get_id(self, row: Product) -> str:
        return "same"


class FullRow(ScoredRow):
    pk = serializers.CharField(source="name")

    class Meta(ScoredRow.Meta):
        fields = ["id", "pk", "name"]


class SaidRow(serializers.BaseSerializer[Any]):
    def to_representation(self, row: Any) -> Any:
        return {"id": row.stock, "name": row.name}


class TestKeys:
    @pytest.mark.usefixtures("database")
    @pytest.mark.parametrize("kind", [ScoredRow, MethodRow])
    def test_an_id_that_is_no_key_stays_what_it_is_and_the_key_stands_beside_it(
        self, kind: Any
    ) -> None:
        add(1, stock=7)
        add(2, stock=7)
        binding = Binding(model=Product, serializer_class=kind)
        rows = load(binding)
        assert Query(binding).key == "pk"
        assert [row.pop("pk") for row in rows] == [1, 2]
        assert rows == as_drf(Product.objects.all(), kind)

    def test_without_a_free_name_it_is_refused_by_a_check_and_at_run_time(self) -> None:
        assert problems(type("B", (Binding,), {"model": Product, "serializer_class": FullRow})) == [
            "bindserver.E042"
        ]
        with pytest.raises(BindingError, match="named id and pk"):
            row_key(Product, FullRow())

    @pytest.mark.usefixtures("database")
    def test_code_that_writes_another_value_under_the_keys_name_is_refused(self) -> None:
        add(1, stock=7)
        with pytest.raises(BindingError, match="which is not its primary key 1"):
            load(Binding(model=Product, serializer_class=SaidRow))

    @pytest.mark.usefixtures("database")
    def test_two_keys_that_are_rendered_alike_are_refused(self) -> None:
        class Halved(serializers.IntegerField):
            def to_representation(self, value: Any) -> int:
                return int(value) // 2

        class HalvedRow(ProductRow):
            id = Halved(read_only=True)

        add(2)
        add(3)
        with pytest.raises(BindingError, match="renders both alike"):
            load(Binding(model=Product, serializer_class=HalvedRow))


class Leaf(models.Model):
    """A page's parent, and pages below."""

    title = models.CharField(max_length=20)

    class Meta:
        app_label = "app"
        managed = False


class Page(Leaf):
    body = models.CharField(max_length=20)

    class Meta:
        app_label = "app"
        managed = False


class Weighed(models.Model):
    weight = models.DecimalField(max_digits=6, decimal_places=2, primary_key=True)

    class Meta:
        app_label = "app"
        managed = False


@pytest.mark.parametrize(
    ("field", "name"),
    [
        (serializers.DecimalField(max_digits=6, decimal_places=2), "weight"),
        (serializers.DecimalField(max_digits=6, decimal_places=None), "weight"),
        (serializers.DecimalField(max_digits=6, decimal_places=1), "pk"),
        (serializers.FloatField(), "pk"),
        (serializers.IntegerField(), "pk"),
        (serializers.BooleanField(), "pk"),
        (serializers.CharField(), "weight"),
    ],
)
def test_a_key_that_is_rendered_as_a_fraction_or_in_part_is_not_taken_for_it(
    field: Any, name: str
) -> None:
    class WeighedRow(serializers.ModelSerializer[Weighed]):
        class Meta:
            model = Weighed
            fields = ["weight"]

        def get_fields(self) -> dict[str, Any]:
            return {"weight": field}

    assert row_key(Weighed, WeighedRow()) == (name, name == "weight")


class Seal(models.Model):
    leaf = models.OneToOneField("Leaf", models.CASCADE, primary_key=True)

    class Meta:
        app_label = "app"
        managed = False


def test_a_key_that_is_anothers_is_known_as_a_number_too() -> None:
    class SealRow(serializers.ModelSerializer[Seal]):
        leaf_id = serializers.IntegerField()

        class Meta:
            model = Seal
            fields = ["leaf_id"]

    assert row_key(Seal, SealRow()) == ("leaf_id", True)


def test_a_childs_own_id_is_its_key_and_no_pointer_is_added() -> None:
    class PageRow(serializers.ModelSerializer[Page]):
        class Meta:
            model = Page
            fields = "__all__"

    class Bare(serializers.ModelSerializer[Page]):
        class Meta:
            model = Page
            fields = ["body"]

    assert row_key(Page, PageRow()) == ("id", True)
    assert row_key(Page, Bare()) == ("id", False)


# How rows are read.


class Telling(QuerySet["Product"]):
    """Fills in what is no column, once its rows are there."""

    def _fetch_all(self) -> None:
        super()._fetch_all()
        for row in self._result_cache or ():
            if isinstance(row, Product):
                row.name = f"told {row.name}"


class Counting(QuerySet["Product"]):
    """Numbers its rows, so that each depends on the others."""

    def _fetch_all(self) -> None:
        super()._fetch_all()
        rows: Any = self._result_cache
        for number, row in enumerate(rows or ()):
            row.place = number


class CountingRows(ModelIterable):  # type: ignore[type-arg]  # it takes none at run time
    """The same, in the way of those who bring rows of another kind."""

    def __iter__(self) -> Iterator[Product]:
        for number, row in enumerate(super().__iter__()):
            row.place = number
            yield row


class Iterating(QuerySet["Product"]):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._iterable_class = CountingRows


class PlacedRow(serializers.ModelSerializer[Product]):
    place = serializers.ReadOnlyField()

    class Meta:
        model = Product
        fields = ["id", "place"]


class TestReading:
    @pytest.mark.parametrize("kind", [Counting, Iterating])
    def test_rows_that_a_queryset_makes_in_its_own_way_are_read_whole(
        self, sqlite_turning: Turning, kind: type[QuerySet[Product]]
    ) -> None:
        @unlisted
        class Placed(Binding[Product]):
            model = Product
            serializer_class = PlacedRow

            def get_queryset(self) -> Any:
                return kind(Product).order_by("-stock")

        for pk in range(1, 5):
            add(pk, stock=pk)
        rows = sqlite_turning.follow(Placed())
        sqlite_turning.turn()
        for pk in (1, 3):
            Product.objects.filter(pk=pk).update(stock=10 * pk)
            sqlite_turning.turn()
            assert rows.replica.rows == as_drf(kind(Product).order_by("-stock"), PlacedRow)

    @pytest.mark.usefixtures("database")
    def test_a_queryset_that_makes_its_rows_itself_is_evaluated(self) -> None:
        add(1, name="a")

        class Told(Binding[Product]):
            model = Product
            fields = ["id", "name"]

            def get_queryset(self) -> Any:
                return Telling(Product)

        assert load(Told()) == as_drf(Telling(Product), ProductRow) == [{"id": 1, "name": "told a"}]
        query = Query(Told())
        reading.load(query, Recorder(), Pacer(10))
        add(2, name="b")
        assert (
            len(reading.load(query, Recorder(), Pacer(10)).fresh) == 2
        )  # what was read is not kept

    @pytest.mark.usefixtures("database")
    @pytest.mark.parametrize("how", ["union", "intersection", "difference"])
    def test_a_combination_with_plain_fields_is_read(self, how: str) -> None:
        for pk in (1, 2, 3):
            add(pk, stock=pk)

        class Combined(Binding[Product]):
            model = Product
            fields = ["id", "name", "stock"]

            def get_queryset(self) -> Any:
                few = Product.objects.filter(stock__lt=3)
                return getattr(few, how)(Product.objects.filter(stock__gt=1)).order_by("id")

        kind = Combined().get_serializer_class()
        assert load(Combined()) == as_drf(Combined().get_queryset(), kind)

    @pytest.mark.usefixtures("database")
    def test_a_listener_that_fills_rows_in_is_heard(self) -> None:
        def fill(sender: Any, instance: Any, **_: Any) -> None:
            instance.name = "filled"

        add(1)
        binding = Binding(model=Product, fields=["id", "name"])
        models.signals.post_init.connect(fill, sender=Product)
        try:
            assert load(binding) == [{"id": 1, "name": "filled"}]
        finally:
            models.signals.post_init.disconnect(fill, sender=Product)

    @pytest.mark.usefixtures("database")
    def test_a_descriptor_in_a_columns_place_is_asked(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(1)
        monkeypatch.setattr(Product, "name", property(lambda row: "said", lambda row, value: None))
        renderer = Renderer(Product, ProductRow, {}, [])
        rows = list(renderer.rows(Product.objects.all(), Pacer(10)))
        assert [json.loads(row.text)["name"] for row in rows] == ["said"]


class TestLimits:
    @pytest.fixture(autouse=True)
    def tagged(self, database: Any) -> None:
        tags = [Tag.objects.create(name=f"tag {n}") for n in range(10)]
        for pk in (1, 2, 3):
            add(pk).tags.set(tags)

    def joined(self, most: int) -> Binding[Any]:
        class Joined(Binding[Product]):
            model = Product
            fields = ["id"]
            max_rows = most

            def get_queryset(self) -> Any:
                return Product.objects.filter(tags__name__startswith="tag")

        return Joined()

    def test_a_row_that_a_join_brings_ten_times_counts_once(self) -> None:
        assert load(self.joined(3)) == [{"id": 1}, {"id": 2}, {"id": 3}]

    def test_more_rows_than_that_are_too_many(self) -> None:
        with pytest.raises(TooManyRows):
            load(self.joined(2))

    def test_a_row_that_says_something_else_each_time_is_refused(self) -> None:
        class Row(serializers.ModelSerializer[Product]):
            tag = serializers.CharField()

            class Meta:
                model = Product
                fields = ["id", "tag"]

        class Each(Binding[Product]):
            model = Product
            serializer_class = Row

            def get_queryset(self) -> Any:
                return Product.objects.annotate(tag=models.F("tags__name"))

        with pytest.raises(BindingError, match="more than once"):
            load(Each())


# Surroundings.


class Germanising(serializers.ModelSerializer[Product]):
    said = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = ["id", "said"]

    def get_said(self, row: Product) -> str:
        translation.activate("de")
        timezone.activate("Asia/Tokyo")
        return "da"


class Dating(serializers.ModelSerializer[Product]):
    day = serializers.SerializerMethodField()
    hour = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = ["id", "day", "hour"]

    def get_day(self, row: Product) -> str:
        return date_format(datetime.date(2024, 1, 1), "l")

    def get_hour(self, row: Product) -> str:
        return localtime(datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)).isoformat()


@unlisted
class Activating(Binding[Product]):
    model = Product
    serializer_class = Germanising

    def get_queryset(self) -> Any:
        translation.activate("de")
        return super().get_queryset()

    def get_permissions(self) -> list[Any]:
        timezone.activate("Asia/Tokyo")
        return []


def _leave_digits() -> None:
    decimal.getcontext().prec = 2


LEAVING: dict[str, Callable[[], object]] = {
    "decimals": _leave_digits,
    "language": lambda: translation.activate("de"),
    "zone": lambda: timezone.activate("Asia/Tokyo"),
}


class TestSurroundings:
    def test_another_binding_speaks_the_projects_language(self, sqlite_turning: Turning) -> None:
        add(1)
        dating = Binding(model=Product, serializer_class=Dating)
        expected = as_drf(Product.objects.all(), Dating)
        first = sqlite_turning.follow(Activating())
        second = sqlite_turning.follow(dating)
        sqlite_turning.turn()
        assert second.replica.rows == expected
        Product.objects.update(stock=5)
        sqlite_turning.turn()
        assert (first.column("said"), second.replica.rows) == (["da"], expected)

    @pytest.mark.parametrize("how", ["queryset", "filters"])
    def test_what_a_binding_sets_holds_for_its_rows_as_within_a_request(
        self, sqlite_turning: Turning, how: str
    ) -> None:
        def set_them(language: str = "de") -> None:
            translation.activate(language)
            timezone.activate("Asia/Tokyo")

        @unlisted
        class Speaking(Binding[Product]):
            model = Product
            serializer_class = Dating
            params = {"language": str}

            def get_queryset(self) -> Any:
                if how == "queryset":
                    set_them(self.params["language"])
                return super().get_queryset()

            def filters(self) -> dict[str, Any]:
                if how == "filters":
                    set_them()
                return {}

        add(1)
        german = sqlite_turning.follow(Speaking(params={"language": "de"}))
        french = sqlite_turning.follow(Speaking(params={"language": "fr"}))
        sqlite_turning.turn()
        for pk in (2, 3):
            assert set(german.column("day")) == {"Montag"}
            assert set(german.column("hour")) == {"2024-01-01T09:00:00+09:00"}
            assert set(french.column("day")) == {"lundi" if how == "queryset" else "Montag"}
            add(pk)
            sqlite_turning.turn()

    @pytest.mark.parametrize("variable", [CONTEXT_VARIABLE, ASGIREF_LOCAL])
    @pytest.mark.parametrize("where", ["permission", "queryset", "serializer"])
    def test_what_one_binding_keeps_in_its_context_reaches_no_other(
        self, sqlite_turning: Turning, where: str, variable: Kept
    ) -> None:
        class Telling(ProductRow):
            tenant = serializers.SerializerMethodField()

            class Meta(ProductRow.Meta):
                fields = ["id", "tenant"]

            def get_tenant(self, row: Product) -> str:
                if where == "serializer" and self.context["sets"]:
                    variable.set("another's")
                return variable.get()

        @unlisted
        class Told(Binding[Product]):
            model = Product
            serializer_class = Telling
            params = {"sets": bool}

            def get_permissions(self) -> Any:
                if where == "permission" and self.params["sets"]:
                    variable.set("another's")
                return []

            def get_queryset(self) -> Any:
                if where == "queryset" and self.params["sets"]:
                    variable.set("another's")
                return Product.objects.filter(name__gt=variable.get())

            def get_serializer_context(self) -> dict[str, Any]:
                return {"sets": self.params["sets"]}

        add(1)
        sqlite_turning.follow(Told(params={"sets": True}))
        plain = sqlite_turning.follow(Told(params={"sets": False}))
        for pk in (2, 3):
            sqlite_turning.turn()
            assert set(plain.column("tenant")) == {""}
            add(pk)
        assert variable.get() == ""

    def test_what_each_row_sets_for_itself_is_rendered_as_drf_does(
        self, sqlite_turning: Turning
    ) -> None:
        class Setting(Dating):
            def to_representation(self, row: Product) -> Any:
                translation.activate("de" if row.stock else "fr")
                timezone.activate("Asia/Tokyo")
                return super().to_representation(row)

        for pk in range(3):
            add(pk, stock=pk % 2)
        client = sqlite_turning.follow(Binding(model=Product, serializer_class=Setting))
        for pk in (-1, 0, 2):
            Product.objects.filter(pk=pk).update(stock=1)
            sqlite_turning.turn()
            assert client.replica.rows == as_drf(Product.objects.order_by("pk"), Setting)

    @pytest.mark.parametrize("at_first", [True, False])
    @pytest.mark.parametrize("where", [0, 1, 2])
    @pytest.mark.parametrize("what", sorted(LEAVING))
    def test_a_row_that_others_would_see_by_what_it_leaves_set_is_refused(
        self,
        sqlite_turning: Turning,
        caplog: pytest.LogCaptureFixture,
        what: str,
        where: int,
        at_first: bool,
    ) -> None:
        class Leaving(Dating):
            third = serializers.SerializerMethodField()

            class Meta(Dating.Meta):
                fields = ["id", "day", "hour", "third"]

            def to_representation(self, row: Product) -> Any:
                if row.stock:
                    LEAVING[what]()
                return super().to_representation(row)

            def get_third(self, row: Product) -> str:
                return str(Decimal(1) / 3)

        for pk in range(3):
            add(pk, stock=int(at_first and pk == where))
        client = sqlite_turning.follow(Binding(model=Product, serializer_class=Leaving))
        sqlite_turning.turn()
        if not at_first:
            assert client.replica.rows == as_drf(Product.objects.order_by("pk"), Leaving)
            Product.objects.filter(pk=where).update(stock=1)
            sqlite_turning.turn()
        assert client.told()[-1] == ("error" if at_first else "stale")
        assert "Leaving activates a language" in caplog.text

    def test_one_that_others_would_not_see_so_is_served_whenever_it_is_read(
        self, sqlite_turning: Turning
    ) -> None:
        for pk in range(3):
            add(pk)
        client = sqlite_turning.follow(Binding(model=Product, serializer_class=Germanising))
        for pk in range(3):
            sqlite_turning.turn()
            assert client.replica.rows == as_drf(Product.objects.order_by("pk"), Germanising)
            Product.objects.filter(pk=pk).update(stock=5)

    def test_decimals_are_rounded_as_a_binding_says(self, sqlite_turning: Turning) -> None:
        class Third(serializers.ModelSerializer[Product]):
            third = serializers.SerializerMethodField()

            class Meta:
                model = Product
                fields = ["id", "third"]

            def get_third(self, row: Product) -> str:
                return str(Decimal(1) / 3)

        @unlisted
        class Rounding(Binding[Product]):
            model = Product
            serializer_class = Third

            def get_queryset(self) -> Any:
                decimal.getcontext().prec = 3
                return super().get_queryset()

        add(1)
        client = sqlite_turning.follow(Rounding())
        sqlite_turning.turn()
        add(2)
        sqlite_turning.turn()
        assert client.column("third") == ["0.333", "0.333"]
        assert decimal.getcontext().prec == decimal.DefaultContext.prec

    def test_rows_stand_as_the_time_zone_of_a_binding_orders_them(
        self, sqlite_turning: Turning
    ) -> None:
        moment = datetime.datetime(2024, 1, 1, 16, tzinfo=datetime.UTC)  # 1 o'clock in Tokyo
        hour = ExtractHour(Value(moment, output_field=models.DateTimeField()))

        @unlisted
        class ByHour(Binding[Product]):
            model = Product
            fields = ["id"]

            def get_queryset(self) -> Any:
                timezone.activate("Asia/Tokyo")
                return super().get_queryset().order_by((hour - 9) * F("stock"))

        for pk in (1, 3):
            add(pk, stock=pk)
        client = sqlite_turning.follow(ByHour())
        sqlite_turning.turn()
        add(2, stock=2)
        sqlite_turning.turn()
        assert client.column("id") == [3, 2, 1]

    def test_a_check_leaves_the_language_of_its_thread_alone(self) -> None:
        class Making(ProductRow):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                translation.activate("de")
                super().__init__(*args, **kwargs)

        @unlisted
        class Made(Binding[Product]):
            model = Product
            serializer_class = Making

        with translation.override("fr"):
            assert problems_of(Made) == []
            assert translation.get_language() == "fr"

    def test_a_callers_own_language_is_as_it_was(self) -> None:
        with translation.override("fr"), timezone.override("Asia/Tokyo"):
            with neutral():
                assert translation.get_language() == "en-us"
                translation.activate("de")
            assert translation.get_language() == "fr"
            assert timezone.get_current_timezone_name() == "Asia/Tokyo"


# Databases.


class Routed:
    """Keeps categories in the archive, as a project's router may."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "archive" if model is Category else None

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return self.db_for_read(model)


class ReadingElsewhere:
    """Says where a model is read, and that the default database has no such table."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "archive" if model is Category else None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return db == "archive" if hints.get("model") is Category else None


@contextmanager
def routed(router: type) -> Iterator[None]:
    path = f"{router.__module__}.{router.__qualname__}"
    with override_settings(DATABASE_ROUTERS=[path]):
        yield


@unlisted
class CategoryRows(Binding[Category]):
    model = Category
    fields = ["id"]


@unlisted
class Archived(Binding[Category]):
    model = Category
    fields = ["id"]

    def get_queryset(self) -> Any:
        return Category.objects.using("archive")


@unlisted
class Prefetching(Binding[Product]):
    model = Product
    fields = ["id"]

    def get_queryset(self) -> Any:
        return Product.objects.prefetch_related(
            Prefetch("tags", queryset=Tag.objects.using("archive"))
        )


@unlisted
class PrefetchingAny(Binding[Product]):
    model = Product
    fields = ["id"]

    def get_queryset(self) -> Any:
        products: Any = Product.objects
        archived = Tag.objects.using("archive")
        return products.prefetch_related(GenericPrefetch("tags", [archived]))


@unlisted
class Named(Binding[Category]):
    queryset = Category.objects.using("archive")
    fields = ["id"]


class TestDatabases:
    @pytest.mark.parametrize("kind", [Archived, Prefetching, PrefetchingAny, Named])
    def test_a_queryset_of_another_database_is_refused_and_told_the_setting(
        self, kind: Any
    ) -> None:
        with pytest.raises(BindingError, match='`using = "archive"`'):
            Query(kind())

    def test_one_that_a_class_names_is_seen_by_a_check(self) -> None:
        assert problems(Named) == ["bindserver.E041"]

    @pytest.mark.parametrize("router", [Routed, ReadingElsewhere])
    def test_a_model_that_routers_keep_elsewhere_is_refused_by_a_check_and_at_run_time(
        self, router: type
    ) -> None:
        with routed(router):
            assert problems(CategoryRows) == ["bindserver.E041"]
            with pytest.raises(BindingError, match='`using = "archive"`'):
                Query(CategoryRows())

    def test_a_binding_that_says_so_is_right(self) -> None:
        with routed(Routed):
            assert misplaced(Category, "archive") is None
            assert elsewhere(Category.objects.using("archive"), "archive") is None
