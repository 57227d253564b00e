"""What the loader reads: views whole, or one that is audited, in a snapshot of their own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.log import log_of
from bindserver.cycle.claims import Claim, compare
from bindserver.cycle.load_messages import Audited, Loaded, Wanted
from bindserver.database import database_of
from bindserver.database.pacing import Pacer, collector
from bindserver.database.snapshot import connect, snapshot, vouch
from bindserver.exceptions import Overtaken, Unavailable
from bindserver.queries import reading
from bindserver.queries.dependencies import Recorder
from bindserver.queries.learning import LearningRecorder
from bindserver.queries.query import Query
from bindserver.queries.rows import Rows
from bindserver.user_code import apart

logger = logging.getLogger("bindserver.cycle")


def load(alias: str, wanted: Wanted, connection: BaseDatabaseWrapper, pacer: Pacer) -> list[Loaded]:
    """Load views together; return what each came to."""
    recorder, position, began = LearningRecorder(), wanted.since, time.monotonic()
    rows: list[Rows | None] = [None] * len(wanted.lives)
    problem: Exception | None = None
    try:
        connect(connection)
        with collector.resting(), snapshot(connection, pacer):
            if wanted.durable:
                position = log_of(connection).position(wanted.since)
            with recorder.watching(alias):
                rows[:] = apart(lambda: read_whole(wanted.queries, recorder, pacer))
            vouch(alias, recorder.tables)
    except Exception as raised:  # handed on: the cycle sets the view aside and logs it
        problem = _told(raised, connection)
        connection.close()
    seconds = (time.monotonic() - began) / len(wanted.lives)
    return wanted.came_to(
        rows, position=position, recorder=recorder, began=began, seconds=seconds, problem=problem
    )


def audit(
    alias: str,
    claim: Claim,
    connection: BaseDatabaseWrapper,
    pacer: Pacer,
    makes_way: Callable[[], bool],
) -> Audited:
    """Compare what a view says with the database.

    Args:
        alias: the database.
        claim: what the view says.
        connection: reads it.
        pacer: stops what takes too long, or is to make way.
        makes_way: returns whether a load waits.
    """
    recorder, position, began = LearningRecorder(), claim.since, time.monotonic()

    def read() -> Rows:
        (rows,) = read_whole([claim.query], recorder, pacer)
        return rows

    try:
        connect(connection)
        with collector.resting(), snapshot(connection, pacer):
            position = log_of(connection).position(claim.since)
            with recorder.watching(alias):
                comparison = apart(lambda: compare(claim, read))
            vouch(alias, recorder.tables)
    except Exception as problem:
        connection.close()
        made_way = makes_way() or isinstance(problem, Overtaken)
        if not made_way:
            logger.debug("bindserver: a view cannot be audited", exc_info=problem)
        return Audited.in_vain(claim, position, began, made_way=made_way)
    return Audited(
        claim=claim,
        comparison=comparison,
        position=position,
        recorder=recorder,
        seconds=time.monotonic() - began,
    )


def read_whole(queries: Sequence[Query], recorder: Recorder, pacer: Pacer) -> list[Rows]:
    """Read all rows of one view, or of several of one shape in as few queries as that takes.

    Raises:
        OverBudget: several views have more rows together than one may have: until the turn has
            taken them, no budget knows of them.
    """
    if len(queries) == 1 or queries[0].window is not None:
        return [reading.load_held(query, recorder, pacer) for query in queries]
    slots, most = {query.slot for query in queries}, queries[0].max_rows
    rows_by_slot = reading.load_together(queries[0], slots, recorder, pacer, budget=most)
    return [rows_by_slot[query.slot] for query in queries]


def is_there(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the database can be reached; if not, that is what went wrong for all."""
    try:
        connect(connection)
    except DatabaseError:
        return False
    return True


def _told(raised: Exception, connection: BaseDatabaseWrapper) -> Exception:
    """Return what went wrong with a load: nothing that is a binding's fault, if the connection that
    it was read by is gone."""
    if database_of(connection.vendor).lost(connection, raised):
        lost = Unavailable()
        lost.__cause__ = raised
        return lost
    return raised
