"""`manage.py bindings doctor`: what is wrong around a server, and what to do."""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial

from django.core import checks
from django.core.checks import CheckMessage
from django.core.checks.registry import registry as django_checks
from django.core.management.base import CommandError, CommandParser
from django.db import connections

from bindserver.bindings.registry import registry
from bindserver.checks import TAG, check_settings
from bindserver.checks.deploy import DEPLOYMENT
from bindserver.checks.live_database import DATABASE, UNANSWERED
from bindserver.checks.live_layer import SILENT, layer_answers
from bindserver.checks.looks import Irrelevant, Look
from bindserver.database import is_served
from bindserver.database.diagnosis import demand
from bindserver.exceptions import DatabaseUnusable

DOCTORS = "look at settings, databases and the channel layer, and say what to do"
TIMEOUT_SECONDS = 5.0
NOTHING_SERVED = "No binding has an event, so nothing is served, and no database was looked at."
SAY_WHAT_TO_SERVE = (
    "Write one into a bindings.py of an installed app; with the standalone server, name the app in "
    "BINDSERVER_APPS."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look has shown.

    Attributes:
        where: what was looked at: the project, a database, the channel layer.
        level: "ok", "note", or "wrong".
        message: what is the case.
        id: the check's; None where nothing was found.
        hint: what to do.
    """

    where: str
    level: str
    message: str
    id: str | None = None
    hint: str = ""


@dataclass(slots=True)
class Section:
    """Looks at one thing, in a thread of its own, since that may hang.

    Attributes:
        where: its name.
        looks: what there is to say where a look finds nothing, and the look.
        hung: the id and the hint of what is said where a look does not end.
        close: is called when all has been looked at.
    """

    where: str
    looks: Mapping[str, Look]
    hung: tuple[str, str]
    close: Callable[[], None] = lambda: None
    _findings: list[Finding] = field(default_factory=list)
    _at: str = ""
    _thread: threading.Thread | None = None

    def begin(self) -> None:
        """Look, beside all others."""
        # Whoever waits for a database that hangs cannot be told to stop: the process ends past it.
        self._thread = threading.Thread(target=self._look, name=self.where, daemon=True)
        self._thread.start()

    def end(self, until: float, seconds: float) -> list[Finding]:
        """Return what was found, and which look has not ended by then.

        Args:
            until: by the monotonic clock, how long to wait.
            seconds: how long that has been, for people.
        """
        assert self._thread is not None
        self._thread.join(max(0.0, until - time.monotonic()))
        found = list(self._findings)
        if self._thread.is_alive():
            check, hint = self.hung
            message = f"No answer within {seconds:g} s to whether {self._at}: it hangs."
            found.append(Finding(self.where, "wrong", message, check, hint))
        return found

    def _look(self) -> None:
        try:
            for title, look in self.looks.items():
                self._at = title
                self._findings.extend(seen(self.where, title, look))
        except DatabaseUnusable as problem:
            hint = "Nothing else can be told of it until then."
            self._findings.append(Finding(self.where, "wrong", str(problem), UNANSWERED, hint))
        finally:
            self.close()


def seen(where: str, title: str, look: Look) -> list[Finding]:
    """Look at one thing, and return what that has shown.

    Args:
        where: what it is a part of.
        title: what there is to say where nothing is found.
        look: does it.

    Raises:
        DatabaseUnusable: its database cannot be reached, or refuses.
    """
    try:
        found = [message for message in look() if not message.is_silenced()]
    except Irrelevant:
        return []
    except DatabaseUnusable:
        raise
    except Exception as problem:  # a project's own code is run, which may raise anything
        message = f"It cannot be told whether {title} ({type(problem).__name__}: {problem})."
        return [Finding(where, "wrong", message, UNANSWERED, "Look at this error first.")]
    return [_finding(where, message) for message in found] or [Finding(where, "ok", title)]


def add_doctor_arguments(parser: CommandParser) -> None:
    """Take the arguments of `doctor`."""
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    parser.add_argument(
        "--timeout",
        type=float,
        default=TIMEOUT_SECONDS,
        metavar="SECONDS",
        help=f"how long databases and Redis may take to answer (default: {TIMEOUT_SECONDS:g})",
    )
    parser.add_argument(
        "-v",
        "--verbosity",
        type=int,
        choices=range(4),
        default=argparse.SUPPRESS,
        help="2: print what is in order, too",
    )


def examine(seconds: float) -> list[Finding]:
    """Look at everything, for so long at most.

    Args:
        seconds: how long databases and the channel layer have together.
    """
    unreadable = [_finding("settings", message) for message in check_settings()]
    if unreadable:
        return unreadable  # all others go by these
    sections = [*_databases(), _layer(seconds)]
    for section in sections:
        section.begin()
    until = time.monotonic() + seconds
    found = list(_project())
    for section in sections:
        found.extend(section.end(until, seconds))
    return found


def report(findings: list[Finding], *, as_json: bool, verbosity: int) -> Iterator[str]:
    """Yield the lines to print."""
    if as_json:
        yield json.dumps([asdict(finding) for finding in findings], indent=2)
        return
    where = None
    for finding in findings:
        if finding.level == "ok" and verbosity < 2:
            continue
        if finding.where != where:
            where = finding.where
            yield where
        named = f" ({finding.id})" if finding.id else ""
        yield f"  {finding.level:5} {finding.message}{named}"
        if finding.hint:
            yield f"        {finding.hint}"
    count = {level: sum(f.level == level for f in findings) for level in ("wrong", "note", "ok")}
    yield f"{count['wrong']} wrong, {count['note']} to note, {count['ok']} in order"


def verdict(findings: list[Finding]) -> None:
    """Say whether all is well.

    Raises:
        CommandError: something is wrong.
    """
    if wrong := [finding for finding in findings if finding.level == "wrong"]:
        raise CommandError(f"{len(wrong)} wrong: see docs/checks.md.")


def _project() -> Iterator[Finding]:
    """Yield what settings and bindings say by themselves."""
    for title, look in DEPLOYMENT.items():
        yield from seen("settings", title, look)
    if registry.published():
        yield from seen("bindings", "bindings are declared well", _declared)
    else:
        yield Finding("bindings", "note", NOTHING_SERVED, hint=SAY_WHAT_TO_SERVE)


def _declared() -> Iterator[CheckMessage]:
    yield from django_checks.run_checks(tags=[TAG])


def _databases() -> Iterator[Section]:
    for alias in filter(is_served, registry.aliases()):
        looks: dict[str, Look] = {"it answers": partial(_answers, alias)}
        looks |= {title: partial(look, alias) for title, look in DATABASE.items()}
        hint = "See what it waits for: a host that is gone, a lock, a full disk."
        close = partial(_close, alias)
        yield Section(f"database {alias!r}", looks, (UNANSWERED, hint), close)


def _close(alias: str) -> None:
    connections[alias].close()


def _answers(alias: str) -> Iterator[CheckMessage]:
    demand(alias)
    yield from ()


def _layer(seconds: float) -> Section:
    looks = {"it answers": partial(layer_answers, seconds)}
    return Section("channel layer", looks, (SILENT, "See whether Redis hangs."))


def _finding(where: str, message: CheckMessage) -> Finding:
    level = "wrong" if message.level >= checks.WARNING else "note"
    about = f"{message.obj}: " if message.obj is not None else ""
    return Finding(where, level, f"{about}{message.msg}", message.id, message.hint or "")
