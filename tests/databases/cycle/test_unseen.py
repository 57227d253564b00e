"""Tables that cannot be watched for a while: views that read them are compared."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import override_settings

from bindserver.cycle.inbox import Caller, SessionRequest
from bindserver.cycle.live_view import ViewState
from bindserver.engine.effects import Ask
from bindserver.engine.protocol import Subscribe
from bindserver.exceptions import CaptureBusy, CaptureError
from tests.app.bindings import CatalogueBinding, ProductBinding, TagBinding, WordBinding
from tests.app.models import Category, Product, Tag, Word
from tests.support.turning import Follower, Turning, add

TRIGGERS = {
    "sqlite": "SELECT 'DROP TRIGGER ' || name FROM sqlite_master "
    "WHERE type = 'trigger' AND tbl_name = '{table}'",
    "postgresql": "SELECT format('DROP TRIGGER %%I ON {table}', tgname) FROM pg_trigger "
    "WHERE tgrelid = '{table}'::regclass AND tgname LIKE 'bindserver%%'",
    "mysql": "SELECT CONCAT('DROP TRIGGER ', trigger_name) FROM information_schema.triggers "
    "WHERE event_object_schema = DATABASE() AND event_object_table = '{table}'",
}


def drop_triggers(table: str) -> None:
    """Do what a table that is built anew does to its triggers."""
    with connection.cursor() as cursor:
        cursor.execute(TRIGGERS[connection.vendor].format(table=table), [])
        for (statement,) in cursor.fetchall():
            cursor.execute(statement)


@pytest.fixture
def refuse(turning: Turning, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have nobody put triggers on anything, until it is called again."""
    log: Any = turning.source._log
    install = log.install

    def refusing(tables: Any, **given: Any) -> Any:
        raise CaptureBusy("somebody holds a lock")

    def switch(*, on: bool) -> None:
        monkeypatch.setattr(log, "install", refusing if on else install)

    return switch


def test_a_view_is_compared_from_time_to_time_until_its_table_is_watched_again(
    turning: Turning, refuse: Any
) -> None:
    words, tags = turning.follow(WordBinding(), "text"), turning.follow(TagBinding())
    turning.turn()
    drop_triggers("app_word")
    refuse(on=True)
    Word.objects.create(text="missed")
    turning.look_at_schema()
    turning.turn()
    assert words.column("text") == ["missed"]
    assert turning.source.unseen() == {"app_word"}

    Word.objects.create(text="more")
    turning.compare_suspects()
    turning.turn()
    assert words.column("text") == ["missed", "more"]

    refuse(on=False)
    Word.objects.create(text="now")
    turning.try_triggers_again()
    turning.turn()
    assert words.column("text") == ["missed", "more", "now"]
    assert turning.source.unseen() == frozenset()
    Word.objects.create(text="then")
    turning.turn()
    assert words.column("text") == ["missed", "more", "now", "then"]
    assert tags.told() == ["sync"]


def test_whoever_comes_gets_the_rows_as_they_are_now(turning: Turning, refuse: Any) -> None:
    turning.follow(WordBinding(), "text")
    turning.turn()
    drop_triggers("app_word")
    refuse(on=True)
    turning.look_at_schema()
    turning.turn()
    Word.objects.create(text="unseen")
    late = turning.follow(WordBinding(), "text")
    turning.turn()
    assert late.column("text") == ["unseen"]


def test_rows_that_are_read_again_never_stand_beside_older_ones(
    turning: Turning, refuse: Any
) -> None:
    """One row of the joined table is seen to change, and a row of the other is not."""
    products = turning.follow(CatalogueBinding())
    turning.turn()
    drop_triggers("app_product")
    refuse(on=True)
    turning.look_at_schema()
    turning.turn()
    assert turning.source.unseen() == {"app_product"}
    products.told()
    Product.objects.filter(pk=30).update(stock=7)
    Category.objects.filter(pk=1).update(name="another")
    turning.turn()
    assert products.told() == ["batch"]
    found = {row["id"]: (row["category_name"], row["stock"]) for row in products.replica.rows}
    assert found[10][0] == "another"
    assert found[30][1] == 7


def test_nobody_who_follows_it_is_told_that_they_have_all_of_a_state(
    turning: Turning, refuse: Any
) -> None:
    words, tags = turning.follow(WordBinding(), "text"), turning.follow(TagBinding())
    turning.turn()
    drop_triggers("app_word")
    refuse(on=True)
    turning.look_at_schema()
    turning.turn()
    Word.objects.create(text="unseen")
    Tag.objects.create(name="seen")
    turning.turn()
    assert tags.column("name") == ["seen"]
    behind = turning.store.lagging(turning.source.position(), turning.source.unseen())
    assert words in behind
    assert tags not in behind


def test_what_permission_classes_read_is_watched_at_once_too(turning: Turning) -> None:
    turning.follow(ProductBinding())
    turning.turn()
    drop_triggers("app_tag")
    turning.forget_table("app_tag")
    turning.look_at_schema()
    follower, message = Follower(), Subscribe(event="shaky", params={})
    turning.ask(SessionRequest(follower, Caller(), Ask(number=1, message=message)))
    turning.turn()
    assert follower.told() == ["sync"]
    assert turning.source.watches({"app_tag"})


def test_big_views_arrive_for_a_role_that_only_reads_and_has_missed_something(
    postgresql_database: str,
) -> None:
    with psycopg.connect(postgresql_database, autocommit=True) as owner, Turning() as turning:
        add(1), add(2), add(3)
        turning.follow(WordBinding(), "text")
        products = turning.follow(ProductBinding())
        turning.turn()
        owner.execute("CREATE ROLE spectator")
        owner.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO spectator")
        connection.cursor().execute("SET ROLE spectator")
        owner.execute("ALTER TABLE app_word DISABLE TRIGGER USER")
        turning.turn()
        assert turning.source.unseen() == {"app_word"}
        owner.execute("UPDATE app_product SET stock = 7")
        with override_settings(BINDSERVER={"SYNC_ROWS": 2}):
            turning.take_one()
            loaded = turning.next_load()
            turning.take_one(loaded)
        assert products.column("stock") == [7, 7, 7]
        assert [live.state for live in turning.views()] == [ViewState.READY] * 2
        connection.cursor().execute("RESET ROLE")
        owner.execute("DROP OWNED BY spectator")
        owner.execute("DROP ROLE spectator")


@pytest.mark.parametrize(("problem", "epochs"), [(CaptureBusy, 1), (CaptureError, 2)])
def test_a_table_that_stays_unseen_begins_one_epoch_at_most_and_one_that_is_new_none(
    turning: Turning, monkeypatch: pytest.MonkeyPatch, problem: type[CaptureError], epochs: int
) -> None:
    def refuse(tables: Any, **given: Any) -> Any:
        raise problem("nobody can have it")

    turning.follow(WordBinding(), "text")
    turning.turn()
    seen = [turning.source.position().epoch]
    monkeypatch.setattr(turning.source._log, "install", refuse)
    turning.source.prepare([*turning.source._tables, "django_session"])
    seen.append(turning.source.position().epoch)
    assert len(set(seen)) == 1
    drop_triggers("app_word")
    for _ in range(3):
        turning.try_triggers_again()
        turning.turn()
        seen.append(turning.source.position().epoch)
    assert turning.source.unseen() == {"app_word", "django_session"}
    assert len(set(seen)) == epochs


def test_a_new_table_to_watch_moves_no_view_that_does_not_read_it(turning: Turning) -> None:
    words, tags = turning.follow(WordBinding(), "text"), turning.follow(TagBinding())
    turning.turn()
    turning.turn()
    turning.statements.clear()
    turning.source.prepare([*turning.source._tables, "django_session"])
    assert turning.source.watches(["django_session"])
    turning.turn()
    assert not any('"app_' in sql or "`app_" in sql for sql in turning.statements)
    assert words.told() == tags.told() == ["sync"]


def test_a_server_that_may_not_install_leaves_the_schema_and_says_what_to_run(
    turning: Turning, caplog: pytest.LogCaptureFixture
) -> None:
    words = turning.follow(WordBinding(), "text")
    turning.turn()
    drop_triggers("app_word")
    turning.look_at_schema()
    with override_settings(BINDSERVER={"RUNTIME_INSTALL": False}):
        turning.turn()
        Word.objects.create(text="compared")
        turning.compare_suspects()
        turning.turn()
        assert turning.source.unseen() == {"app_word"}
        assert words.column("text") == ["compared"]
        assert "manage.py bindings capture install --table app_word" in caplog.text
        with connection.cursor() as cursor:
            cursor.execute(TRIGGERS[connection.vendor].format(table="app_word"), [])
            assert not cursor.fetchall()
