"""What a project writes into a query itself may look at any row and any table, and is read so."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.postgres.aggregates import ArrayAgg, StringAgg
from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.search import SearchQuery, SearchRank, SearchVector, TrigramSimilarity
from django.db import connections, models
from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    FilteredRelation,
    Func,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    StdDev,
    Subquery,
    Value,
    When,
    Window,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import (
    Cast,
    Coalesce,
    Concat,
    ExtractYear,
    JSONObject,
    Lower,
    Now,
    Rank,
    Round,
    TruncDay,
)
from django.db.models.lookups import Exact
from django.db.models.sql import Query as SQLQuery
from django.test.utils import isolate_apps, register_lookup
from rest_framework import serializers

from bindserver import Binding
from bindserver.queries.compiler import why_whole
from bindserver.queries.expressions import has_window, own_sql
from tests.app.models import Category, Product, Tag
from tests.support.turning import Turning, add

PRODUCTS: QuerySet[Product] = Product.objects.all()
RANK = "rank() OVER (ORDER BY stock DESC)"


def rank() -> Window:
    return Window(Rank(), order_by=F("stock").desc())


class Over(Func):
    template = "rank() OVER (ORDER BY %(expressions)s DESC)"
    output_field = IntegerField()


class Above(Exact):
    """Asks another table, as only a class of one's own does."""

    lookup_name = "above"

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        left, params = self.process_lhs(compiler, connection)
        return f"{left} >= (SELECT count(*) FROM app_tag)", [*params]


class Unlike(SQLQuery):
    """A query whose compiler might add anything."""


def unlike() -> QuerySet[Product]:
    return QuerySet(Product, query=Unlike(Product))


@pytest.fixture(autouse=True)
def _above() -> Iterator[None]:
    with register_lookup(IntegerField, Above):
        yield


WRITTEN: dict[str, Callable[[], QuerySet[Any]]] = {
    "RawSQL": lambda: PRODUCTS.annotate(place=RawSQL(RANK, ())),
    "RawSQL in a condition": lambda: PRODUCTS.filter(stock__lt=RawSQL("5", ())),
    "RawSQL in a list": lambda: PRODUCTS.filter(stock__in=[RawSQL("5", ()), 6]),
    "RawSQL in an expression": lambda: PRODUCTS.annotate(place=F("stock") + RawSQL(RANK, ())),
    "RawSQL in the order": lambda: PRODUCTS.order_by(RawSQL("stock", ())),
    "RawSQL in an order's direction": lambda: PRODUCTS.order_by(RawSQL("stock", ()).desc()),
    "RawSQL in a subquery": lambda: PRODUCTS.filter(
        pk__in=Product.objects.annotate(n=RawSQL("1", ())).filter(n=1).values("pk")
    ),
    "RawSQL in a union's part": lambda: PRODUCTS.annotate(n=RawSQL("1", ())).union(PRODUCTS),
    "RawSQL in a joined relation": lambda: PRODUCTS.annotate(
        kind=FilteredRelation("category", condition=Q(category__pk__gt=RawSQL("0", ())))
    ).filter(kind__name="a"),
    "extra select": lambda: PRODUCTS.extra(select={"place": RANK}),
    "extra where": lambda: PRODUCTS.extra(where=["stock < 5"]),
    "extra tables": lambda: PRODUCTS.extra(tables=["app_tag"]),
    "extra order": lambda: PRODUCTS.extra(select={"s": "stock"}, order_by=["-s"]),
    "extra in a subquery": lambda: PRODUCTS.filter(
        Exists(Category.objects.extra(where=["1=1"]).filter(pk=OuterRef("category")))
    ),
    "a function of one's own": lambda: PRODUCTS.annotate(
        place=Func(F("stock"), function="places", output_field=IntegerField())
    ),
    "a template": lambda: PRODUCTS.annotate(
        place=Func(F("stock"), template=Over.template, output_field=IntegerField())
    ),
    "a template in a Case": lambda: PRODUCTS.annotate(
        place=Case(When(stock=1, then=Value(1)), default=Value(2), template="(1)")
    ),
    "a class": lambda: PRODUCTS.annotate(place=Over(F("stock"))),
    "a class within": lambda: PRODUCTS.annotate(place=Coalesce(Over(F("stock")), 0)),
    "a lookup": lambda: PRODUCTS.filter(stock__above=1),
    "a lookup in a condition": lambda: PRODUCTS.annotate(
        place=Case(When(Q(stock__above=1), then=Value(1)), default=Value(0))
    ),
    "a query": unlike,
}


@pytest.mark.parametrize("name", WRITTEN)
def test_sql_of_one_s_own_is_read_whole_wherever_it_stands(name: str) -> None:
    queryset = WRITTEN[name]()
    assert own_sql(queryset.query) is not None
    why = why_whole(queryset, None)
    assert why is not None
    if not queryset.query.combinator:
        assert why.startswith("it has SQL of its own (")


def test_the_reason_names_what_it_is() -> None:
    named = {name: why_whole(WRITTEN[name](), None) for name in WRITTEN}
    assert named["RawSQL"] == "it has SQL of its own (RawSQL)"
    assert named["extra where"] == named["extra select"] == "it has SQL of its own (extra)"
    assert named["a class within"] == "it has SQL of its own (Over)"
    assert named["a lookup"] == "it has SQL of its own (Above)"
    assert named["a template"] == "it has SQL of its own (Func)"
    assert named["a query"] == "it has SQL of its own (Unlike)"


@isolate_apps("tests.app")
def test_a_field_that_selects_otherwise_has_sql_of_its_own() -> None:
    class Odd(IntegerField):  # type: ignore[type-arg]  # it takes none at run time
        def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
            return f"max({sql}) OVER ()", params

    class Thing(models.Model):
        stock = Odd()

        class Meta:
            app_label = "app"

    assert why_whole(Thing._default_manager.all(), None) == "it has SQL of its own (Odd)"


@pytest.mark.parametrize(
    "queryset",
    [
        PRODUCTS.filter(stock__gt=1, category__name="a").exclude(name="b"),
        PRODUCTS.annotate(low=Lower("name")).filter(low="a").order_by("low"),
        PRODUCTS.annotate(
            n=Subquery(Category.objects.filter(pk=OuterRef("category")).values("name")[:1])
        ),
        PRODUCTS.filter(Exists(Category.objects.filter(pk=OuterRef("category")))),
        PRODUCTS.annotate(n=Case(When(Q(stock=1) | Q(tags=None), then=1), default=F("stock"))),
        PRODUCTS.annotate(
            kind=FilteredRelation("category", condition=Q(category__name="a"))
        ).filter(kind__name="a"),
        PRODUCTS.filter(pk__in=Product.objects.annotate(place=rank()).filter(place=1).values("pk")),
    ],
    ids=["where", "function", "subquery", "exists", "case", "relation", "window of a subquery"],
)
def test_what_django_knows_is_read_by_key(queryset: QuerySet[Any]) -> None:
    assert why_whole(queryset, None) is None


KNOWN: dict[str, Any] = {
    "cast": Cast("stock", models.CharField(max_length=9)),
    "concat": Concat("name", Value(" "), "sku"),
    "count": Count("tags", distinct=True, filter=Q(tags__name="a")),
    "deviation": StdDev("tags__id", sample=True),
    "json": JSONObject(name="name", low=Lower("name")),
    "now": Now(),
    "part of a date": ExtractYear(Now(), tzinfo=datetime.UTC),
    "rank of a text": SearchRank(SearchVector("name", weight="A"), SearchQuery("a")),
    "rounded": Round("price", precision=1),
    "similar": TrigramSimilarity("name", "a"),
    "start of a day": TruncDay(Now(), tzinfo=datetime.UTC),
    "texts": StringAgg("tags__name", delimiter=Value(","), distinct=True),
    "values": ArrayAgg("tags__name", distinct=True, default=Value([])),
    "values of a subquery": ArraySubquery(Tag.objects.values("name")),
}


@pytest.mark.parametrize("name", KNOWN)
def test_so_are_all_functions_of_django(name: str) -> None:
    assert own_sql(PRODUCTS.annotate(found=KNOWN[name]).query) is None


@pytest.mark.parametrize(
    "queryset",
    [
        PRODUCTS.annotate(place=Case(When(stock=1, then=rank()), default=Value(0))),
        PRODUCTS.alias(first=rank()).annotate(place=F("first") + 1),
        PRODUCTS.alias(first=rank()).filter(first__lt=3),
        PRODUCTS.filter(Exists(Category.objects.all()), Q(pk__gt=0)).order_by(rank()),
    ],
    ids=["case", "alias", "condition", "order"],
)
def test_windows_are_found_wherever_they_hide(queryset: QuerySet[Any]) -> None:
    assert has_window(queryset.query)
    assert why_whole(queryset, None) == "it has window functions"


class Placed(serializers.ModelSerializer[Product]):
    place = serializers.IntegerField()

    class Meta:
        model = Product
        fields = ["id", "place"]


def count_of(source: str) -> QuerySet[Any]:
    return PRODUCTS.annotate(place=RawSQL(f"(SELECT count(*) FROM {source})", ()))


def schema() -> str:
    """Return the schema that the tables are in, as a statement names it."""
    settings = connections["default"].settings_dict
    known = {"sqlite": "main", "postgresql": "public"}
    return known.get(connections["default"].vendor, str(settings["NAME"]))


def folded(name: str) -> str:
    """Return a table's name in another case, where the database does not care."""
    return name if connections["default"].vendor == "mysql" else name.upper()


PLACED: dict[str, Callable[[], QuerySet[Any]]] = {
    "a window in RawSQL": WRITTEN["RawSQL"],
    "a window in extra": WRITTEN["extra select"],
    "a window in a template": WRITTEN["a template"],
    "a window in a class": WRITTEN["a class"],
    "a window in a Case": lambda: PRODUCTS.annotate(
        place=Case(When(stock__gte=0, then=rank()), default=Value(0))
    ),
    "a window behind an alias": lambda: PRODUCTS.alias(first=rank()).annotate(place=F("first") + 1),
    "a condition on a window": lambda: PRODUCTS.annotate(place=rank()).filter(place__lt=4),
    "a table with its schema": lambda: count_of(f"{schema()}.app_category"),
    "tables with commas": lambda: count_of("app_tag AS t, app_category AS c"),
    "a table in another case": lambda: count_of(folded("app_category")),
    "its own table once more": lambda: count_of("app_product AS p WHERE p.stock > 3"),
    "its own table with its schema": lambda: count_of(f"{schema()}.app_product WHERE stock > 3"),
    "a lookup that asks elsewhere": lambda: PRODUCTS.filter(stock__above=1).annotate(
        place=Value(1)
    ),
    "tables of extra": lambda: PRODUCTS.extra(
        select={"place": "app_category.id"},
        tables=["app_category"],
        where=["app_category.id = app_product.category_id"],
    ),
}


@pytest.mark.parametrize("name", PLACED)
def test_every_change_reaches_every_row_that_it_may(turning: Turning, name: str) -> None:
    class Ranked(Binding[Product]):
        event = "ranked"
        serializer_class = Placed

        def get_queryset(self) -> QuerySet[Any]:
            return PLACED[name]()

    Tag.objects.create(name="first")
    follower = turning.follow(Ranked())
    turning.turn()
    for write in (
        lambda: Product.objects.filter(pk=30).update(stock=9),
        lambda: Product.objects.filter(pk__in=(10, 11)).update(stock=2),
        lambda: Category.objects.create(pk=4, name="d"),
        lambda: Product.objects.filter(pk=20).update(category=4),
        lambda: Tag.objects.create(name="second"),
        lambda: add(41, 4, stock=5),
        lambda: Product.objects.filter(pk=30).delete(),
    ):
        write()
        turning.turn()
        expected = [{"id": row.pk, "place": row.place} for row in PLACED[name]().order_by("pk")]
        assert follower.replica.rows == expected
