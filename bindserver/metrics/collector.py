"""The collector: from what threads have counted to families of metrics.

It asks nobody and waits for nobody: each number is read as it is. So it answers while the database
is down and a turn hangs. It counts nothing itself, and belongs to no registry of its own, so that
a project may add it to one that it has: `REGISTRY.register(BindserverCollector())`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from bindserver.clients.connections import connections
from bindserver.cycle.cycle import Cycle
from bindserver.cycle.figures import BOUNDS, Durations
from bindserver.hub.hub import hub
from bindserver.metrics.sharing import sharing
from bindserver.relay import relay

PID = "pid"
"""The label that every metric has: several processes may answer at one address."""


class BindserverCollector(Collector):
    """Collects what this process knows of its connections, views, turns and databases.

    No label has a value that a client could choose: params, users and addresses are in none, and
    events are those that the project declares.
    """

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield from _families()


class SharedCollector(Collector):
    """Collects the same of all processes that share an address."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        found = {metric.name: metric for metric in _families()}
        for metric in sharing.others():
            known = found.setdefault(metric.name, metric)
            if known is not metric:
                known.samples += metric.samples
        yield from found.values()


def _families() -> Iterator[Metric]:
    version: str = import_module("bindserver").__version__  # whose names are those of outer rooms
    yield _gauge("info", "Which version serves.", ["version"], [([version], 1)])
    yield from _of_connections()
    heard: Samples = [([], int(not one.trouble())) for one in relay.listening()]
    yield _gauge("channel_layer_up", "Whether other processes are heard.", [], heard)
    cycles = hub.cycles()
    yield from _of_views(cycles)
    yield from _of_turns(cycles)
    yield from _of_loads(cycles)
    yield from _of_logs(cycles)


def _of_connections() -> Iterator[Metric]:
    known, found = connections, connections.all()
    transports = sorted(known.opened.copy())
    yield _gauge(
        "connections",
        "Open connections.",
        ["transport"],
        [([name], sum(one.transport == name for one in found)) for name in transports],
    )
    yield _counter(
        "connections_opened",
        "Connections that were accepted.",
        ["transport"],
        [([name], count) for name, count in sorted(known.opened.copy().items())],
    )
    yield _counter(
        "connections_closed",
        "Connections that are over, by close code.",
        ["transport", "code"],
        [([*key], count) for key, count in sorted(known.closed.copy().items())],
    )
    plain: list[tuple[str, str, int]] = [
        ("frames_sent", "Frames written to clients.", known.frames),
        ("sent_bytes", "Bytes of these frames.", known.bytes),
        ("origins_refused", "Handshakes refused for their origin.", known.refused_origins),
        ("proofs_failed", "Credentials that proved nothing.", known.failed_proofs),
        ("messages_rate_limited", "Messages refused, as too many came.", known.rate_limited),
    ]
    for name, told, count in plain:
        yield _counter(name, told, [], [([], count)])
    waiting = sum(one.session.waiting for one in found)
    yield _gauge("outbox_bytes", "Bytes that wait for clients to take them.", [], [([], waiting)])
    lazy = sum(one.session.is_lazy for one in found)
    said = "Clients that skip states in between, as they do not keep up."
    yield _gauge("lazy_clients", said, [], [([], lazy)])


def _of_views(cycles: list[tuple[str, Cycle]]) -> Iterator[Metric]:
    labels = ["database", "event"]
    rows = [
        ([alias, event], figures)
        for alias, cycle in cycles
        for event, figures in cycle.figures.events()
    ]
    views = [(key, some.views) for key, some in rows]
    yield _gauge("views", "Views in memory.", labels, views)
    yield _gauge("rows", "Rows of these views.", labels, [(key, some.rows) for key, some in rows])
    said = "Bytes of these rows' texts and of recent changes."
    yield _gauge("view_bytes", said, labels, [(key, some.bytes) for key, some in rows])
    subscriptions = [(key, some.subscriptions) for key, some in rows]
    yield _gauge("subscriptions", "Subscriptions.", labels, subscriptions)
    deltas = [(key, some.deltas) for key, some in rows]
    yield _counter("deltas", "Changes of views that somebody follows.", labels, deltas)
    yield _counter(
        "errors",
        "Failures of bindings, each try counted.",
        [*labels, "kind"],
        [
            ([alias, *key], count)
            for alias, cycle in cycles
            for key, count in sorted(cycle.figures.failures.copy().items())
        ],
    )
    for name, told, label, counts in (
        ("audit_views", "Views compared with the database.", "outcome", "audits"),
        ("audit_differences", "Rows that an audit found to differ.", "kind", "differences"),
    ):
        samples = [
            ([alias, *key], count)
            for alias, cycle in cycles
            for key, count in sorted(getattr(cycle.figures, counts).copy().items())
        ]
        yield _counter(name, told, [*labels, label], samples)
    yield _gauge(
        "lagging_views",
        "Views that somebody waits for and that are not as the database is.",
        [*labels, "state"],
        [
            ([alias, some.event, some.reason.value.replace(" ", "_")], some.count)
            for alias, cycle in cycles
            for some in cycle.lagging_views()
        ],
    )


def _of_turns(cycles: list[tuple[str, Cycle]]) -> Iterator[Metric]:
    labels = ["database"]
    turns = [([alias], cycle.figures.turns) for alias, cycle in cycles]
    yield _histogram("turn_seconds", "How long turns of the cycle take.", labels, turns)
    lag = [([alias], cycle.lag()) for alias, cycle in cycles]
    yield _gauge("lag_seconds", "How far the view furthest behind is.", labels, lag)
    up = [([alias], int(not cycle.figures.is_lost)) for alias, cycle in cycles]
    yield _gauge("database_up", "Whether the database is followed.", labels, up)
    unseen = [([alias], len(cycle.figures.unseen)) for alias, cycle in cycles]
    yield _gauge("unseen_tables", "Tables that lack triggers of the log.", labels, unseen)
    hints = [([alias], cycle.figures.hints) for alias, cycle in cycles]
    yield _counter("hints", "Hints of writes that were heard.", labels, hints)


def _of_loads(cycles: list[tuple[str, Cycle]]) -> Iterator[Metric]:
    labels = ["database"]
    loads = [([alias], *cycle.load_figures) for alias, cycle in cycles]
    running = [(key, figures.running) for key, figures, _ in loads]
    yield _gauge("loads_running", "Big loads that are being read.", labels, running)
    waiting = [(key, count) for key, _, count in loads]
    yield _gauge("loads_waiting", "Big loads that wait.", labels, waiting)
    seconds = [(key, figures.seconds) for key, figures, _ in loads]
    yield _histogram("load_seconds", "How long big loads take.", labels, seconds)


def _of_logs(cycles: list[tuple[str, Cycle]]) -> Iterator[Metric]:
    labels, now = ["database"], time.time()
    sizes = [([alias], cycle.figures.log) for alias, cycle in cycles]
    known = [(key, size) for key, size in sizes if size is not None]
    entries = [(key, size.entries) for key, size in known]
    yield _gauge("log_entries", "About how many entries the log has.", labels, entries)
    taken = [(key, size.bytes) for key, size in known if size.bytes is not None]
    yield _gauge("log_bytes", "About how many bytes the log takes.", labels, taken)
    ages = [(key, now - size.oldest) for key, size in known if size.oldest is not None]
    yield _gauge("log_oldest_seconds", "How old the oldest entry is.", labels, ages)


Samples = Iterable[tuple[list[str], float]]


def _gauge(name: str, told: str, labels: list[str], samples: Samples) -> Metric:
    family = GaugeMetricFamily(f"bindserver_{name}", told, labels=[PID, *labels])
    for values, value in samples:
        family.add_metric([_pid(), *values], value)
    return family


def _counter(name: str, told: str, labels: list[str], samples: Samples) -> Metric:
    family = CounterMetricFamily(f"bindserver_{name}", told, labels=[PID, *labels])
    for values, value in samples:
        family.add_metric([_pid(), *values], value)
    return family


def _histogram(
    name: str, told: str, labels: list[str], samples: Iterable[tuple[list[str], Durations]]
) -> Metric:
    family = HistogramMetricFamily(f"bindserver_{name}", told, labels=[PID, *labels])
    bounds = [*map(str, BOUNDS), "+Inf"]
    for values, durations in samples:
        counts = accumulate(durations.counts.copy())
        buckets = list(zip(bounds, counts, strict=True))
        family.add_metric([_pid(), *values], buckets, durations.total)
    return family


def _pid() -> str:
    return str(os.getpid())
