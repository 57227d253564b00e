"""The change log in migrations: installed by an operation, and put right after each `migrate`."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from django.db.migrations import Migration
from django.db.migrations.state import ProjectState

from bindserver.bindings.registry import registry
from bindserver.capture.log import Log, has_log, log_of
from bindserver.capture.tables import tracked
from bindserver.engine.changes import Change
from bindserver.exceptions import CaptureError
from bindserver.operations import InstallCapture
from bindserver.queries.tables import reads_of
from tests.conftest import BARE

LOGGED = {"mysql": "on_own_logged_maria", "sqlite": "database", "postgresql": "postgresql_database"}


@pytest.fixture(params=sorted(BARE))
def bare(request: pytest.FixtureRequest) -> Log:
    request.getfixturevalue(BARE[request.param])
    return log_of(connections["default"])


@pytest.fixture(params=sorted(LOGGED))
def log(request: pytest.FixtureRequest) -> Log:
    request.getfixturevalue(LOGGED[request.param])
    return log_of(connections["default"])


class Installing(Migration):
    operations = [InstallCapture()]


def migration() -> Migration:
    return Installing("0001_install_capture", "app")


def forwards(*, atomic: bool = True, collect_sql: bool = False) -> list[str]:
    with connections["default"].schema_editor(atomic=atomic, collect_sql=collect_sql) as editor:
        migration().apply(ProjectState(), editor, collect_sql=collect_sql)
    return editor.collected_sql if collect_sql else []


def backwards(*, atomic: bool = True) -> None:
    with connections["default"].schema_editor(atomic=atomic) as editor:
        migration().unapply(ProjectState(), editor)


def wanted() -> list[Any]:
    reads = reads_of(registry.all(), "default")
    return tracked(reads, reads)


def test_a_migration_installs_the_log_and_the_triggers_come_at_the_end(bare: Log) -> None:
    forwards()
    assert bare.installed()
    assert bare.missing(wanted())
    call_command("migrate", verbosity=0)
    assert bare.missing(wanted()) == []
    epoch = bare.position().epoch
    forwards()
    call_command("migrate", verbosity=0)
    assert bare.missing(wanted()) == []
    assert bare.position().epoch == epoch


@pytest.mark.parametrize("atomic", [True, False])
def test_backwards_takes_all_away(log: Log, atomic: bool) -> None:
    backwards(atomic=atomic)
    assert not has_log(connections["default"])
    backwards(atomic=atomic)


def test_a_migration_that_is_not_atomic_installs_it_too(bare: Log) -> None:
    forwards(atomic=False)
    assert bare.installed()


def test_its_sql_can_be_looked_at(bare: Log) -> None:
    shown = forwards(collect_sql=True)
    assert any("CREATE TABLE" in statement for statement in shown)
    assert not bare.installed()


def test_a_database_that_the_project_s_routers_keep_the_app_from_is_passed_over(
    bare: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bindserver.operations.router.allow_migrate", lambda *args: False)
    forwards()
    assert not bare.installed()


def test_what_a_migration_took_away_is_put_back_and_counts_as_changed(
    log: Log,
) -> None:
    position = log.position()
    for statement in [s for s in log.plan_removal() if "app_category" in s and "TRIGGER" in s]:
        with connections["default"].cursor() as cursor:
            cursor.execute(statement)
    assert [item.table for item in log.missing(wanted())] == ["app_category"]
    call_command("migrate", verbosity=0)
    assert log.missing(wanted()) == []
    # Bindings of other tests may read more tables than the log was installed for.
    assert Change(table="app_category", pks=None) in (log.changes(position) or ())


def test_a_database_without_a_log_gets_none_from_migrating(bare: Log) -> None:
    call_command("migrate", verbosity=0)
    assert not has_log(connections["default"])


def test_what_cannot_be_put_back_is_said_and_the_migration_stands(
    log: Log, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Log, tables: Any) -> list[str]:
        raise CaptureError("a role of this kind may not")

    monkeypatch.setattr(type(log), "install", refuse)
    with caplog.at_level(logging.WARNING, "bindserver"):
        call_command("migrate", verbosity=0)
    assert "is not in order: a role of this kind may not" in caplog.text


def test_it_says_what_it_does() -> None:
    operation = InstallCapture()
    assert operation.describe() == "Install bindserver's change log"
    assert operation.migration_name_fragment == "install_capture"
