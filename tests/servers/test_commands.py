"""`manage.py bindings` and `manage.py bindserver`: what they print, and how they refuse."""

from __future__ import annotations

import importlib.util
import io
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command, load_command_class
from django.core.management.base import CommandError
from django.db import connections
from django.test import override_settings

from bindserver import Binding
from bindserver.bindings.registry import registry
from bindserver.capture.tables import no_such
from tests.app.models import Category, Product
from tests.conftest import MakeServer


@pytest.fixture(autouse=True)
def the_app_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands know of the bindings of the tests' app alone: those of other modules of tests
    read columns that the app's change log does not watch."""
    of_the_app = [kind for kind in registry.all() if kind.__module__.startswith("tests.app.")]
    monkeypatch.setattr(registry, "_classes", of_the_app)


def run(*args: str, **options: Any) -> str:
    """Run `manage.py bindings`, and return what it printed."""
    out = io.StringIO()
    call_command("bindings", *args, stdout=out, no_color=True, **options)
    return out.getvalue()


@pytest.mark.usefixtures("bare_database")
class TestListing:
    def test_shows_the_bindings_there_are_and_where(self) -> None:
        lines = run("list").splitlines()
        catalogue = "catalogue: tests.app.bindings.CatalogueBinding of app.Product"
        assert f"{catalogue}, params: category, q, HTTP: /bindings/catalogue/" in lines
        words = "words: tests.app.bindings.WordBinding of app.Word, params: none"
        assert f"{words}, HTTP: /bindings/words/" in lines
        assert lines[-1] == "WebSocket: /ws/"

    def test_shows_which_are_read_whole_and_why(self, forget_bindings: None) -> None:
        class Written(Binding[Product]):
            event = "written"
            fields = ["id"]
            queryset = Product.objects.extra(where=["stock > 1"])

        lines = run("list").splitlines()
        whole = "  read whole at each change that touches it: "
        at = next(n for n, line in enumerate(lines) if line.startswith("written:"))
        assert lines[at + 1] == f"{whole}it has SQL of its own (extra)"
        at = next(n for n, line in enumerate(lines) if line.startswith("cheapest:"))
        assert not lines[at + 1].startswith(whole)  # it has a limit, and is kept by keys

    def test_shows_what_is_captured_how(self) -> None:
        assert "capture on default: signals" in run("list").splitlines()
        run("capture", "install")
        assert "capture on default: log" in run("list").splitlines()

    @override_settings(BINDSERVER={"CAPTURE": "log"})
    def test_shows_what_is_missing(self) -> None:
        assert "capture on default: none (BINDSERVER['CAPTURE'] is 'log', but" in run("list")

    @override_settings(ROOT_URLCONF="tests.app.views")
    def test_needs_no_routes(self) -> None:
        assert "words: tests.app.bindings.WordBinding of app.Word, params: none" in run("list")


@pytest.mark.usefixtures("bare_database")
class TestInstalling:
    def test_says_which_tables_are_watched(self) -> None:
        printed = run("capture", "install")
        assert "The change log watches app_category, " in printed
        assert "app_product: triggers made\n" in printed
        assert "CREATE" not in printed

    def test_watches_a_further_table_that_is_named(self) -> None:
        run("capture", "install")
        assert "django_session" not in run("capture", "status")
        assert "django_session: triggers made\n" in run(
            "capture", "install", "--table", "django_session"
        )
        assert "django_session" in run("capture", "status")

    def test_knows_the_tables_of_models_alone(self) -> None:
        with pytest.raises(CommandError, match=r"No installed model has the table 'nothing'"):
            run("capture", "install", "--table", "nothing")

    def test_says_what_was_put_back(self) -> None:
        run("capture", "install")
        with connections["default"].cursor() as cursor:
            cursor.execute('DROP TRIGGER "bindserver__app_word__upd"')
        first, last = run("capture", "install").splitlines()
        assert first == "app_word: triggers made"
        assert last.startswith("The change log watches ")

    def test_prints_the_sql_that_it_runs_where_that_is_asked_for(self) -> None:
        planned = run("capture", "install", "--dry-run").splitlines()
        assert run("capture", "install", verbosity=2).splitlines()[:-1] == planned[:-1]
        planned = run("capture", "remove", "--dry-run").splitlines()
        assert run("capture", "remove", verbosity=2).splitlines()[:-1] == planned[:-1]

    def test_again_says_that_all_is_in_place(self) -> None:
        run("capture", "install")
        assert run("capture", "install").startswith("All in place: the change log watches app_")

    def test_dry_prints_the_sql_and_changes_nothing(self) -> None:
        printed = run("capture", "install", "--dry-run")
        assert "CREATE TABLE IF NOT EXISTS bindserver_log" in printed
        assert 'CREATE TRIGGER "bindserver__app_product__ins"' in printed
        assert "Would watch app_category, " in printed
        assert run("capture", "status").startswith("No change log on 'default'.")

    def test_without_wal_says_what_to_do(self, bare_database: Path) -> None:
        connections["default"].close()
        connections["default"].settings_dict["OPTIONS"] = {}
        raw = sqlite3.connect(bare_database)
        raw.execute("PRAGMA journal_mode=DELETE")
        raw.close()
        with pytest.raises(CommandError, match=r"needs WAL.*`PRAGMA journal_mode=WAL`"):
            run("capture", "install")

    def test_on_tables_that_are_not_there_says_to_migrate(self) -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("DROP TABLE app_word")
        with pytest.raises(
            CommandError, match=r"No such tables: app_word. Run `manage.py migrate`"
        ):
            run("capture", "install")

    def test_on_tables_of_another_database_says_to_migrate_that_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = connections["default"]
        monkeypatch.setattr(connection, "alias", "reports")
        assert no_such(["b", "a"], connection) == (
            "No such tables: a, b. Run `manage.py migrate --database reports` first"
        )

    def test_status_tells_how_to_install(self) -> None:
        expected = "No change log on 'default'. `manage.py bindings capture install` installs it.\n"
        assert run("capture", "status") == expected

    def test_purging_what_is_not_there_is_an_error(self) -> None:
        with pytest.raises(CommandError, match="There is no change log to purge"):
            run("capture", "purge")


@pytest.mark.usefixtures("database")
class TestLookingAfter:
    def test_status_shows_figures(self) -> None:
        Category.objects.create(name="a")
        lines = dict(line.split(": ", 1) for line in run("capture", "status").splitlines())
        assert re.fullmatch(r"1, about \d+\Wbytes", lines["entries"])
        assert lines["purging"] == "up to date"
        assert lines["missing triggers"] == "none"
        assert lines["journal mode"] == "wal"
        assert lines["newest"].endswith(" UTC")
        assert "app_product" in lines["tables"]

    def test_status_says_when_nobody_purges(self) -> None:
        Category.objects.create(name="a")
        with connections["default"].cursor() as cursor:
            cursor.execute("UPDATE bindserver_log SET at = at - 200000")
        assert re.search(r"purging: 1\d{5} s behind; is a server running", run("capture", "status"))

    def test_status_names_missing_triggers(self) -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute('DROP TRIGGER "bindserver__app_word__upd"')
        assert "missing triggers: app_word" in run("capture", "status")

    def test_purging_keeps_the_newest_entry_and_says_how_many_went(self) -> None:
        for _ in range(3):
            Category.objects.create(name="a")
        with connections["default"].cursor() as cursor:
            cursor.execute("UPDATE bindserver_log SET at = 1")
        dry = run("capture", "purge", "--dry-run", "--keep", "60")
        assert re.fullmatch(
            r"Would delete 2 entries older than 60 s: up to entry 2, the oldest \d{9,} s old\.\n",
            dry,
        )
        assert run("capture", "purge", "--keep", "60") == "Deleted 2 entries older than 60 s.\n"
        dry = run("capture", "purge", "--dry-run", "--keep", "60")
        assert dry == "Would delete 0 entries older than 60 s.\n"

    def test_removing_says_so(self) -> None:
        dry = run("capture", "remove", "--dry-run")
        assert "DROP TABLE bindserver_log;" in dry
        assert "Would remove the change log." in dry
        assert "The change log is removed; bindings follow signals now." in run("capture", "remove")
        assert run("capture", "remove") == "There is no change log to remove.\n"
        assert run("capture", "status").startswith("No change log")


def test_an_unknown_database_is_an_error() -> None:
    with pytest.raises(CommandError, match="There is no database 'other' in DATABASES"):
        run("capture", "status", "--database", "other")


def test_notifications_are_for_install_and_for_postgresql() -> None:
    with pytest.raises(CommandError, match="are for `install`"):
        run("capture", "status", "--notify")
    with pytest.raises(CommandError, match="is for PostgreSQL; other databases cannot"):
        run("capture", "install", "--notify")


def test_help_says_of_each_action_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        load_command_class("bindserver", "bindings").run_from_argv(
            ["manage.py", "bindings", "capture", "--help"]
        )
    lines = capsys.readouterr().out.splitlines()
    told = dict(line.split(maxsplit=1) for line in lines[lines.index("actions:") + 1 :])
    assert list(told) == ["install", "status", "remove", "purge"]
    assert told["purge"] == "delete old entries of the log"


def test_an_unknown_action_is_an_error() -> None:
    with pytest.raises(CommandError, match="invalid choice: 'dance'"):
        run("capture", "dance")


def test_the_server_says_where_it_is_and_how_it_sees_writes(make_server: MakeServer) -> None:
    with make_server() as server:
        first = server.log.read_text().splitlines()[:3]
    assert first[0] == f"bindserver: http://localhost:{server.port}/"
    assert first[1] == "  capture on default: change log, every committed write is seen"
    assert first[2].startswith("  bindings: products, catalogue, ")


def test_a_server_that_is_told_to_use_a_log_that_is_not_there_says_so(
    make_server: MakeServer,
) -> None:
    with make_server(capture=False, CAPTURE="log") as server:
        log = server.log.read_text()
    assert "has no change log. Run `manage.py bindings capture install`." in log


def test_a_server_without_uvicorn_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "uvicorn" else find_spec(name)
    )
    with pytest.raises(
        CommandError, match=r"uvicorn is missing: pip install 'bindserver\[server\]'"
    ):
        call_command("bindserver", skip_checks=True)
