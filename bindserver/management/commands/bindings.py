"""`manage.py bindings`: look after bindings and their change log."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.template.defaultfilters import filesizeformat
from django.urls import NoReverseMatch, reverse

from bindserver.bindings.binding import model_of
from bindserver.bindings.registry import BindingClass, registry
from bindserver.capture.log import Log, log_of, sift
from bindserver.capture.plans import PurgePlan
from bindserver.capture.sources import source_of
from bindserver.capture.tables import Tracked, tracked
from bindserver.checks.live_database import purge_delay
from bindserver.conf import conf
from bindserver.cycle.inbox import CommandKind
from bindserver.database.diagnosis import demand, explained
from bindserver.database.views import database_views
from bindserver.exceptions import (
    BindserverError,
    CaptureError,
    DatabaseUnusable,
    UnknownEvent,
)
from bindserver.management.doctor import (
    DOCTORS,
    add_doctor_arguments,
    examine,
    report,
    verdict,
)
from bindserver.management.explaining import EXPLAINS, add_explain_arguments, explained_lines
from bindserver.queries.behind import warning_of
from bindserver.queries.dependencies import known_tables
from bindserver.queries.tables import (
    Reads,
    columns_told,
    read_by_each,
    read_whole,
    reads_of,
    to_watch,
    unshared,
)
from bindserver.relay.control import give
from bindserver.relay.relay import reaches_others

PURGE_BATCH = 5000

REPLY_SECONDS = 1.0
"""How long running servers may take to answer."""
ORDERS = {
    CommandKind.SYNC: "have running servers read bindings anew and send their subscribers all rows",
    CommandKind.BUMP: "have them read bindings anew and send what differed",
    CommandKind.CLEAR: "have them forget what they hold in memory of bindings",
}

ACTIONS = {
    "install": "make the log's two tables, and the triggers that are missing or wrong",
    "status": "show what is installed, how large and how old the log is, and what is missing",
    "remove": "take triggers and tables away; bindings follow signals from then on",
    "purge": "delete old entries of the log",
}

PARTLY = 3
"""The exit status of `install` where it could not have all tables watched."""

OWN_TABLES = "bindserver_log, bindserver_meta"

LOCK_TRIES = 100
"""How often to ask for a table that is in use; each time its writers may wait for a moment."""


class Command(BaseCommand):
    """Installs, shows, removes and purges the change log."""

    help = "Look after bindings and the change log that they follow."

    def add_arguments(self, parser: CommandParser) -> None:
        rooms = parser.add_subparsers(
            dest="room",
            required=True,
            metavar="list | explain | doctor | sync | bump | clear | capture",
        )
        rooms.add_parser("list", help="show the bindings there are")
        add_explain_arguments(rooms.add_parser("explain", help=EXPLAINS, description=EXPLAINS))
        add_doctor_arguments(rooms.add_parser("doctor", help=DOCTORS, description=DOCTORS))
        for command, what in ORDERS.items():
            asked = rooms.add_parser(command.value, help=what)
            asked.add_argument(
                "events", nargs="*", metavar="event", help="bindings' events (default: all)"
            )
        capture = rooms.add_parser(
            "capture",
            help="the change log of a database",
            description="Look after the change log of a database.",
            epilog="\n".join(
                ["actions:", *(f"  {name:9}{what}" for name, what in ACTIONS.items())]
            ),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        capture.add_argument("action", choices=[*ACTIONS], help="what to do, see below")
        capture.add_argument(
            "--database", default=DEFAULT_DB_ALIAS, help="the database's alias (default: default)"
        )
        capture.add_argument(
            "--dry-run",
            action="store_true",
            help="change nothing: print the SQL of install or remove, or what purge would do",
        )
        capture.add_argument(
            "-v",
            "--verbosity",
            type=int,
            choices=range(4),
            default=argparse.SUPPRESS,
            help="2: print the SQL that is run",
        )
        capture.add_argument(
            "--keep",
            type=float,
            default=None,
            metavar="SECONDS",
            help="purge: keep entries younger than this (default: LOG_KEEP_SECONDS)",
        )
        capture.add_argument(
            "--table",
            action="append",
            default=[],
            metavar="TABLE",
            help="install: watch this table too, whole, as a server's log asks for (repeatable)",
        )
        capture.add_argument(
            "--notify",
            action=argparse.BooleanOptionalAction,
            default=None,
            help="install: have commits notify servers (PostgreSQL; default: as it is)",
        )

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run; `doctor` tells itself what the system checks find, and goes on."""
        if options.get("room") == "doctor":
            options["skip_checks"] = True
        return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["room"] == "list":
            self._list()
            return
        if options["room"] == "doctor":
            self._doctor(options)
            return
        if options["room"] == "explain":
            self._check(options["event"])
            given = (options[name] for name in ("event", "user", "params", "row"))
            for line in explained_lines(*given):
                self.stdout.write(line)
            return
        if options["room"] != "capture":
            self._give(CommandKind(options["room"]), options["events"])
            return
        alias = options["database"]
        if alias not in connections:
            raise CommandError(f"There is no database {alias!r} in DATABASES.")
        try:
            log = log_of(connections[alias])
            log.notify = _notify(alias, options)
            log.tries, log.tell = LOCK_TRIES, self.stderr.write
            demand(alias)
            with explained(alias):
                getattr(self, f"_{options['action']}")(log, alias, options)
        except (CaptureError, DatabaseUnusable) as problem:
            raise CommandError(str(problem)) from problem

    def _doctor(self, options: dict[str, Any]) -> None:
        """Look at everything around a server, and fail where something is wrong."""
        findings = examine(options["timeout"])
        for line in report(findings, as_json=options["json"], verbosity=options["verbosity"]):
            self.stdout.write(line)
        verdict(findings)

    def _give(self, command: CommandKind, events: list[str]) -> None:
        """Have all running servers do something, and say how many will."""
        for event in events:
            self._check(event)
        if not reaches_others():
            raise CommandError(
                "No other process can be reached: configure CHANNEL_LAYERS with Redis, for the "
                "servers and for this command (docs/processes.md)."
            )
        try:
            servers = asyncio.run(give(command, events or None, REPLY_SECONDS))
        except Exception as problem:
            kind = type(problem).__name__
            raise CommandError(
                f"The channel layer is out of reach ({kind}: {problem})."
            ) from problem
        named = ", ".join(events) or "all bindings"
        if not servers:
            raise CommandError(
                f"No server has answered within {REPLY_SECONDS:g} s. Is one running, with the same "
                "CHANNEL_LAYERS and RELAY_GROUP?"
            )
        count = "1 server process" if len(servers) == 1 else f"{len(servers)} server processes"
        self.stdout.write(self.style.SUCCESS(f"{command.value} of {named}: taken by {count}."))

    @staticmethod
    def _check(event: str) -> None:
        try:
            registry.find(event)
        except UnknownEvent:
            known = ", ".join(sorted(binding.event or "" for binding in registry.published()))
            raise CommandError(f"No binding has the event {event!r}. There are: {known}.") from None

    def _list(self) -> None:
        for binding in registry.all():
            event = binding.event or "(not published)"
            params = ", ".join(sorted(binding.params)) or "none"
            model = model_of(binding)._meta.label
            self.stdout.write(
                f"{event}: {binding.__module__}.{binding.__name__} of {model}, params: {params}"
                f"{_elsewhere(binding)}{_address(binding)}"
            )
            if (rows := columns_told(binding)) is not None:
                self.stdout.write(f"  rows of columns: {rows}")
            for why in unshared(binding):
                self.stdout.write(f"  each subscriber has a view of their own: {why}")
            if (whole := read_whole(binding)) is not None:
                self.stdout.write(f"  read whole at each change that touches it: {whole}")
        for alias in registry.aliases():
            self.stdout.write(f"capture on {alias}: {_capture(alias)}")
        self.stdout.write(f"WebSocket: {conf.WEBSOCKET_PATH}")

    def _install(self, log: Log, alias: str, options: dict[str, Any]) -> None:
        reads = read_by_each(registry.all(), alias)
        views = database_views(connections[alias])
        for binding, view in _on_views(reads, views):
            self.stderr.write(self.style.WARNING(" ".join(warning_of(binding, view))))
        if unknown := sorted(set(options["table"]) - known_tables()):
            raise CommandError(f"No installed model has the table {unknown[0]!r}.")
        watch = {**to_watch(reads, alias), **dict.fromkeys(options["table"])}
        wanted = [t for t in _tracked(watch) if t.table not in views]
        tables, others = sift(log, wanted)
        names = ", ".join(item.table for item in tables) or "no table"
        made = _made(log, tables)
        dry = options["dry_run"]
        statements = log.plan(tables) if dry else log.install(tables)
        if statements:
            will = "Would watch" if dry else "The change log watches"
            self._show(made, statements, f"{will} {names}.", options)
        elif options["verbosity"]:
            self.stdout.write(f"All in place: the change log watches {names}.")
        if others:
            raise CommandError(_unwatched(others), returncode=PARTLY)

    def _status(self, log: Log, alias: str, options: dict[str, Any]) -> None:
        status = log.status()
        if not status["installed"]:
            self.stdout.write(
                f"No change log on {alias!r}. `manage.py bindings capture install` installs it."
            )
            return
        wanted, others = _sifted(log, _tracked(reads_of(registry.all(), alias)))
        missing = [item.table for item in log.missing(wanted)]
        self.stdout.write(f"epoch: {status['epoch']}")
        self.stdout.write(f"entries: {status['entries']}, about {filesizeformat(status['bytes'])}")
        for name in ("oldest", "newest"):
            if status[name] is not None:
                at = datetime.datetime.fromtimestamp(status[name], datetime.UTC)
                self.stdout.write(f"{name}: {at:%Y-%m-%d %H:%M:%S} UTC")
        self.stdout.write(f"purging: {_purging(status['oldest'])}")
        self.stdout.write(f"tables: {', '.join(status['tables']) or 'none'}")
        self.stdout.write(f"missing triggers: {', '.join(missing) or 'none'}")
        for why in others.values():
            self.stdout.write(f"not watched: {why}")
        for name, value in status["more"].items():
            self.stdout.write(f"{name}: {value}")

    def _remove(self, log: Log, alias: str, options: dict[str, Any]) -> None:
        removed = _removed(log)
        if options["dry_run"]:
            statements, sentence = log.plan_removal(), "Would remove the change log."
        else:
            statements = log.remove()
            sentence = "The change log is removed; bindings follow signals now."
        if not statements:
            sentence = "There is no change log to remove."
        self._show(removed, statements, sentence, options)

    def _purge(self, log: Log, alias: str, options: dict[str, Any]) -> None:
        if not log.installed():
            raise CaptureError("There is no change log to purge.")
        keep = conf.LOG_KEEP_SECONDS if options["keep"] is None else options["keep"]
        if options["dry_run"]:
            self.stdout.write(_planned(log.plan_purge(keep), keep))
            return
        deleted = 0
        while some := log.purge(keep, PURGE_BATCH, wait=True):
            deleted += some
        self.stdout.write(f"Deleted {_entries(deleted)} older than {keep:g} s.")

    def _show(
        self,
        lines: Iterable[str],
        statements: Iterable[str],
        sentence: str,
        options: dict[str, Any],
    ) -> None:
        """Print what is done: in SQL where that is asked for, else a line for each table."""
        if options["dry_run"] or options["verbosity"] > 1:
            lines = [f"{statement};" for statement in statements]
        for line in lines if options["verbosity"] else ():
            self.stdout.write(line)
        self.stdout.write(self.style.SUCCESS(sentence))


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


def _notify(alias: str, options: dict[str, Any]) -> bool | None:
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


def _elsewhere(binding: BindingClass) -> str:
    """Return on which database a binding is, if not on the usual one."""
    return f", database: {binding.using}" if binding.using else ""


def _address(binding: BindingClass) -> str:
    """Return where HTTP serves a binding, if anywhere."""
    if binding.event is None:
        return ""
    try:
        return f", HTTP: {reverse('bindserver:snapshot', args=[binding.event])}"
    except NoReverseMatch:  # the project does not include our routes
        return ""


def _capture(alias: str) -> str:
    """Return the name of a database's capture, or why there is none."""
    if alias not in connections:
        return "there is no such database in DATABASES"
    try:
        with explained(alias):
            return source_of(connections[alias]).name
    except (BindserverError, DatabaseError) as problem:
        return f"none ({problem})"
