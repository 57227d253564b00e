"""What the server says of itself when it starts."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connections

from bindserver.bindings.registry import registry
from bindserver.capture.sources import source_of
from bindserver.conf import conf
from bindserver.database import is_served
from bindserver.database.diagnosis import explained
from bindserver.exceptions import CaptureError
from bindserver.relay.relay import reaches_others
from bindserver.server.runner import ServerPlan

LOCAL_HOSTS = ("127.0.0.1", "0.0.0.0", "::", "::1")  # noqa: S104  (compared with, not bound to)
"""Addresses that a browser on the same machine reaches as localhost."""


def greet(plan: ServerPlan, port: int) -> Iterator[str]:
    """Yield the lines.

    Args:
        plan: what is going to be served.
        port: where, when the plan leaves it open.

    Raises:
        DatabaseUnusable: a database cannot be reached, or refuses.
    """
    yield f"bindserver: {address(plan, port)}"
    captures = {alias: _capture(alias) for alias in databases()}
    for alias, (name, words) in captures.items():
        yield f"  capture on {alias}: {words}"
        if name == "signals" and plan.workers > 1 and not reaches_others():
            yield (
                "  warning: without a channel layer, a write in one worker is seen by the others "
                f"within {conf.COMPARE_SECONDS:g} s only; set CHANNEL_LAYERS, or install the log"
            )
    events = ", ".join(binding.event or "" for binding in registry.served())
    yield f"  bindings: {events or 'none with an event yet'}"
    if plan.workers > 1:
        yield f"  workers: {plan.workers}"


def databases() -> list[str]:
    """Return the aliases of the databases that bindings read."""
    return list(filter(is_served, registry.aliases()))


def address(plan: ServerPlan, port: int) -> str:
    """Return where the server is, as a browser's user would write it."""
    if plan.uds is not None:
        return f"unix:{plan.uds}"
    host = f"[{plan.host}]" if ":" in plan.host else plan.host
    return f"http://{'localhost' if plan.host in LOCAL_HOSTS else host}:{port}/"


def _capture(alias: str) -> tuple[str, str]:
    """Return a database's capture, and what it sees and what would better it."""
    try:
        with explained(alias):
            source = source_of(connections[alias])
            source.position()  # raises where the log cannot be followed, as on a standby
    except CaptureError as problem:
        return "none", str(problem)
    finally:
        connections[alias].close()
    if source.name == "log":
        return source.name, "change log, every committed write is seen"
    whose = "of all processes on the channel layer" if reaches_others() else "of this process"
    return source.name, (
        f"signals, ORM writes {whose} at once and all others within "
        f"{conf.COMPARE_SECONDS:g} s; `manage.py bindings capture install` sees every write"
    )
