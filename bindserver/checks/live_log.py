"""What only a database's change log can tell an operator: `bindings doctor` asks it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from django.core import checks
from django.core.checks import CheckMessage
from django.db import connections

from bindserver.bindings.registry import registry
from bindserver.capture.log import LOGS, Log, has_log, log_of, sift
from bindserver.capture.tables import tracked
from bindserver.checks.looks import Irrelevant, option_of
from bindserver.conf import conf
from bindserver.exceptions import CaptureError
from bindserver.queries.tables import reads_of

PURGE_PATIENCE_SECONDS = 60.0
"""How far purging may be behind before it is told."""


def log_is_installed(alias: str) -> Iterator[CheckMessage]:
    """Look for the change log."""
    connection = connections[alias]
    if conf.CAPTURE == "signals" or connection.vendor not in LOGS:
        raise Irrelevant
    if has_log(connection):
        return
    meanwhile = (
        "no server starts"
        if conf.CAPTURE == "log"
        else f"what other programs write is seen within {conf.COMPARE_SECONDS:g} s only"
    )
    yield checks.Warning(
        f"There is no change log, and CAPTURE is {conf.CAPTURE!r}: {meanwhile}.",
        hint=f"Run `manage.py bindings capture install{option_of(alias)}`.",
        id="bindserver.W202",
    )


def triggers_are_in_place(alias: str) -> Iterator[CheckMessage]:
    """Look for triggers that are missing, or not as this version makes them."""
    log = _log(alias)
    reads = reads_of(registry.all(), alias)
    try:
        wanted, others = sift(log, tracked(reads, reads))
    except CaptureError as problem:
        yield checks.Warning(str(problem), hint="Then install again.", id="bindserver.W204")
        return
    if missing := [item.table for item in log.missing(wanted)]:
        yield checks.Warning(
            f"Triggers are missing or stale on {', '.join(missing)}: changes there are not seen.",
            hint=f"Run `manage.py bindings capture install{option_of(alias)}`.",
            id="bindserver.W204",
        )
    for why in others.values():
        yield checks.Warning(
            f"A table cannot be watched: {why}",
            hint=f"Until it can, what reads it is compared whole every {conf.COMPARE_SECONDS:g} s.",
            id="bindserver.W204",
        )


def log_is_purged(alias: str) -> Iterator[CheckMessage]:
    """Look whether anybody deletes old entries."""
    size = _log(alias).size()
    behind = purge_delay(size.oldest)
    if behind is not None:
        yield checks.Warning(
            f"Nothing purges the log: about {size.entries} entries, the oldest {behind:.0f} s "
            "older than LOG_KEEP_SECONDS keeps them.",
            hint="A running server whose role may delete purges it. Where none runs, have "
            f"`manage.py bindings capture purge{option_of(alias)}` run by a timer.",
            id="bindserver.W205",
        )


def purge_delay(oldest: float | None) -> float | None:
    """Return how many seconds purging is behind what LOG_KEEP_SECONDS says; None where it is not.

    Args:
        oldest: when the oldest entry was written, in seconds since 1970; None without any.
    """
    late: float = 0.0 if oldest is None else time.time() - oldest - conf.LOG_KEEP_SECONDS
    return None if late < max(PURGE_PATIENCE_SECONDS, conf.LOG_KEEP_SECONDS / 10) else late


def _log(alias: str) -> Log:
    """Return a database's change log.

    Raises:
        Irrelevant: there is none, which another look tells.
    """
    connection = connections[alias]
    if not has_log(connection):
        raise Irrelevant
    return log_of(connection)
