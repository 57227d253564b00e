"""`bindings doctor` says what is wrong with a database or Redis, on each kind, and what to do."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from bindserver.bindings.registry import registry
from bindserver.capture.log import log_of
from bindserver.checks import live_database
from bindserver.checks.live_database import DATABASE
from bindserver.management.doctor import Finding, Section, examine, report, seen
from tests.conftest import BARE, EVERY_DATABASE, address_of, program_at
from tests.support.default import as_default
from tests.support.postgresql import Bouncer, Cluster
from tests.support.program import Program
from tests.support.redis import Redis
from tests.support.server import ROOT, Server, free_port

PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"
LOOKS = {look.__name__: (title, look) for title, look in DATABASE.items()}


@pytest.fixture
def opened(vendor: str, request: pytest.FixtureRequest) -> Iterator[Program]:
    """A program on a database without a change log, which is this process's "default"."""
    program = program_at(address_of(request.getfixturevalue(BARE[vendor])))
    yield program
    program.close()


def told(name: str) -> list[str]:
    """Return the ids that one look finds at "default", "ok", or nothing where it is none of its."""
    title, look = LOOKS[name]
    found = seen("x", title, lambda: look("default"))
    assert all(finding.hint for finding in found if finding.id)
    return [(finding.id or "ok").removeprefix("bindserver.") for finding in found]


def install() -> None:
    call_command("bindings", "capture", "install", verbosity=0)


@EVERY_DATABASE
class TestEveryDatabase:
    def test_a_log_that_is_missing_is_told(self, opened: Program) -> None:
        assert told("log_is_installed") == ["W202"]
        assert told("triggers_are_in_place") == told("log_is_purged") == []
        with override_settings(BINDSERVER={"CAPTURE": "log"}):
            assert told("log_is_installed") == ["W202"]
        with override_settings(BINDSERVER={"CAPTURE": "signals"}):
            assert told("log_is_installed") == []

    def test_tables_that_are_missing_are_told(self, opened: Program) -> None:
        assert told("tables_are_there") == told("role_may") == ["ok"]
        opened.run("ALTER TABLE app_word RENAME TO app_word_of_before")
        assert told("tables_are_there") == ["W212"]
        assert told("role_may") == ["ok"]
        opened.run("ALTER TABLE app_word_of_before RENAME TO app_word")

    def test_all_is_in_order_with_one(self, opened: Program) -> None:
        install()
        names = ["log_is_installed", "triggers_are_in_place", "log_is_purged", "role_may"]
        assert {name: told(name) for name in names} == {name: ["ok"] for name in names}
        assert told("known_to_django") == told("users_are_here") == ["ok"]
        assert told("clocks_agree") in (["ok"], [])  # SQLite's is this machine's

    def test_triggers_that_are_gone_are_told(self, opened: Program, vendor: str) -> None:
        install()
        log = log_of(connections["default"])
        statements = [s for s in log.plan_removal() if "TRIGGER" in s and "app_word" in s]
        for statement in statements:
            opened.run(statement)
        assert statements
        assert told("triggers_are_in_place") == ["W204"]
        assert told("tables_are_there") == []

    def test_a_log_that_nobody_purges_is_told(self, opened: Program) -> None:
        install()
        opened.run("INSERT INTO app_word (text, count) VALUES ('a', 1)")
        opened.age(100_000)
        assert told("log_is_purged") == ["W205"]
        with override_settings(BINDSERVER={"LOG_KEEP_SECONDS": 200_000}):
            assert told("log_is_purged") == ["ok"]

    def test_users_of_elsewhere_are_told(self, opened: Program) -> None:
        with override_settings(DATABASE_ROUTERS=[f"{__name__}.Elsewhere"]):
            assert told("users_are_here") == ["I211"]


class Elsewhere:
    """Keeps users in another database."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "elsewhere" if model._meta.app_label == "auth" else None


class TestSQLite:
    def test_another_journal_than_wal_is_told(self, bare_database: Path) -> None:
        assert told("sqlite_is_in_wal_mode") == ["ok"]
        with connections["default"].cursor() as cursor:
            cursor.execute("PRAGMA journal_mode = DELETE")
        assert told("sqlite_is_in_wal_mode") == ["W203"]

    def test_a_file_that_may_not_be_written_is_told(
        self, bare_database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "access", lambda path, mode: path != bare_database.parent)
        assert told("role_may") == ["W207"]


@pytest.fixture
def clerk(postgresql_database: str, postgresql: Cluster) -> Iterator[Program]:
    """A role that may do what a server needs in this database, and is this process's."""
    program = program_at(postgresql_database)
    program.run("DROP ROLE IF EXISTS clerk_of_doctor")
    program.run("CREATE ROLE clerk_of_doctor")
    program.run("GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk_of_doctor")
    with connections["default"].cursor() as cursor:
        cursor.execute("SET ROLE clerk_of_doctor")
    yield program
    connections["default"].close()
    program.run("DROP OWNED BY clerk_of_doctor")
    program.run("DROP ROLE clerk_of_doctor")
    program.close()


class TestPostgreSQL:
    @pytest.mark.parametrize("right", ["DELETE ON bindserver_log", "SELECT ON app_word"])
    def test_a_right_that_is_lacking_is_told(self, clerk: Program, right: str) -> None:
        assert told("role_may") == ["ok"]
        clerk.run(f"REVOKE {right} FROM clerk_of_doctor")
        assert told("role_may") == ["W207"]

    def test_clocks_that_differ_are_told(
        self, postgresql_database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert told("clocks_agree") == ["ok"]
        now = time.time
        for skew in (100, -100):
            monkeypatch.setattr(time, "time", lambda skew=skew: now() + skew)
            assert told("clocks_agree") == ["W206"]

    def test_a_transaction_that_somebody_forgot_is_told(
        self, postgresql_database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program = program_at(postgresql_database)
        program.run("BEGIN")
        program.run("SELECT 1")
        monkeypatch.setattr(live_database, "OPEN_SECONDS", 1_000_000)
        assert told("nobody_holds_a_transaction") == ["ok"]
        monkeypatch.setattr(live_database, "OPEN_SECONDS", 0)
        assert told("nobody_holds_a_transaction") == ["W208"]
        program.run("ROLLBACK")
        assert told("nobody_holds_a_transaction") == ["ok"]

    def test_that_it_ends_none_is_noted(self, postgresql_database: str) -> None:
        assert told("postgresql_ends_idle_transactions") == ["I209"]
        with connections["default"].cursor() as cursor:
            cursor.execute("SET idle_in_transaction_session_timeout = '60s'")
        assert told("postgresql_ends_idle_transactions") == ["ok"]

    def test_a_pooler_is_noted_and_told_where_commits_notify(
        self, postgresql_database: str, postgresql: Cluster, django_db_blocker: DjangoDbBlocker
    ) -> None:
        assert told("pooler_is_known") == ["ok"]
        bouncer = Bouncer(postgresql).start()
        try:
            with as_default(bouncer.url(postgresql_database.rpartition("/")[2]), django_db_blocker):
                assert told("pooler_is_known") == ["I210"]
                call_command("bindings", "capture", "install", "--notify", verbosity=0)
                assert told("pooler_is_known") == ["W210", "I210"]
        finally:
            bouncer.stop()


class TestMariaDB:
    def test_a_transaction_that_somebody_forgot_is_told(
        self, on_own_maria: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        on_own_maria.run("BEGIN")
        on_own_maria.run("INSERT INTO app_word (text, count) VALUES ('a', 1)")
        monkeypatch.setattr(live_database, "OPEN_SECONDS", 1_000_000)
        assert told("nobody_holds_a_transaction") == ["ok"]
        monkeypatch.setattr(live_database, "OPEN_SECONDS", 0)
        assert told("nobody_holds_a_transaction") == ["W208"]
        on_own_maria.run("ROLLBACK")

    def test_rights_that_are_lacking_are_told(self, on_own_logged_maria: Program) -> None:
        connection = connections["default"]
        name = connection.settings_dict["NAME"]
        program = on_own_logged_maria
        program.run("CREATE OR REPLACE USER doctor@'127.0.0.1'")
        program.run(f"GRANT SELECT ON {name}.* TO doctor@'127.0.0.1'")
        connection.close()
        connection.settings_dict["USER"] = "doctor"
        try:
            assert told("role_may") == ["W207"]
            assert told("nobody_holds_a_transaction") == ["I208"]
        finally:
            connection.close()
            connection.settings_dict["USER"] = "root"
            program.run("DROP USER doctor@'127.0.0.1'")


class TestRedis:
    def test_that_carries_messages_is_in_order_and_one_that_is_gone_is_told(
        self, bare_database: Path, tmp_path: Path
    ) -> None:
        with Redis(tmp_path) as redis, _layer(redis.url):
            assert _of_layer(examine(30)) == ["ok"]
            redis.kill()
            assert _of_layer(examine(30)) == ["bindserver.W220"]

    def test_one_that_hangs_is_said_to_hang(self, bare_database: Path) -> None:
        with _silent() as port, _layer(f"redis://127.0.0.1:{port}/0"):
            assert _of_layer(examine(1)) == ["bindserver.W220"]


class TestHanging:
    def test_a_database_that_hangs_is_said_to_and_the_others_are_looked_at(
        self, bare_database: Path
    ) -> None:
        with _silent() as port:
            sections = [_asking(port), _asking(None)]
            for section in sections:
                section.begin()
            hung, fine = (section.end(time.monotonic() + 1, 1) for section in sections)
        assert [finding.id for finding in hung] == ["bindserver.W201"]
        assert "No answer within 1 s to whether it answers" in hung[0].message
        assert [finding.level for finding in fine] == ["ok"]

    def test_the_command_ends(self) -> None:
        """A process of its own: whatever hangs in it must not keep it."""
        with _silent() as port:
            url = f"postgresql://me@127.0.0.1:{port}/shop"
            redis = f"redis://127.0.0.1:{port}/0"
            done = subprocess.run(
                [sys.executable, "-m", "django", "bindings", "doctor", "--timeout", "1", "--json"],
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": str(ROOT),
                    "DJANGO_SETTINGS_MODULE": "tests.settings",
                    "DATABASE_URL": url,
                    "REDIS_URL": redis,
                },
                capture_output=True,
                text=True,
                timeout=120,
            )
        assert done.returncode == 1
        found = {(item["where"], item["id"]) for item in json.loads(done.stdout)}
        assert ("database 'default'", "bindserver.W201") in found
        assert ("channel layer", "bindserver.W220") in found


class TestReport:
    def test_one_that_cannot_be_reached_is_told_once(
        self, bare_database: Path, django_db_blocker: DjangoDbBlocker
    ) -> None:
        with as_default(f"postgresql://me@127.0.0.1:{free_port()}/shop", django_db_blocker):
            found = [f for f in examine(30) if f.where.startswith("database")]
        assert [finding.id for finding in found] == ["bindserver.W201"]
        assert "cannot be used" in found[0].message

    def test_it_ends_non_zero_where_something_is_wrong(self, bare_database: Path) -> None:
        out = StringIO()
        with pytest.raises(CommandError, match="wrong"):
            call_command("bindings", "doctor", timeout=30, stdout=out)
        assert "(bindserver.W202)" in out.getvalue()
        assert "  ok " not in out.getvalue()

    def test_and_zero_where_nothing_is(self, database: Path) -> None:
        # By a process of its own: this one may know bindings of other tests that are wrong.
        server = Server(database, {"RUNTIME_INSTALL": False})
        told = server.manage("bindings", "doctor", "--timeout", "30", "--verbosity", "2")
        assert "  ok    triggers are in place" in told
        assert "0 wrong, 0 to note" in told

    def test_a_setting_that_cannot_be_read_ends_it_at_once(self) -> None:
        with override_settings(BINDSERVER={"NONSENSE": 1}):
            assert [finding.id for finding in examine(1)] == ["bindserver.E001"]

    def test_that_nothing_is_served_is_noted(
        self, bare_database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(registry, "published", list)
        (found,) = [f for f in examine(30) if f.where == "bindings"]
        assert (found.level, "no database was looked at" in found.message) == ("note", True)

    def test_what_is_silenced_is_not_told(self, bare_database: Path) -> None:
        with override_settings(SILENCED_SYSTEM_CHECKS=["bindserver.W202"]):
            assert told("log_is_installed") == ["ok"]

    def test_a_look_that_raises_is_told_and_the_next_one_is_taken(self) -> None:
        def broken() -> Iterator[Any]:
            raise LookupError("no tenant")
            yield

        section = Section("x", {"a": broken, "b": lambda: iter(())}, ("", ""))
        section.begin()
        first, second = section.end(time.monotonic() + 30, 30)
        assert (first.level, second.level) == ("wrong", "ok")
        assert first.message == "It cannot be told whether a (LookupError: no tenant)."

    def test_json_has_all_of_it(self) -> None:
        finding = Finding("settings", "wrong", "It is.", "bindserver.W1", "Do.")
        [text] = report([finding], as_json=True, verbosity=1)
        assert json.loads(text) == [
            {
                "where": "settings",
                "level": "wrong",
                "message": "It is.",
                "id": "bindserver.W1",
                "hint": "Do.",
            }
        ]


@contextmanager
def _silent() -> Iterator[int]:
    """Open a port that takes connections and says nothing, as a host does that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


def _asking(port: int | None) -> Section:
    """Return a section that asks a port for a word, or nobody."""

    def look() -> Iterator[Any]:
        if port is not None:
            # It is let go when the test has ended.
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port)) as asked,
            ):
                asked.recv(1)
        yield from ()

    return Section("x", {"it answers": look}, ("bindserver.W201", "See."))


def _layer(url: str) -> override_settings:
    config = {"hosts": [{"address": url, "max_connections": 9}]}
    return override_settings(CHANNEL_LAYERS={"default": {"BACKEND": PUBSUB, "CONFIG": config}})


def _of_layer(found: list[Finding]) -> list[str]:
    return [finding.id or "ok" for finding in found if finding.where == "channel layer"]
