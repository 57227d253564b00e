"""Installing the change log, and taking it away, on every kind of database."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from bindserver.capture.log import Log, has_log, log_of
from bindserver.capture.mysql import log as mysql_log
from bindserver.capture.tables import Tracked, tracked
from bindserver.exceptions import CaptureError, LogRemoved
from bindserver.queries.dependencies import known_tables
from tests.app.models import Category, Product, Tag
from tests.conftest import EVERY_DATABASE
from tests.databases.capture.logged import CATEGORY, PRODUCT, TAGS, WORD, since, wanted
from tests.support.program import Program

pytestmark = EVERY_DATABASE

OURS = {
    "mysql": ("SHOW TRIGGERS", "SHOW TABLES LIKE 'bindserver%'"),
    "postgresql": (
        "SELECT relname FROM pg_class WHERE relname LIKE 'bindserver%'",
        "SELECT proname FROM pg_proc WHERE proname LIKE 'bindserver%'",
        "SELECT tgname FROM pg_trigger WHERE tgname LIKE 'bindserver%'",
    ),
    "sqlite": ("SELECT name FROM sqlite_master WHERE name LIKE 'bindserver%'",),
}
"""What shows whatever is ours in a database."""

SESSION = "INSERT INTO django_session VALUES (?, '', '2030-01-01 00:00:00')"
"""Writes to a table that no binding of the tests reads, and nobody watches yet."""

STATUS = {
    "mysql": set(),
    "postgresql": {"notifications", "open transactions"},
    "sqlite": {"journal mode"},
}
"""What the log's status tells beside the figures."""


@pytest.fixture
def url(bare_url: str) -> str:
    """A database without a change log."""
    return bare_url


@pytest.fixture
def installed(log: Log) -> Log:
    """The change log, installed for all that bindings read."""
    log.install(wanted())
    return log


class TestInstalling:
    def test_the_first_install_watches_what_bindings_read(self, log: Log) -> None:
        assert not has_log(connections["default"])
        assert log.install(wanted())
        assert has_log(connections["default"])
        assert log.missing(wanted()) == []
        assert {PRODUCT, CATEGORY, WORD, "app_place"} <= set(log.status()["tables"])

    def test_what_rows_are_served_with_is_watched_too(self, log: Log) -> None:
        Product.objects.create(name="a").tags.add(Tag.objects.create(name="t"))
        log.install(wanted())
        assert {TAGS, "app_tag"} <= set(log.status()["tables"])

    def test_a_second_install_runs_nothing_and_keeps_the_epoch(self, installed: Log) -> None:
        epoch = installed.position().epoch
        assert installed.install(wanted()) == []
        assert log_of(connections["default"]).install(wanted()) == []
        assert installed.position().epoch == epoch

    def test_a_plan_changes_nothing_and_is_what_is_run(self, log: Log) -> None:
        planned = log.plan(wanted())
        assert any(statement.startswith("CREATE TRIGGER") for statement in planned)
        assert not log.installed()
        assert log.status() == {"installed": False}
        assert log.install(wanted()) == planned

    def test_a_new_table_to_watch_counts_as_changed_and_proves_the_rest_on(
        self, installed: Log, program: Program
    ) -> None:
        position, more = installed.position(), tracked(["django_session"])
        assert installed.missing(more) == more
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        installed.install(more)
        assert installed.missing(more) == []
        assert installed.position().epoch == position.epoch
        assert since(installed, position) == {WORD: {"a"}, "django_session": None}
        position = installed.position()
        assert since(installed, position) == {}
        installed.install(more)
        assert since(installed, position) == {}

    def test_an_open_transaction_that_wrote_before_is_waited_for_and_told(
        self, installed: Log, program: Program, vendor: str
    ) -> None:
        if vendor == "sqlite":
            pytest.skip("nobody else writes while it installs")
        waits, more, own = threading.Event(), tracked(["django_session"]), installed.position()
        program.run("BEGIN")
        program.run(SESSION, "before")

        def install() -> None:
            log = log_of(connections["default"])
            log.tries, log.tell = 200, lambda sentence: waits.set()
            log.install(more)
            connections["default"].close()

        thread = threading.Thread(target=install)
        thread.start()
        assert waits.wait(30)
        meanwhile = installed.position()
        assert since(installed, own) == {}
        program.run(SESSION, "meanwhile")
        program.run("COMMIT")
        thread.join(60)
        assert since(installed, own) == since(installed, meanwhile) == {"django_session": None}
        position = installed.position()
        program.run(SESSION, "after")
        assert since(installed, position) == {"django_session": {"after"}}

    def test_that_is_broken_off_is_made_good_by_the_next(
        self, installed: Log, program: Program, vendor: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        position, more = installed.position(), tracked(["django_session"])
        last = {"mysql": "REPLACE INTO", "postgresql": "INSERT INTO", "sqlite": "INSERT INTO"}

        def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if sql.startswith(last[vendor]):
                raise KeyboardInterrupt
            return execute(sql, params, many, context)

        with (
            connections["default"].execute_wrapper(refuse),
            pytest.raises(KeyboardInterrupt),
        ):
            installed.install(more)
        program.run(SESSION, "a")
        assert installed.missing(more) == more
        meanwhile = installed.position()
        installed.install(more)
        assert installed.missing(more) == []
        for known in (position, meanwhile):
            assert (since(installed, known) or {})["django_session"] is None

    def test_several_at_once_install_once(self, log: Log) -> None:
        done: list[list[str]] = []

        def install() -> None:
            own = log_of(connections["default"])
            own.tries = 50
            done.append(own.install(wanted()))
            connections["default"].close()

        threads = [threading.Thread(target=install) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(done) == 4
        run = [s for some in done for s in some if not s.startswith(("CREATE OR", "REVOKE"))]
        assert len(run) == len(set(run))
        assert log_of(connections["default"]).missing(wanted()) == []

    def test_several_at_once_watch_new_tables_in_one_epoch(
        self, installed: Log, program: Program
    ) -> None:
        position = installed.position()
        there = set(connections["default"].introspection.table_names())
        names = sorted((known_tables() & there) - {item.table for item in wanted()})[:3]

        def install(table: str) -> None:
            own = log_of(connections["default"])
            own.tries = 50
            own.install(tracked([table]))
            connections["default"].close()

        threads = [threading.Thread(target=install, args=(name,)) for name in names * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert installed.missing(tracked(names)) == []
        assert len(names) == 3
        assert since(installed, position) == dict.fromkeys(names)

    def test_status_tells_figures(self, installed: Log) -> None:
        Category.objects.create(name="a")
        status = installed.status()
        assert status["entries"] == 1
        assert 0 < status["bytes"] < 1_000_000
        assert abs(status["oldest"] - time.time()) < 5
        assert status["newest"] == status["oldest"]
        assert status["epoch"] == installed.position().epoch
        installed.renew()
        assert installed.status()["epoch"] != status["epoch"]

    def test_status_tells_what_matters_on_this_kind_of_database(
        self, installed: Log, vendor: str
    ) -> None:
        more = installed.status()["more"]
        assert STATUS[vendor] <= more.keys()
        assert more.get("journal mode", "wal") == "wal"


class TestRefusing:
    def test_tables_that_were_never_migrated(self, log: Log, program: Program) -> None:
        program.run("DROP TABLE app_word")
        with pytest.raises(CaptureError, match=r"No such tables: app_word\. Run .*migrate"):
            log.install(wanted())
        assert not log.installed()

    def test_a_view_whose_tables_can_be_watched_instead(self, log: Log, program: Program) -> None:
        program.run("ALTER TABLE app_word RENAME TO elsewhere")
        program.run("CREATE VIEW app_word AS SELECT * FROM elsewhere")
        with pytest.raises(CaptureError, match=r"app_word.* view.*watch the tables behind it"):
            log.install(wanted())
        assert not log.installed()


class TestRemoving:
    def test_leaves_nothing_of_ours(self, installed: Log, program: Program, vendor: str) -> None:
        assert all(program.run(sql) for sql in OURS[vendor])
        planned = installed.plan_removal()
        assert installed.installed()
        assert installed.remove() == planned
        assert not installed.installed()
        assert [program.run(sql) for sql in OURS[vendor]] == [[] for _ in OURS[vendor]]
        program.add_products(1)
        assert installed.remove() == []

    def test_and_installing_again_old_positions_prove_nothing(self, installed: Log) -> None:
        position = installed.position()
        installed.remove()
        installed.install(wanted())
        assert installed.changes(position) is None

    def test_who_puts_triggers_back_does_not_bring_it_back(self, installed: Log) -> None:
        installed.remove()
        with pytest.raises(LogRemoved):
            installed.install(wanted(), whole=False)
        assert not installed.installed()
        assert installed.plan_removal() == []
        installed.install(wanted())
        assert installed.install(wanted(), whole=False) == []


class TestRenamedTables:
    def test_keep_no_trigger_of_their_old_name(self, installed: Log, program: Program) -> None:
        program.run("ALTER TABLE app_word RENAME TO app_saying")
        installed.install([Tracked(table="app_saying", pk="text")])
        assert WORD not in installed.status()["tables"]
        program.run("ALTER TABLE app_saying RENAME COLUMN text TO phrase")
        installed.install([Tracked(table="app_saying", pk="phrase")])
        position = installed.position()
        program.run("INSERT INTO app_saying VALUES ('a', 1)")
        assert since(installed, position) == {"app_saying": {"a"}}

    def test_are_let_go_of_where_another_has_their_name(
        self, installed: Log, program: Program
    ) -> None:
        program.run("ALTER TABLE app_word RENAME TO app_saying")
        program.run("CREATE TABLE app_word (number integer PRIMARY KEY, text varchar(9))")
        installed.install([Tracked(table=WORD, pk="number")])
        position = installed.position()
        program.run("INSERT INTO app_saying VALUES ('a', 1)")
        program.run("INSERT INTO app_word VALUES (7, 'b')")
        assert since(installed, position) == {WORD: {"7"}}

    @pytest.mark.parametrize("last", ["ALTER TABLE app_b RENAME TO app_a", "CREATE TABLE app_a"])
    def test_are_seen_to_together_with_those_that_have_their_names(
        self, installed: Log, program: Program, last: str
    ) -> None:
        columns = "(id integer PRIMARY KEY)"
        tables = [Tracked(table=name, pk="id") for name in ("app_a", "app_b")]
        for item in tables:
            program.run(f"CREATE TABLE {item.table} {columns}")
        installed.install(tables)
        program.run("ALTER TABLE app_a RENAME TO app_c")
        if last.startswith("CREATE"):
            program.run(f"{last} {columns}")
            program.run("DROP TABLE app_b")
        else:
            program.run(last)
        program.run("ALTER TABLE app_c RENAME TO app_b")
        planned = installed.plan(tables)
        assert len(planned) == len(set(planned))
        installed.install(tables)
        assert installed.missing(tables) == []
        position = installed.position()
        program.run("INSERT INTO app_a VALUES (7)")
        program.run("INSERT INTO app_b VALUES (8)")
        assert since(installed, position) == {"app_a": {"7"}, "app_b": {"8"}}

    def test_whose_name_goes_on_where_another_ends_are_two(
        self, installed: Log, program: Program
    ) -> None:
        tables = [Tracked(table=name, pk="id") for name in ("app_a", "app_a__b")]
        for item in tables:
            program.run(f"CREATE TABLE {item.table} (id integer PRIMARY KEY)")
        installed.install(tables)
        program.run("ALTER TABLE app_a RENAME COLUMN id TO number")
        installed.install([Tracked(table="app_a", pk="number"), tables[1]])
        assert installed.missing(tables[1:]) == []


class TestTriggersThatAreGone:
    def test_are_noticed_and_then_any_row_may_have_changed_of_their_table_alone(
        self, installed: Log, program: Program, vendor: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mysql_log, "SCHEMA_SECONDS", 0.0)  # at each look
        assert installed.missing(wanted()) == []
        position = installed.position()
        mark = self.seen(installed)
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        assert self.seen(installed) == mark
        table = " ON app_word" if vendor == "postgresql" else ""
        program.run(f"DROP TRIGGER bindserver__app_word__del{table}")
        assert self.seen(installed) != mark
        assert [item.table for item in installed.missing(wanted())] == [WORD]
        program.run("DELETE FROM app_word")
        unseen = installed.position()
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        installed.install(wanted())
        assert installed.missing(wanted()) == []
        assert since(installed, position) == since(installed, unseen) == {WORD: None}
        position = installed.position()
        program.run("DELETE FROM app_word")
        assert since(installed, position) == {WORD: {"a"}}

    @staticmethod
    def seen(log: Log) -> Any:
        """Return the schema's mark, as of now."""
        log.commit_mark()
        return log.schema_mark()


def test_the_command_shows_what_it_did_and_the_state(
    log: Log, vendor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown(*args: str) -> str:
        call_command("bindings", "capture", *args, no_color=True)
        return capsys.readouterr().out

    quote = "`" if vendor == "mysql" else '"'
    assert f"CREATE TRIGGER {quote}bindserver__app_word__ins" in shown("install", "--dry-run")
    *made, sentence = shown("install").splitlines()
    assert made[0] == "bindserver_log, bindserver_meta: made"
    assert "app_word: triggers made" in made
    assert sentence.startswith("The change log watches")
    assert [line.partition(":")[0] for line in made[1:]] == sentence[23:-1].split(", ")
    for again in (shown("install"), shown("install", "--dry-run")):
        assert again == f"All in place: the change log watches {sentence[23:]}\n"
    status = shown("status")
    assert "missing triggers: none" in status
    assert ("journal mode" in status) is (vendor == "sqlite")
    assert "Deleted 0 entries" in shown("purge", "--keep", "0")
    assert "DROP TABLE bindserver_log" in shown("remove", "--dry-run")
    *removed, sentence = shown("remove").splitlines()
    assert "app_word: triggers removed" in removed
    assert removed[-1] == "bindserver_log, bindserver_meta: removed"
    assert len(removed) == len(made)
    assert sentence == "The change log is removed; bindings follow signals now."


def test_a_database_without_a_log_of_its_kind_is_told_so() -> None:
    class Elsewhere:
        vendor, display_name = "oracle", "Oracle"

    connection: Any = Elsewhere()
    with pytest.raises(CaptureError, match=r"no change log for Oracle.*full compare"):
        log_of(connection)
