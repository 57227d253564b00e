"""Why a query is kept live as it is, and what that costs, in words and figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connections
from django.db.models import Model

from bindserver.conf import conf
from bindserver.database.pacing import Pacer
from bindserver.engine.changes import Change
from bindserver.queries import reaching, reading
from bindserver.queries.backwards import Chain
from bindserver.queries.dependencies import Recorder
from bindserver.queries.following import Following
from bindserver.queries.learning import LearningRecorder
from bindserver.queries.query import Query

ANY_ROW = "any row of it may touch any row of the view, which is read whole then"

PATIENCE = 6
"""An explanation may read so many times as long as a query of the cycle."""


@dataclass(slots=True)
class ReadCost:
    """What reading has cost.

    Attributes:
        statements: how many were sent.
        rows: how many rows of the view were read.
        seconds: how long it took, rendering included.
    """

    statements: int = 0
    rows: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """How a query is kept live.

    Attributes:
        reading: what is read again at a change.
        sharing: with which other views it is read, or why with none.
        order: who puts rows in order.
        time: whether rows come and go as time passes.
        tables: for each table how a change there reaches the rows.
        load: what reading it whole costs.
        changes: what one changed row costs, by table; tables without rows are left out.
        advice: what would be cheaper.
    """

    reading: str
    sharing: str
    order: str
    time: str
    tables: Mapping[str, str]
    load: ReadCost
    changes: Mapping[str, ReadCost]
    advice: tuple[str, ...]


def models_by_table() -> Mapping[str, type[Model]]:
    """Return the model of each table."""
    models = apps.get_models(include_auto_created=True)
    return {model._meta.db_table: model for model in models if not model._meta.proxy}


def explain(query: Query, models: Mapping[str, type[Model]]) -> Explanation:
    """Return how a query is kept live, as a load and a change of each table show it.

    Args:
        query: the query; it is read, within the caller's snapshot.
        models: the model of each table.

    Raises:
        Exception: whatever the query or its serializer raises.
    """
    recorder = LearningRecorder()
    with recorder.watching(query.alias), _counting(query.alias) as load:
        load.rows = reading.load(query, recorder, Pacer(conf.QUERY_SECONDS * PATIENCE)).count
    besides = recorder.ways()
    tables = {table: _reach(query, table) for table in sorted(query.tables)}
    tables |= {
        table: _reach_besides(besides[table]) for table in sorted(besides.keys() - tables.keys())
    }
    changes = {
        table: cost
        for table in tables
        if table in models
        and (cost := _change(query, table, models[table], besides, load)) is not None
    }
    whole = [table for table, reach in tables.items() if ANY_ROW in reach]
    return Explanation(
        reading=_reading(query),
        sharing=_sharing(query),
        order=_order(query),
        time=_time(query),
        tables=tables,
        load=load,
        changes=changes,
        advice=tuple(_advice(query, whole)),
    )


@contextmanager
def _counting(alias: str) -> Iterator[ReadCost]:
    """Count the statements that a block sends, and its time."""
    cost = ReadCost()

    def count(execute: Callable[..., Any], *given: Any) -> Any:
        cost.statements += 1
        return execute(*given)

    began = time.perf_counter()
    with connections[alias].execute_wrapper(count):
        yield cost
    cost.seconds = time.perf_counter() - began


Besides = Mapping[str, Collection[Chain] | None]
"""How the tables that are read besides lead back to the view's rows; None for any row."""


def _change(
    query: Query, table: str, model: type[Model], besides: Besides, load: ReadCost
) -> ReadCost | None:
    """Return what a changed row of a table costs: that of one which is there; None without any."""
    rows = model._base_manager.using(query.alias).order_by()
    pk = rows.values_list("pk", flat=True).first()
    if pk is None:
        return None
    with _counting(query.alias) as cost:
        pks = _reached(query, Change(table=table, pks=frozenset({pk})), model, besides)
        if pks is not None and not query.whole:
            cost.rows = reading.read(query, pks, Recorder(), Pacer(conf.QUERY_SECONDS)).count
            return cost
    return load


def _reached(query: Query, change: Change, model: type[Model], besides: Besides) -> set[Any] | None:
    """Return the primary keys of the rows that a change touches, None for any."""
    told = {str(field.column) for field in model._meta.concrete_fields}
    found: set[Any] | None = set()
    if change.table == query.model._meta.db_table and query.paths.get(change.table) == ["pk"]:
        found = set(change.pks or ())
    elif change.table in query.tables:
        found = reaching.reached(query, change, told, conf.SYNC_ROWS)
    if found is None or change.table not in besides:
        return found
    chains = besides[change.table]
    if chains is None:
        return None
    more = Following(query.model, query.alias, conf.SYNC_ROWS).reached(change, chains, told)
    return None if more is None else found | more


def _reading(query: Query) -> str:
    if query.whole:
        return f"whole, at each change that touches it: {query.whole}"
    if query.window is not None:
        return "a window: by key, of a change the rows that it touches, and some rows ahead"
    return "by key: of a change, the rows that it touches"


def _sharing(query: Query) -> str:
    if query.unshared:
        return f"with nobody: {'; '.join(query.unshared)}"
    if query.batch_key is not None and not query.slot:
        return "together with all windows of its rows"
    if query.batch_key is not None:
        return f"together with all views of its shape; its slot is {query.slot_in_words()}"
    if query.whole:
        return "by itself, as it is read whole"
    return "by itself: no condition compares a column with a constant that rows can be dealt by"


def _order(query: Query) -> str:
    if query.sortable:
        return "the server, by the rows' own columns"
    return "the database, which is asked when rows come, go or move"


def _time(query: Query) -> str:
    if query.pulse is not None:
        return "wakes when a row crosses the database's present time"
    if query.refreshed_after is not None:
        return f"read whole every {query.refreshed_after:g} s, changed or not"
    return "nothing happens as time passes"


def _reach(query: Query, table: str) -> str:
    lookups, chains = query.paths.get(table), query.chains.get(table)
    if query.whole:
        return ANY_ROW
    if table == query.model._meta.db_table and lookups == ["pk"]:
        return "its own rows, by key"
    if lookups is not None and table != query.model._meta.db_table:
        return f"by key, over {', '.join(lookups)}"
    return ANY_ROW if chains is None else f"by key, back over {_told(chains)}"


def _reach_besides(chains: Collection[Chain] | None) -> str:
    if chains is None:
        return f"read besides, by the serializer, a prefetch or a permission: {ANY_ROW}"
    return f"read besides; by key, back over {_told(chains)}"


def _told(chains: Collection[Chain]) -> str:
    """Return chains of hops in words."""
    return "; ".join(
        ", ".join(f"{hop.table}.{hop.column} = {hop.nearer}.{hop.nearer_column}" for hop in chain)
        for chain in sorted(chains)
    )


def _advice(query: Query, whole: Collection[str]) -> Iterator[str]:
    if query.unshared:
        yield "Each subscriber has a view of their own: docs/bindings.md says what can be shared."
    if query.whole:
        yield "Keep it small: what a change costs grows with its rows."
    elif whole:
        yield (
            f"A change of {', '.join(whole)} reads the view whole. Foreign keys, joins, `IN`, "
            "`Exists` and prefetches are followed by key."
        )
