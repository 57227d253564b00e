"""What several of the engine's tests need."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bindserver.client.replica import Replica
from bindserver.engine.changes import Key
from bindserver.engine.frames import Frame, FrameEncoder
from bindserver.engine.ring import Delta
from bindserver.engine.view import Fresh, View

VECTORS = Path(__file__).parents[2] / "vectors"
ENCODER = FrameEncoder(event="products", params=None, key="id")

State = Mapping[int, tuple[int, str]]
"""A table: by key, what a row is ordered by (not served) and its name (served)."""


def vectors(name: str) -> list[dict[str, Any]]:
    """Return a file of vectors that the JavaScript tests read too."""
    cases: list[dict[str, Any]] = json.loads((VECTORS / name).read_text())
    return cases


def in_order(state: State) -> list[int]:
    """Return the keys of a table in its order."""
    return sorted(state, key=lambda key: (state[key][0], key))


def rows_of(state: State) -> list[dict[str, Any]]:
    """Return what a client of a table should hold."""
    return [{"id": key, "name": state[key][1]} for key in in_order(state)]


def fresh_rows(state: State, keys: Iterable[int]) -> dict[Key, Fresh]:
    """Return rows of a table as a view takes them."""
    return {
        key: Fresh(json.dumps({"id": key, "name": state[key][1]}), (state[key][0], key))
        for key in keys
    }


def advance(view: View, before: State, after: State, hinted: Iterable[int] = ()) -> Delta | None:
    """Let a view read again what differs between two states of a table, and what is hinted."""
    read = {key for key in {*before, *after} if before.get(key) != after.get(key)} | set(hinted)
    return view.step(
        fresh=fresh_rows(after, read & set(after)),
        gone=sorted(read - set(after)),
        listed=None if view.sortable else in_order(after),
    )


def view_of(state: State, *, sortable: bool, ring_bytes: int = 100_000) -> View:
    """Return a view of a table."""
    view = View(sortable=sortable, ring_bytes=ring_bytes)
    view.load(fresh_rows(state, in_order(state)))
    return view


def data_of(frame: Frame) -> dict[str, Any]:
    """Return the `data` of a frame."""
    data: dict[str, Any] = json.loads(frame.text)["data"]
    return data


def replica_of(state: State) -> Replica:
    """Return a client's copy of a table."""
    replica = Replica("id")
    replica.apply({"action": "sync", "payload": rows_of(state), "cursor": "c0"})
    return replica


def feed(replica: Replica, delta: Delta | None, cursor: str = "c") -> None:
    """Give a delta's frames to a client."""
    if delta is not None:
        for frame in ENCODER.delta(delta, cursor):
            replica.apply(data_of(frame))
