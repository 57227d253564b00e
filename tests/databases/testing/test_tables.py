"""What a test's own tables tell of what was written: no more than a change log tells a server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError, connection, models, transaction
from django.db.models.expressions import RawSQL
from django.test.utils import CaptureQueriesContext, isolate_apps
from rest_framework import serializers

from bindserver import Binding
from bindserver.capture import tables as tracking
from bindserver.engine.changes import Change, Position
from bindserver.testing import Live, tables
from bindserver.testing.tables import TableSource
from tests.app.models import Category, Product, Tag, Token, Word


@pytest.fixture
def opened(each_database: str) -> Iterator[str]:
    """A test's own transaction, in a database of each kind."""
    with transaction.atomic():
        yield each_database
        transaction.set_rollback(True)


class Commits:
    """Looks at some tables, again and again."""

    def __init__(self, *names: str) -> None:
        self._tables = names
        self._source = TableSource(connection)
        self._at: Position
        self.next()

    def next(self) -> dict[str, frozenset[Any] | None]:
        """Return which keys changed in which tables since the last time."""
        self._source.begin()
        self._source.prepare(self._tables)
        changes: list[Change] | None = []
        if hasattr(self, "_at"):
            changes = self._source.changes(self._at)
        self._at = self._source.position()
        assert changes is not None
        return {change.table: change.pks for change in changes}


def keys(*values: Any) -> frozenset[str]:
    return frozenset(map(str, values))


def told(commits: Commits) -> dict[str, frozenset[str] | None]:
    return {name: None if pks is None else keys(*pks) for name, pks in commits.next().items()}


def run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def test_keys_are_told_of_whatever_was_written(opened: str) -> None:
    Category.objects.create(pk=1, name="a")
    Product.objects.bulk_create([Product(pk=n, name="p") for n in range(1, 5)])
    commits = Commits("app_product", "app_category")
    assert told(commits) == {}
    run("UPDATE app_product SET stock = stock + 1 WHERE id > 2")
    assert told(commits) == {"app_product": keys(3, 4)}
    Product.objects.filter(pk=1).update(category=1)
    Product.objects.bulk_create([Product(pk=9, name="new")])
    Category.objects.create(pk=2, name="b")
    assert told(commits) == {"app_product": keys(1, 9), "app_category": keys(2)}
    run("DELETE FROM app_product WHERE id = 4")
    assert told(commits) == {"app_product": keys(4)}
    assert told(commits) == {}


def test_a_changed_key_is_told_as_the_old_and_the_new(opened: str) -> None:
    Word.objects.create(text="old")
    commits = Commits("app_word")
    run("UPDATE app_word SET text = 'new'")
    assert told(commits) == {"app_word": keys("old", "new")}


def test_what_was_rolled_back_is_not_told(opened: str) -> None:
    commits = Commits("app_word")
    with transaction.atomic():
        Word.objects.create(text="never")
        transaction.set_rollback(True)
    assert told(commits) == {}


def test_keys_are_as_views_understand_them(opened: str) -> None:
    token = Token.objects.create(label="a")
    commits = Commits("app_token")
    Token.objects.update(label="b")
    logged: Any = commits.next()
    [[pk]] = logged.values()
    assert Token._meta.pk.to_python(pk) == token.pk


def test_keys_of_several_columns_are_told_by_table(
    opened: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with isolate_apps("tests.app") as apps:

        class Tagging(models.Model):
            pk = models.CompositePrimaryKey("product_id", "tag_id")
            product_id = models.IntegerField()
            tag_id = models.IntegerField()

            class Meta:
                app_label = "app"
                db_table = "app_product_tags"

    for module in (tables, tracking):
        monkeypatch.setattr(module, "apps", apps)
    product = Product.objects.create(name="p")
    commits = Commits("app_product_tags")
    product.tags.create(name="t")
    assert commits.next() == {"app_product_tags": None}
    assert commits.next() == {}


def test_a_big_table_is_not_compared(opened: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_ROWS", 2)
    Word.objects.create(text="a")
    commits = Commits("app_word")
    Word.objects.create(text="b")
    assert told(commits) == {"app_word": keys("b")}
    Word.objects.create(text="c")
    assert commits.next() == {"app_word": None}
    assert commits.next() == {"app_word": None}


def test_a_table_that_is_not_there_is_empty(opened: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Word._meta.db_table
    monkeypatch.setattr(Word._meta, "db_table", "app_unmigrated")
    commits = Commits("app_unmigrated")
    assert commits.next() == {}
    monkeypatch.setattr(Word._meta, "db_table", usual)
    Word.objects.create(text="the transaction goes on")


def test_what_is_asked_is_not_taken_for_the_test_s_own_queries(opened: str) -> None:
    commits = Commits("app_product", "app_word")
    with CaptureQueriesContext(connection) as captured:
        commits.next()
    assert len(captured) == 0


class Placed(serializers.ModelSerializer[Product]):
    place = serializers.IntegerField()

    class Meta:
        model = Product
        fields = ["id", "place"]


def test_only_rows_that_a_change_touches_are_read_again(opened: str) -> None:
    class Ranked(Binding[Product]):
        model = Product
        event = "ranked"
        fields = ["id", "stock"]

    Product.objects.bulk_create([Product(pk=n, name="p") for n in (1, 2)])
    live = Live()
    seen = live.subscribe(Ranked)
    run("UPDATE app_product SET stock = 7 WHERE id = 2")
    with CaptureQueriesContext(connection) as captured:
        live.settle()
    [read] = [query["sql"] for query in captured if "app_product" in query["sql"]]
    assert "IN (2)" in read
    assert [row["stock"] for row in seen.rows] == [0, 7]


def test_a_window_in_raw_sql_is_seen_by_the_helpers_too(opened: str) -> None:
    class Ranked(Binding[Product]):
        event = "ranked"
        serializer_class = Placed
        queryset = Product.objects.annotate(place=RawSQL("rank() OVER (ORDER BY stock DESC)", []))

    Product.objects.bulk_create([Product(pk=n, name="p", stock=n) for n in (1, 2)])
    live = Live()
    seen = live.subscribe(Ranked)
    Product.objects.filter(pk=1).update(stock=9)
    live.settle()
    assert [row["place"] for row in seen.rows] == [1, 2]


@pytest.mark.parametrize("each_database", ["postgresql", "sqlite"], indirect=True)
def test_a_serializer_that_writes_fails_as_it_would_on_a_server(opened: str) -> None:
    class Seen(serializers.ModelSerializer[Product]):
        def to_representation(self, instance: Product) -> Any:
            Tag.objects.create(name="seen")
            return super().to_representation(instance)

        class Meta:
            model = Product
            fields = ["id"]

    class SeenBinding(Binding[Product]):
        model = Product
        event = "seen"
        serializer_class = Seen

    Product.objects.create(name="one")
    with pytest.raises(DatabaseError, match=r"read-?only"):
        Live().subscribe(SeenBinding)
    assert not Tag.objects.exists()
    Tag.objects.create(name="the test may write")
