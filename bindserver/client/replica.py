"""A client's copy of one view, as the wire contract says that a client keeps it.

Pure: frames' data in, rows out. The tests hold it against the views themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from bindserver.engine.changes import Key

Row = dict[str, Any]

Changes = list[tuple[str, Any]]
"""What a frame has changed: actions, and their payloads."""


class Replica:
    """The rows of one subscription, kept up by its frames.

    Applying a frame twice harms nothing. Rows stand in a linked list, so that a batch costs in
    proportion to its changes, however many rows there are.

    Args:
        key: the name of the row field that holds the key.

    Attributes:
        key: the name of the row field that holds the key.
        cursor: the newest cursor that came, None before the first.
        stale: whether the rows may be old until the next frame.
    """

    def __init__(self, key: str) -> None:
        self.cursor: str | None = None
        self.stale = False
        self.key = key
        self._rows = _Chain()
        self._pages = _Pages()

    @property
    def rows(self) -> list[Row]:
        """The rows in order."""
        return [self._rows.row(key) for key in self._rows]

    @property
    def rows_in_no_order(self) -> Collection[Row]:
        """The rows, at the cost of a look: for what asks after each frame and minds no order."""
        return self._rows.all()

    @property
    def held(self) -> list[Key]:
        """The rows' keys in order."""
        return list(self._rows)

    def get(self, key: Key) -> Row | None:
        """Return the row with a key, None if there is none."""
        return self._rows.find(key)

    def age(self) -> None:
        """Have the rows be old until the next frame. The pages of an answer that is not whole are
        none: the rest will not come."""
        self.stale = True
        self._pages.clear()

    def apply(self, data: Mapping[str, Any]) -> Changes:
        """Take the `data` of one shared frame, and return what it has changed. An action that is
        unknown changes nothing, and so do pages before the last one.

        Raises:
            Exception: it is not what the contract says.
        """
        action, changes = data.get("action"), []
        if action == "stale":
            self.stale = True
            return []
        if action in ("sync", "batch"):
            payload = self._pages.take(data)
            if payload is None:
                return []
            if action == "sync":
                self._rows = _Chain()
                changes = [("sync", payload)]
                payload = [{"action": "update", "payload": row} for row in payload]
                self._change(payload)
            else:
                changes = self._change(payload)
        elif action in ("create", "update", "delete"):
            self._pages.clear()
            changes = self._change([data])
        elif action == "ok":
            self._pages.clear()
        else:
            return []
        self.stale = False
        if isinstance(cursor := data.get("cursor"), str):
            self.cursor = cursor
        return changes

    def _change(self, changes: Iterable[Mapping[str, Any]]) -> Changes:
        made: Changes = []
        for change in changes:
            match change.get("action"):
                case "create" | "update":
                    row = change["payload"]
                    self._rows.put(row[self.key], row)
                    if "after" in change:
                        self._rows.move(row[self.key], change["after"])
                case "delete":
                    self._rows.remove(change["payload"][self.key])
                case _:
                    continue
            made.append((change["action"], change["payload"]))
        return made


class _Chain:
    """Rows in order: each knows its neighbours; None stands at both ends."""

    def __init__(self) -> None:
        self._row_of: dict[Key, Row] = {}
        self._before: dict[Key | None, Key | None] = {None: None}
        self._next: dict[Key | None, Key | None] = {None: None}

    def __iter__(self) -> Iterator[Key]:
        key = self._next[None]
        while key is not None:
            yield key
            key = self._next[key]

    def all(self) -> Collection[Row]:
        return self._row_of.values()

    def row(self, key: Key) -> Row:
        return self._row_of[key]

    def find(self, key: Key) -> Row | None:
        return self._row_of.get(key)

    def put(self, key: Key, row: Row) -> None:
        """Put a row in its old place, a new one at the end."""
        if key not in self._row_of:
            self._link(key, self._before[None])
        self._row_of[key] = row

    def move(self, key: Key, after: Key | None) -> None:
        """Let a row follow another, None for the first place; an unknown one moves nothing."""
        if after != key and after in self._next and self._before[key] != after:
            self._unlink(key)
            self._link(key, after)

    def remove(self, key: Key) -> None:
        """Take a row out, if it is in."""
        if self._row_of.pop(key, None) is not None:
            self._unlink(key)

    def _link(self, key: Key, after: Key | None) -> None:
        follower = self._next[after]
        self._before[key], self._next[key] = after, follower
        self._next[after] = self._before[follower] = key

    def _unlink(self, key: Key) -> None:
        before, follower = self._before.pop(key), self._next.pop(key)
        self._next[before] = follower
        self._before[follower] = before


class _Pages:
    """Gathers the pages of one answer; a page out of its place is as good as none."""

    def __init__(self) -> None:
        self._answer: tuple[str, int] | None = None
        self._gathered: dict[int, list[Any]] = {}

    def clear(self) -> None:
        """Let go of an answer whose rest will not come."""
        self._answer = None
        self._gathered = {}

    def take(self, data: Mapping[str, Any]) -> list[Any] | None:
        """Return the payload of the whole answer, None while pages are missing."""
        if "page" not in data:
            self.clear()
            return list(data["payload"])
        page, answer = data["page"], (data["action"], data["pages"])
        if page == 1:
            self._answer, self._gathered = answer, {}
        if answer != self._answer or page > len(self._gathered) + 1:
            return None
        self._gathered[page] = data["payload"]
        if page < data["pages"]:
            return None
        whole = [item for items in self._gathered.values() for item in items]
        self.clear()
        return whole
