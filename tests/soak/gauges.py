"""What a server's process has: handles, threads, tasks, memory, database connections, views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.metrics import scrape
from tests.support.process import get
from tests.support.program import Program
from tests.support.server import Server

CONNECTIONS = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid()",
    "mysql": "SELECT count(*) - 1 FROM information_schema.processlist WHERE db = DATABASE()",
}


@dataclass(frozen=True, slots=True)
class Gauge:
    """One thing that is measured.

    Attributes:
        name: what it is.
        unit: of its values.
        slack: by how much it may end above where it began.
        share: by which share of that.
    """

    name: str
    unit: str = ""
    slack: float = 0
    share: float = 0

    def most(self, began: float) -> float:
        """Return how high it may end."""
        return began + self.slack + began * self.share


GAUGES: Sequence[Gauge] = (
    Gauge("handles", slack=3),
    Gauge("threads", slack=2),
    Gauge("tasks", slack=2),
    Gauge("memory", "MiB", slack=8, share=0.1),
    Gauge("database connections", slack=2),
    Gauge("views"),
    Gauge("subscriptions"),
    Gauge("connections"),
)
"""Threads: of Django's pool one may be begun that was not needed before."""


def measure(server: Server, program: Program) -> dict[str, float]:
    """Return what a server's process has now, by the names of `GAUGES`."""
    folder, metrics = Path(f"/proc/{server.pid}"), scrape(server)
    status = (folder / "status").read_text().splitlines()
    said = {line.split(":")[0]: line.split()[1] for line in status if len(line.split()) > 1}
    vendor = server.url.partition(":")[0]
    handles = [_target(handle) for handle in (folder / "fd").iterdir()]
    counted = CONNECTIONS.get(vendor)
    if counted is None:  # each connection holds the file
        file = server.url.removeprefix("sqlite:///")
        open_files = sum(target == file for target in handles)
    else:
        open_files = int(program.run(counted)[0][0])
    return {
        "handles": len(handles),
        "threads": int(said["Threads"]),
        "tasks": int(get(f"http://127.0.0.1:{server.port}/tasks")[1]),
        "memory": int(said["VmRSS"]) / 1024,
        "database connections": open_files,
        "views": metrics.value("views"),
        "subscriptions": metrics.value("subscriptions"),
        "connections": metrics.value("connections"),
    }


def _target(handle: Path) -> str:
    try:
        return str(handle.readlink())
    except FileNotFoundError:
        return ""  # it was closed meanwhile
