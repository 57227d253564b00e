"""Views that are read together: each is dealt what it would have read alone, whoever reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bindserver.database.pacing import Pacer
from bindserver.queries import reading
from bindserver.queries.dependencies import Recorder
from bindserver.queries.query import Query
from bindserver.queries.rows import Rows

PATIENCE_SECONDS = 10


def wrongly_dealt(queries: Sequence[Query]) -> Iterator[str]:
    """Yield what some queries of one shape are dealt otherwise than they read alone."""
    alone = {query.slot: _load(query) for query in queries}
    pks = sorted({pk for rows in alone.values() for pk in rows.keys}, key=repr)
    for reader in queries:
        ways = {"by keys": reading.read_together(reader, pks, alone, *_given())}
        if reader.window is None:
            ways["whole"] = reading.load_together(reader, alone, *_given())
        for slot, rows in alone.items():
            for way, dealt in ways.items():
                found = _texts(dealt.get(slot, Rows()))
                # By keys come all rows of a slot, in no order, and of a window more than it shows.
                same = found == _texts(rows) if way == "whole" else _holds(found, _texts(rows))
                if not same or (reader.window is None and len(found) != len(rows.fresh)):
                    yield f"{way} {slot!r} is dealt {found}, and reads {_texts(rows)}"
            looked = reading.look(reader, pks, alone, *_given()).get(slot, Rows())
            if not looked.sorts.keys() >= rows.keys.keys():
                yield f"{slot!r} does not see {rows.keys.keys() - looked.sorts.keys()}"
            if reader.window is None and looked.sorts.keys() != rows.keys.keys():
                yield f"{slot!r} sees {looked.sorts.keys() - rows.keys.keys()}"
    if len({repr(query.pulse and query.pulse.thresholds) for query in queries}) > 1:
        yield "the time passes other rows"


def _given() -> tuple[Recorder, Pacer]:
    return Recorder(), Pacer(PATIENCE_SECONDS)


def _load(query: Query) -> Rows:
    return reading.load(query, *_given())


def _texts(rows: Rows) -> list[str]:
    return [fresh.text for fresh in rows.fresh.values()]


def _holds(found: list[str], rows: list[str]) -> bool:
    return set(found) >= set(rows)
