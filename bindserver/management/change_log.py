"""`manage.py bindings capture`: install, show, remove and purge the change log of a database."""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from django.template.defaultfilters import filesizeformat

from bindserver.bindings.registry import BindingClass, registry
from bindserver.capture.log import Log, log_of, sift
from bindserver.capture.log_facts import PurgePlan
from bindserver.capture.tables import Tracked, tracked
from bindserver.checks.live_log import purge_delay
from bindserver.conf import conf
from bindserver.database.diagnosis import demand, explained
from bindserver.database.views import database_views
from bindserver.exceptions import CaptureError, DatabaseUnusable
from bindserver.queries.dependencies import known_tables
from bindserver.queries.depends_on import warning_of
from bindserver.queries.tables import Reads, read_by_each, reads_of, to_watch

ACTIONS = {
    "install": "make the log's two tables, and the triggers that are missing or wrong",
    "status": "show what is installed, how large and how old the log is, and what is missing",
    "remove": "take triggers and tables away; bindings follow signals from then on",
    "purge": "delete old entries of the log",
}

PARTLY = 3
"""The exit status of `install` where it could not have all tables watched."""

PURGE_BATCH = 5000

OWN_TABLES = "bindserver_log, bindserver_meta"

LOCK_TRIES = 100
"""How often to ask for a table that is in use; each time its writers may wait for a moment."""


def add_capture_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the arguments of `capture`."""
    parser.add_argument("action", choices=[*ACTIONS], help="what to do, see below")
    parser.add_argument(
        "--database", default=DEFAULT_DB_ALIAS, help="the database's alias (default: default)"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="change nothing: print the SQL of install or remove, or what purge would do",
    )
    parser.add_argument(
        "-v",
        "--verbosity",
        type=int,
        choices=range(4),
        default=argparse.SUPPRESS,
        help="2: print the SQL that is run",
    )
    parser.add_argument(
        "--keep",
        type=float,
        default=None,
        metavar="SECONDS",
        help="purge: keep entries younger than this (default: LOG_KEEP_SECONDS)",
    )
    parser.add_argument(
        "--table",
        action="append",
        default=[],
        metavar="TABLE",
        help="install: watch this table too, whole, as a server's log asks for (repeatable)",
    )
    parser.add_argument(
        "--notify",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="install: have commits notify servers (PostgreSQL; default: as it is)",
    )


class ChangeLogCommand:
    """What `capture` does with the change log of one database.

    Args:
        command: where it writes what it has to say.
        options: as the command line gives them.

    Raises:
        CommandError: there is no such database.
    """

    def __init__(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        self._command = command
        self._options = options
        self._alias: str = options["database"]
        if self._alias not in connections:
            raise CommandError(f"There is no database {self._alias!r} in DATABASES.")

    def run(self) -> None:
        """Do what the command line says.

        Raises:
            CommandError: it cannot be done; the message says why.
        """
        actions = {
            "install": self._install,
            "status": self._status,
            "remove": self._remove,
            "purge": self._purge,
        }
        try:
            log = log_of(connections[self._alias])
            log.notify = _notify(self._alias, self._options)
            log.tries, log.tell = LOCK_TRIES, self._command.stderr.write
            demand(self._alias)
            with explained(self._alias):
                actions[self._options["action"]](log)
        except (CaptureError, DatabaseUnusable) as problem:
            raise CommandError(str(problem)) from problem

    def _write(self, line: str) -> None:
        self._command.stdout.write(line)

    def _install(self, log: Log) -> None:
        reads = read_by_each(registry.all(), self._alias)
        views = database_views(connections[self._alias])
        for binding, view in _on_views(reads, views):
            self._command.stderr.write(
                self._command.style.WARNING(" ".join(warning_of(binding, view)))
            )
        if unknown := sorted(set(self._options["table"]) - known_tables()):
            raise CommandError(f"No installed model has the table {unknown[0]!r}.")
        watch = {**to_watch(reads, self._alias), **dict.fromkeys(self._options["table"])}
        wanted = [t for t in _tracked(watch) if t.table not in views]
        tables, others = sift(log, wanted)
        names = ", ".join(item.table for item in tables) or "no table"
        made = _made(log, tables)
        dry = self._options["dry_run"]
        statements = log.plan(tables) if dry else log.install(tables)
        if statements:
            will = "Would watch" if dry else "The change log watches"
            self._show(made, statements, f"{will} {names}.")
        elif self._options["verbosity"]:
            self._write(f"All in place: the change log watches {names}.")
        if others:
            raise CommandError(_unwatched(others), returncode=PARTLY)

    def _status(self, log: Log) -> None:
        status = log.status()
        if not status["installed"]:
            how = "`manage.py bindings capture install` installs it."
            self._write(f"No change log on {self._alias!r}. {how}")
            return
        wanted, others = _sifted(log, _tracked(reads_of(registry.all(), self._alias)))
        missing = [item.table for item in log.missing(wanted)]
        self._write(f"epoch: {status['epoch']}")
        self._write(f"entries: {status['entries']}, about {filesizeformat(status['bytes'])}")
        for name in ("oldest", "newest"):
            if status[name] is not None:
                at = datetime.datetime.fromtimestamp(status[name], datetime.UTC)
                self._write(f"{name}: {at:%Y-%m-%d %H:%M:%S} UTC")
        self._write(f"purging: {_purging(status['oldest'])}")
        self._write(f"tables: {', '.join(status['tables']) or 'none'}")
        self._write(f"missing triggers: {', '.join(missing) or 'none'}")
        for why in others.values():
            self._write(f"not watched: {why}")
        for name, value in status["more"].items():
            self._write(f"{name}: {value}")

    def _remove(self, log: Log) -> None:
        removed = _removed(log)
        if self._options["dry_run"]:
            statements, sentence = log.plan_removal(), "Would remove the change log."
        else:
            statements = log.remove()
            sentence = "The change log is removed; bindings follow signals now."
        if not statements:
            sentence = "There is no change log to remove."
        self._show(removed, statements, sentence)

    def _purge(self, log: Log) -> None:
        if not log.installed():
            raise CaptureError("There is no change log to purge.")
        keep = conf.LOG_KEEP_SECONDS if self._options["keep"] is None else self._options["keep"]
        if self._options["dry_run"]:
            self._write(_planned(log.plan_purge(keep), keep))
            return
        deleted = 0
        while some := log.purge(keep, PURGE_BATCH, wait=True):
            deleted += some
        self._write(f"Deleted {_entries(deleted)} older than {keep:g} s.")

    def _show(
        self,
        lines: Iterable[str],
        statements: Iterable[str],
        sentence: str,
    ) -> None:
        """Print what is done: in SQL where that is asked for, else a line for each table."""
        if self._options["dry_run"] or self._options["verbosity"] > 1:
            lines = [f"{statement};" for statement in statements]
        for line in lines if self._options["verbosity"] else ():
            self._write(line)
        self._write(self._command.style.SUCCESS(sentence))


def _tracked(reads: Reads) -> list[Tracked]:
    return tracked(reads, reads)


def _on_views(
    reads: Mapping[BindingClass, Collection[str]], views: Collection[str]
) -> Iterator[tuple[BindingClass, str]]:
    """Yield the bindings that read views of the database, and each of these."""
    for binding, tables in reads.items():
        for view in sorted(set(views).intersection(tables)):
            yield binding, view


def _made(log: Log, tables: Collection[Tracked]) -> list[str]:
    """Return what `install` is going to make."""
    own = [] if log.installed() else [f"{OWN_TABLES}: made"]
    return [*own, *(f"{item.table}: triggers made" for item in log.missing(tables))]


def _sifted(log: Log, tables: list[Tracked]) -> tuple[list[Tracked], dict[str, str]]:
    """Return the tables that can be watched, and why others cannot, for whoever only looks."""
    try:
        return sift(log, tables)
    except CaptureError:
        return tables, {}  # they lack what they lack, whatever stands in the way


def _unwatched(others: Mapping[str, str]) -> str:
    """Return what `install` could not have watched, and what that means."""
    reasons = "\n".join(f"  {why}" for why in others.values())
    return (
        f"All else is in place. The change log cannot watch {', '.join(others)}:\n{reasons}\n"
        f"What reads these is compared whole every {conf.COMPARE_SECONDS:g} s (COMPARE_SECONDS)."
    )


def _removed(log: Log) -> list[str]:
    """Return what `remove` is going to take away."""
    status = log.status()
    if not status["installed"]:
        return []
    return [*(f"{table}: triggers removed" for table in status["tables"]), f"{OWN_TABLES}: removed"]


def _planned(plan: PurgePlan, keep: float) -> str:
    """Return what a purge would do, in a sentence."""
    sentence = f"Would delete {_entries(plan.entries)} older than {keep:g} s"
    if plan.oldest is None:
        return f"{sentence}."
    return f"{sentence}: up to {plan.last}, the oldest {time.time() - plan.oldest:.0f} s old."


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _notify(alias: str, options: Mapping[str, Any]) -> bool | None:
    """Return whether commits are to notify; None where nothing is said of it."""
    wanted: bool | None = options["notify"]
    if wanted is not None and options["action"] != "install":
        raise CommandError("--notify and --no-notify are for `install`.")
    if wanted and connections[alias].vendor != "postgresql":
        raise CommandError("--notify is for PostgreSQL; other databases cannot notify.")
    return wanted


def _purging(oldest: float | None) -> str:
    """Return how far purging is behind what the setting says."""
    late = purge_delay(oldest)
    if late is None:
        return "up to date"
    return f"{late:.0f} s behind; is a server running, whose role may delete entries?"
