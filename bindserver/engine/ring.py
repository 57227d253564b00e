"""Deltas, and the ring of a view's recent ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bindserver.engine.changes import Key

PUT_OVERHEAD = 96
"""About how many bytes a change takes in memory beside its row's text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """A row that is in the view after a step.

    Attributes:
        key: the row's key.
        text: the row as JSON text.
        created: whether the row was not in the view before.
        placed: whether the row is new to its place, so that `after` counts.
        after: the key of the row that it follows, None for the first.
    """

    key: Key
    text: str
    created: bool
    placed: bool
    after: Key | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What one step did to a view.

    Attributes:
        version: the view's version after it.
        deletes: keys that were in the view and are no more.
        puts: rows that came, changed or moved, in their final order.
    """

    version: int
    deletes: tuple[Key, ...]
    puts: tuple[Put, ...]

    def keys(self) -> Iterator[Key]:
        """Yield the keys of all rows that the delta touches."""
        yield from self.deletes
        for put in self.puts:
            yield put.key

    def __bool__(self) -> bool:
        return bool(self.deletes or self.puts)

    def size(self) -> int:
        """Return about how many bytes the delta takes in memory."""
        return PUT_OVERHEAD * (len(self.deletes) + len(self.puts)) + sum(
            len(put.text) for put in self.puts
        )


class Ring:
    """A view's recent deltas, bounded in bytes; the oldest make room for the newest."""

    __slots__ = ("_bytes", "_deltas", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # A deque takes more than most views' rows, and most have no deltas.
        self._deltas: list[Delta] | tuple[()] = ()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """About how many bytes its deltas take in memory."""
        return self._bytes

    def add(self, delta: Delta) -> None:
        """Keep `delta`, and let go of the oldest ones past the limit."""
        deltas = self._deltas or []
        deltas.append(delta)
        self._bytes += delta.size()
        past = 0
        while self._bytes > self._limit:
            self._bytes -= deltas[past].size()
            past += 1
        del deltas[:past]
        self._deltas = deltas

    def since(self, version: int, present: int) -> Sequence[Delta] | None:
        """Return the deltas after `version` up to `present`, None when not all are here."""
        count = present - version
        if count < 0 or count > len(self._deltas):
            return None
        return self._deltas[len(self._deltas) - count :]


@dataclass(frozen=True, slots=True)
class Net:
    """Several deltas as one, for rows whose present texts and places the view knows."""

    deletes: tuple[Key, ...]
    touched: frozenset[Key]
    created: frozenset[Key]
    placed: frozenset[Key]


def net_of(history: Iterable[Delta]) -> Net:
    """Merge deltas that follow each other: what was there before and is no more, and so on."""
    member_before: dict[Key, bool] = {}
    member_now: dict[Key, bool] = {}
    placed: set[Key] = set()
    for delta in history:
        for key in delta.deletes:
            member_before.setdefault(key, True)
            member_now[key] = False
        for put in delta.puts:
            member_before.setdefault(put.key, not put.created)
            member_now[put.key] = True
            if put.placed:
                placed.add(put.key)
    touched = frozenset(key for key, member in member_now.items() if member)
    return Net(
        deletes=tuple(k for k, was in member_before.items() if was and not member_now[k]),
        touched=touched,
        created=frozenset(key for key in touched if not member_before[key]),
        placed=touched & placed,
    )
