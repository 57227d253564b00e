"""What the inspector's tables say: what the threads of this process keep, looked at once."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from heapq import nlargest
from importlib import import_module
from typing import Any

from bindserver.bindings.binding import alias_of, model_of
from bindserver.bindings.registry import BindingClass, registry
from bindserver.clients.connections import Connection, connections
from bindserver.cycle.cycle import Cycle
from bindserver.cycle.figures import Durations
from bindserver.cycle.live_view import LiveView
from bindserver.cycle.view_facts import ViewFacts, foremost
from bindserver.hub.hub import hub
from bindserver.inspector.asked import Inquiry
from bindserver.inspector.topic import Row
from bindserver.metrics.access import is_wanted
from bindserver.metrics.sharing import sharing

MOST = 50
"""So many views and connections are shown, those that rank first; a search finds others."""

MOST_BINDINGS = 500

SUMMED = {
    "connections": "connections",
    "lazy": "lazy_clients",
    "outbox": "outbox_bytes",
    "frames": "frames_sent",
    "sent": "sent_bytes",
    "subscriptions": "subscriptions",
    "views": "views",
    "rows": "rows",
    "bytes": "view_bytes",
}
"""What is shown of each process, and the metrics by which others tell it."""


class Facts:
    """What there is in one moment. Whatever several tables need is looked at once."""

    def __init__(self) -> None:
        self._now = time.monotonic()

    def rows(self, asked: Inquiry) -> list[Row]:
        """Return the rows of a table, in order.

        Args:
            asked: the table, and which part of it.
        """
        search = asked.search.lower()
        match asked.table:
            case "processes":
                return list(self._processes())
            case "databases":
                return [self._database(alias, cycle) for alias, cycle in self._cycles]
            case "bindings":
                return list(self._bindings(search))[:MOST_BINDINGS]
            case "views":
                return self._foremost_views(search, asked.by)
        return self._connections(search)

    @cached_property
    def _cycles(self) -> list[tuple[str, Cycle]]:
        return hub.cycles()

    @cached_property
    def _views(self) -> list[tuple[str, list[LiveView]]]:
        return [(alias, cycle.views()) for alias, cycle in self._cycles]

    # Processes.

    def _processes(self) -> Iterator[Row]:
        """Yield this process, and what others have written of themselves, where they do."""
        shares = is_wanted() and sharing.folder is not None
        yield {"id": os.getpid(), "here": True, "shares": shares, **self._own()}
        if shares:
            yield from self._others()

    def _own(self) -> dict[str, Any]:
        figures = [some for _, cycle in self._cycles for _, some in cycle.figures.events()]
        found = connections.all()
        return {
            "version": import_module("bindserver").__version__,
            "connections": len(found),
            "lazy": sum(one.session.is_lazy for one in found),
            "outbox": sum(one.session.waiting for one in found),
            "frames": connections.frames,
            "sent": connections.bytes,
            "refused": connections.refused_origins + connections.failed_proofs,
            "limited": connections.rate_limited,
            "subscriptions": sum(some.subscriptions for some in figures),
            "views": sum(some.views for some in figures),
            "rows": sum(some.rows for some in figures),
            "bytes": sum(some.bytes for some in figures),
            "lag": round(max((cycle.lag() for _, cycle in self._cycles), default=0.0), 1),
        }

    @staticmethod
    def _others() -> Iterator[Row]:
        found: dict[str, dict[str, Any]] = defaultdict(lambda: {"here": False})
        names = {f"bindserver_{metric}": name for name, metric in SUMMED.items()}
        for metric in sharing.others():
            name = names.get(metric.name)
            for sample in metric.samples if name is not None else ():
                told = found[sample.labels["pid"]]
                told[str(name)] = told.get(str(name), 0) + int(sample.value)
        for pid, told in sorted(found.items()):
            yield {"id": int(pid), **told}

    # Databases.

    def _database(self, alias: str, cycle: Cycle) -> Row:
        figures, budget, log = cycle.figures, cycle.budget(), cycle.figures.log
        loads, waiting = cycle.load_figures
        return {
            "id": alias,
            "capture": cycle.capture,
            "up": not figures.is_lost,
            "lag": round(cycle.lag(), 1),
            "turns": sum(figures.turns.counts),
            "turn_ms": _mean_ms(figures.turns),
            "hints": figures.hints,
            "loads": loads.running,
            "loads_waiting": waiting,
            "load_ms": _mean_ms(loads.seconds),
            "views": sum(len(views) for name, views in self._views if name == alias),
            "views_limit": budget.limits.views,
            "bytes": budget.bytes,
            "bytes_limit": budget.limits.bytes,
            "refused": budget.refused,
            "log_entries": None if log is None else log.entries,
            "log_bytes": None if log is None else log.bytes,
            "log_oldest": None if log is None else log.oldest,
            "troubles": [f"{part}: {said}" for part, said in sorted(cycle.troubles().items())],
        }

    # Bindings.

    def _bindings(self, search: str) -> Iterator[Row]:
        known = {alias: dict(cycle.figures.events()) for alias, cycle in self._cycles}
        for binding in registry.all():
            row = _described(binding)
            if search and search not in " ".join(map(str, row.values())).lower():
                continue
            alias, name = alias_of(binding), binding.event or binding.__name__
            some = known.get(alias, {}).get(name)
            yield {
                **row,
                "views": 0 if some is None else some.views,
                "rows": 0 if some is None else some.rows,
                "bytes": 0 if some is None else some.bytes,
                "subscriptions": 0 if some is None else some.subscriptions,
                "deltas": 0 if some is None else some.deltas,
                "failures": self._failures(alias, name),
                "lagging": self._lagging(alias, binding),
            }

    def _failures(self, alias: str, name: str) -> dict[str, int]:
        cycle = dict(self._cycles).get(alias)
        counted = {} if cycle is None else cycle.figures.failures.copy()
        return {kind: count for (event, kind), count in sorted(counted.items()) if event == name}

    def _lagging(self, alias: str, binding: BindingClass) -> dict[str, int]:
        name = binding.event or model_of(binding)._meta.label
        found: dict[str, int] = {}
        for some in hub.lagging_views(alias):
            if some.event == name:
                found[some.reason.value] = found.get(some.reason.value, 0) + some.count
        return found

    # Views.

    def _foremost_views(self, search: str, by: str) -> list[Row]:
        views = [live for _, some in self._views for live in some]
        named = {live.number: alias for alias, some in self._views for live in some}
        found = foremost(views, MOST, by, search, self._now)
        return [_view(named[facts.number], facts) for facts in found]

    # Connections.

    def _connections(self, search: str) -> list[Row]:
        """Return those that keep the server waiting most, and those who have most subscriptions."""
        found = [one for one in connections.all() if one.is_greeted]
        if search:
            found = [one for one in found if search in _texts(one).lower()]
        slowest = nlargest(
            MOST,
            found,
            key=lambda one: (
                one.session.is_lazy,
                one.session.waiting,
                len(one.session.subscriptions),
            ),
        )
        return [self._connection(one) for one in slowest]

    @staticmethod
    def _connection(one: Connection) -> Row:
        return {
            "id": one.id,
            "user": one.user,
            "address": one.address,
            "transport": one.transport,
            "since": round(time.time() - one.seconds),
            "subscriptions": len(one.session.subscriptions),
            "lazy": one.session.is_lazy,
            "outbox": one.session.waiting,
            "frames": one.frames,
            "sent": one.bytes,
        }


def _described(binding: BindingClass) -> dict[str, Any]:
    label = f"{binding.__module__}.{binding.__qualname__}"
    return {
        "id": binding.event or label,
        "binding": label,
        "model": model_of(binding)._meta.label,
        "database": alias_of(binding),
        "params": sorted(binding.params),
        "published": binding.event is not None,
    }


def _view(alias: str, facts: ViewFacts) -> Row:
    return {
        "id": f"{alias}-{facts.number}",
        "database": alias,
        "name": facts.name,
        "binding": facts.binding,
        "params": facts.params,
        "state": facts.state,
        "rows": facts.rows,
        "bytes": facts.bytes,
        "followers": facts.followers,
        "waiting": facts.waiting,
        "whole_ms": round(facts.whole_seconds * 1e3, 1),
        "change_ms": round(facts.change_seconds * 1e3, 1),
        "together": facts.together,
        "lag": round(facts.lag_seconds, 1),
    }


def _texts(one: Connection) -> str:
    return f"{one.id} {one.user} {one.address} {one.transport}"


def _mean_ms(durations: Durations) -> float:
    count = sum(durations.counts)
    return round(durations.total / count * 1e3, 1) if count else 0.0


def view_named(name: str) -> tuple[Cycle, LiveView] | None:
    """Return a view of this process, and the cycle that keeps it; None where there is none any
    more.

    Args:
        name: its `id` in the table of views.
    """
    alias, _, number = name.rpartition("-")
    for known, cycle in hub.cycles():
        if known == alias:
            return next(((cycle, v) for v in cycle.views() if str(v.number) == number), None)
    return None
