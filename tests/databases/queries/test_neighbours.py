"""The row before another, as the database tells it, is the one that stands there in its list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from django.db import connection, models
from django.db.models import Case, Count, F, OuterRef, QuerySet, Subquery, When
from django.db.models.functions import Coalesce, Collate, Length, Lower, Now
from django.db.models.functions import Random as AtRandom
from django.test.utils import isolate_apps

from bindserver.database.pacing import Pacer
from bindserver.queries.dependencies import Recorder
from bindserver.queries.neighbours import neighbours_of
from tests.app.models import Product
from tests.databases.queries.test_order import binding_of, ids, with_key
from tests.support.turning import Turning, add

with isolate_apps("tests.app"):

    class Place(models.Model):
        title = models.CharField(max_length=40)

        class Meta:
            app_label = "app"
            db_table = "app_near_place"
            ordering = ["-title"]

    class Near(models.Model):
        """Columns of all sorts, full of values that are equal or nearly so."""

        text = models.CharField(max_length=200)
        maybe = models.CharField(max_length=40, null=True)
        folded = models.CharField(max_length=200, db_collation="binary")
        long = models.TextField(default="")
        number = models.IntegerField(null=True)
        share = models.FloatField(null=True)
        price = models.DecimalField(max_digits=8, decimal_places=2, null=True)
        day = models.DateField(null=True)
        moment = models.DateTimeField(null=True)
        uid = models.UUIDField(null=True)
        on = models.BooleanField(default=False)
        place = models.ForeignKey(Place, on_delete=models.CASCADE, null=True)

        class Meta:
            app_label = "app"
            db_table = "app_near"
            indexes = [models.Index(fields=["text"], name="near_text")]


FOLDING = {"sqlite": "NOCASE", "postgresql": "bindserver_test_ci", "mysql": "utf8mb4_unicode_ci"}
EXACT = {"sqlite": "BINARY", "postgresql": "C", "mysql": "utf8mb4_bin"}
WORDS = ("a", "A", "b", "B", "ä", "a ", "a\t", "ab", "a-b", "aB", "", "é", "e", "E", "ß", "ss", "ᴀ")


def text(chance: Random, most: int = 3) -> str:
    return "".join(chance.choice(WORDS) for _ in range(chance.randrange(most)))


def row(chance: Random, places: list[Place]) -> dict[str, Any]:
    import datetime
    import uuid
    from decimal import Decimal

    def maybe(value: Any) -> Any:
        return chance.choice([None, value, value])

    stem = "x" * 100
    return {
        "text": text(chance) if chance.randrange(4) else stem + text(chance),
        "maybe": maybe(text(chance)),
        "folded": text(chance) if chance.randrange(4) else stem + text(chance),
        "long": "y" * chance.choice([0, 100]) + text(chance),
        "number": maybe(chance.randrange(3)),
        "share": maybe(chance.choice([0.1, -0.5, 1e300, 0.30000000000000004, 0.3])),
        "price": maybe(Decimal(chance.randrange(-3, 3)) / 4),
        "day": maybe(datetime.date(2024, 1, chance.randrange(1, 4))),
        "moment": maybe(
            datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
            + datetime.timedelta(microseconds=chance.randrange(3))
        ),
        "uid": maybe(uuid.UUID(int=chance.choice([1, 2**127, 2**64]))),
        "on": chance.random() < 0.5,
        "place": maybe(chance.choice(places)),
    }


@pytest.fixture
def near(each_database: str) -> Iterator[str]:
    """A table of many rows, whose texts are put in order by a collation that folds letters."""
    Near._meta.get_field("folded").db_collation = FOLDING[each_database]
    if each_database == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE COLLATION bindserver_test_ci (provider = icu, "
                "locale = 'und-u-ks-level2', deterministic = false)"
            )
    with connection.schema_editor() as editor:
        editor.create_model(Place)
        editor.create_model(Near)
    chance = Random(5)
    places = [Place._base_manager.create(title=word) for word in WORDS]
    Near._base_manager.bulk_create(Near(**row(chance, places)) for _ in range(70))
    yield each_database
    with connection.schema_editor() as editor:
        editor.delete_model(Near)
        editor.delete_model(Place)


def rows() -> QuerySet[Any]:
    return Near._base_manager.all()


ORDERS: dict[str, Callable[[str], QuerySet[Any]]] = {
    "text": lambda _: rows().order_by("text"),
    "text falling": lambda _: rows().order_by("-text"),
    "folded text": lambda _: rows().order_by("folded"),
    "folded text falling": lambda _: rows().order_by("-folded", "-pk"),
    "folded text reversed": lambda _: rows().order_by("folded", "-number", "pk").reverse(),
    "long text": lambda _: rows().order_by("long"),
    "text that may be null": lambda _: rows().order_by("maybe", "-text"),
    "the same falling": lambda _: rows().order_by("-maybe", "text"),
    "numbers and nulls": lambda _: rows().order_by("number", "-price"),
    "nulls last": lambda _: rows().order_by(F("number").asc(nulls_last=True), "-share"),
    "nulls first": lambda _: rows().order_by(F("number").desc(nulls_first=True), "share"),
    "nulls first reversed": lambda _: (
        rows()
        .order_by(F("number").desc(nulls_first=True), F("day").asc(nulls_last=True), "pk")
        .reverse()
    ),
    "a column of each sort": lambda _: rows().order_by("on", "day", "-moment", "uid"),
    "moments": lambda _: rows().order_by("moment", "-uid"),
    "floats": lambda _: rows().order_by("share", "-price"),
    "prices": lambda _: rows().order_by("-price"),
    "by the other's column": lambda _: rows().order_by("place__title", "text"),
    "the same falling, filtered": lambda _: (
        rows().filter(place__title__gt="a").order_by("-place__title")
    ),
    "by the key of the other": lambda _: rows().order_by("place_id", "-text"),
    "an expression": lambda _: rows().order_by(Lower("text").desc(), F("number") + 1),
    "a default": lambda _: rows().order_by(Coalesce("maybe", "text"), Length("text").desc()),
    "a collation": lambda vendor: rows().order_by(Collate(F("text"), FOLDING[vendor])),
    "another": lambda vendor: rows().order_by(Collate(F("folded"), EXACT[vendor]).desc()),
    "what is annotated": lambda _: (
        rows().annotate(low=Lower("folded"), sized=Length("text")).order_by("-sized", "low")
    ),
    "distinct": lambda _: rows().filter(place__isnull=False).order_by("text").distinct(),
    "beside a count": lambda _: rows().annotate(n=Count("place__near")).order_by("maybe"),
    "the key alone": lambda _: rows().order_by("-pk"),
}


def with_its_key(queryset: QuerySet[Any]) -> QuerySet[Any]:
    keyed = any(item in ("pk", "-pk") for item in queryset.query.order_by)
    return queryset if keyed else queryset.order_by(*queryset.query.order_by, "pk")


def test_the_row_before_is_what_the_list_says(near: str) -> None:
    wrong = {}
    name: str
    for name, order in ORDERS.items():
        queryset = with_its_key(order(near))
        neighbours = neighbours_of(queryset, "default")
        assert neighbours is not None, name
        listed = list(dict.fromkeys(queryset.values_list("pk", flat=True)))
        expected = dict(zip(listed, [None, *listed], strict=False))
        found = neighbours.before(listed, Recorder(), Pacer(60))
        assert found is not None
        differing = {pk: (one, found[pk]) for pk, one in expected.items() if one != found[pk]}
        if differing:
            wrong[name] = differing
    assert wrong == {}


def test_long_texts_are_listed_where_they_are_cut(near: str) -> None:
    for ending in "ba":
        Near._base_manager.create(text="", folded="", long="z" * 2000 + ending)
    queryset = rows().filter(long__startswith="z").order_by("long", "pk")
    neighbours = neighbours_of(queryset, "default")
    assert neighbours is not None
    second, first = queryset.order_by("pk").values_list("pk", flat=True)
    found = neighbours.before([first, second], Recorder(), Pacer(60))
    assert found == (None if near == "mysql" else {first: None, second: first})


UNKNOWN: dict[str, Callable[[], QuerySet[Any]]] = {
    "chance": lambda: rows().order_by("?"),
    "chance as an expression": lambda: rows().order_by(AtRandom()),
    "time": lambda: rows().order_by(Case(When(moment__lt=Now(), then=1), default=2), "pk"),
    "time in an annotation": lambda: rows().annotate(age=Now() - F("moment")).order_by("age"),
    "rows that name it": lambda: Product.objects.order_by("tags__name"),
    "a count": lambda: Product.objects.annotate(n=Count("tags")).order_by("n"),
    "another model's order": lambda: rows().order_by("place"),
    "a subquery": lambda: rows().order_by(
        Subquery(Place._base_manager.filter(pk=OuterRef("place")).values("title")[:1])
    ),
    "extra": lambda: Product.objects.extra(order_by=["name"]),
    "a slice": lambda: Product.objects.order_by("name")[:3],
    "a union": lambda: Product.objects.all().union(Product.objects.all()).order_by("name"),
    "no order": lambda: Product.objects.all(),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_order_that_may_be_another_without_a_change_of_the_row_is_listed(name: str) -> None:
    assert neighbours_of(UNKNOWN[name](), "default") is None


TURNS: dict[str, Callable[[], QuerySet[Any]]] = {
    "text": lambda: Product.objects.order_by("-name"),
    "an expression": lambda: Product.objects.order_by(Lower("name"), "-stock"),
    "nulls": lambda: Product.objects.order_by("category_id", "-sku"),
    "the other's text": lambda: Product.objects.order_by("category__name", "name"),
}


@pytest.mark.parametrize("name", TURNS)
def test_a_row_that_moves_is_placed_by_its_neighbour_and_no_key_is_listed(
    turning: Turning, name: str
) -> None:
    for number in range(100, 170):
        add(number, number % 4 or None, name=f"{'aB'[number % 2]}{number % 7}", stock=number % 3)
    follower = turning.follow(binding_of(TURNS[name]()))
    turning.turn()
    follower.told()
    for write in (
        lambda: Product.objects.filter(pk=120).update(name="zz", stock=9, category=None),
        lambda: Product.objects.filter(pk=120).update(name="AA", stock=0, category=1, sku="b"),
        lambda: Product.objects.filter(pk__in=(101, 140)).update(name="b3", category=2),
        lambda: add(7, 2, name="b3"),
        lambda: Product.objects.filter(pk=7).update(name="B"),
    ):
        write()
        turning.turn()
        assert follower.column("id") == ids(with_key(TURNS[name]()))
        assert len(turning.statements) <= 1 + 1 + 2  # the rows, their NULLs, and one for each
        assert all(" LIMIT 1" in sql for sql in turning.statements[2:])
    Product.objects.filter(pk=120).delete()
    turning.turn()
    assert len(turning.statements) == 1
    assert follower.column("id") == ids(with_key(TURNS[name]()))
    assert "stale" not in follower.told()


def test_past_a_few_rows_all_keys_are_listed(turning: Turning) -> None:
    for number in range(100, 400):
        add(number, name=f"{number % 7}")
    queryset = Product.objects.order_by("-name")
    follower = turning.follow(binding_of(queryset))
    turning.turn()
    Product.objects.filter(pk__in=range(100, 120)).update(name="3")
    turning.turn()
    assert len(turning.statements) == 2
    assert follower.column("id") == ids(with_key(queryset))


def test_a_row_that_came_without_a_word_is_found_beside_one_that_moved(turning: Turning) -> None:
    queryset = Product.objects.order_by("name")
    for number in range(100, 160):
        add(number)
    follower = turning.follow(binding_of(queryset))
    turning.turn()
    live = turning.views()[0]
    lost = live.rows.keys.pop(20)  # as if nobody had heard of it
    live.rows.view.step(fresh={}, gone=[lost], after={})
    Product.objects.filter(pk=31).update(name="product 20 and more")
    turning.turn()
    assert list(live.rows.view.keys()) == ids(with_key(queryset))
    assert "stale" not in follower.told()
