"""Faults to plant in a server, each of which a test must find."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import AppConfig

from bindserver.capture.mysql.entries import Entries
from bindserver.capture.mysql.holes import Holes
from bindserver.capture.mysql.marks import Mark
from bindserver.database.mysql import MySQL
from bindserver.database.postgresql import PostgreSQL
from bindserver.engine.frames import Frame
from bindserver.queries import reading
from bindserver.queries.query import Query
from tests.faults.oracle_databases import id_over_last
from tests.faults.threads import FAULTS_IN_THREADS


def holes_not_inherited() -> None:
    """Whoever begins takes the newest entry, and knows of no number below it that is open."""

    def newest(self: Entries, facts: Any) -> Mark:
        rows = self._rows("SELECT id, nonce FROM bindserver_log ORDER BY id DESC LIMIT 1")
        return Mark(high=int(rows[0][0]), nonce=int(rows[0][1])) if rows else Mark()

    setattr(Entries, "kept_mark", newest)


def holes_given_up_unproved() -> None:
    """A hole is given up without a look whether its entry may be committed yet."""
    setattr(Holes, "retire", lambda self, mark: mark.without(mark.holes))


def rows_outside_snapshot() -> None:
    """Position, changes and rows are each read as they are by then."""

    @contextmanager
    def no_snapshot(self: object, connection: Any, pacer: Any) -> Iterator[None]:
        yield

    def late(read: Any) -> Any:
        def slowly(query: Query, pks: Any, *args: Any) -> Any:
            found = None
            for pk in sorted(pks):  # as if in more than one batch
                time.sleep(0.005)
                rows = read(query, [pk], *args)
                if found is None:
                    found = rows
                else:
                    found.fresh |= rows.fresh
                    found.keys |= rows.keys
            return found

        return slowly

    for database in (MySQL, PostgreSQL):
        setattr(database, "reading", no_snapshot)
    setattr(reading, "read", late(reading.read))


def compressed_for_all() -> None:
    """Whoever is written to is sent what is compressed, whether they can read it or not."""
    setattr(Frame, "form", lambda self, *, packed: self.packed)


def _named(*faults: Callable[[], None]) -> dict[str, Callable[[], None]]:
    return {fault.__name__: fault for fault in faults}


FAULTS_ON_POSTGRESQL = _named(id_over_last, rows_outside_snapshot)
FAULTS_ON_MARIADB = _named(
    id_over_last, holes_not_inherited, holes_given_up_unproved, rows_outside_snapshot
)
FAULTS_ON_THE_WIRE = _named(compressed_for_all)


class PlantedFault(AppConfig):
    """Plants the fault that the environment names."""

    name = "tests.support"
    label = "planted_fault"

    def ready(self) -> None:
        faults = {
            **FAULTS_ON_POSTGRESQL,
            **FAULTS_ON_MARIADB,
            **FAULTS_ON_THE_WIRE,
            **FAULTS_IN_THREADS,
        }
        faults[os.environ["PLANTED_FAULT"]]()
