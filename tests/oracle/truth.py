"""What every view is in every committed state, by SQL of the oracle's own.

The statements are written by hand and share nothing with the product: no queryset, no serializer.
`tests.oracle.crosscheck` holds them against Django and DRF.
"""

from __future__ import annotations

import json
import re
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

from tests.oracle import drawn, shapes
from tests.oracle.dialects import Dialect
from tests.oracle.moving import BOOKED, LATE_SECONDS, MARGIN_SECONDS, MOVING, Moving, bookings
from tests.oracle.sessions import Session
from tests.oracle.shapes import UNORDERED, Rows, Shape

SHAPES: dict[str, Shape] = {**shapes.SHAPES, **drawn.SHAPES}
KINDS = {
    **{event: shape.kind for event, shape in SHAPES.items()},
    **dict.fromkeys(MOVING, "moved by the time"),
}
"""What the view of each event is an example of."""


class Name(NamedTuple):
    """One view: an event, canonical params as JSON, and the user where the binding asks for one."""

    event: str
    params: str = "{}"
    user: int = 0

    def parsed(self) -> dict[str, Any]:
        """Return the params."""
        found: dict[str, Any] = json.loads(self.params)
        return found


def canonical(params: Mapping[str, Any]) -> str:
    """Return params as the text that names a view."""
    return json.dumps(params, sort_keys=True)


@cache
def tables_of(event: str) -> frozenset[str]:
    """Return the tables that a view's rows are of."""
    if event in MOVING:
        return frozenset({BOOKED})
    return frozenset(re.findall(r"\bapp_\w+", SHAPES[event].sql + str(SHAPES[event].where)))


def drawn_names() -> list[Name]:
    """Return the views of the oracle's own bindings that anybody may see."""
    events = [event for event in [*drawn.SHAPES, *MOVING] if event not in drawn.OWN]
    return [
        Name(event, canonical(params))
        for event in events
        for params in drawn.VIEWS.get(event, [{}])
    ]


def comparable(name: Name, rows: Rows) -> Rows:
    """Return rows without what no SELECT says: a key that was added, and an order of lists that no
    one has asked for."""
    shape = SHAPES.get(name.event)
    if shape is not None and "key" not in shape.names:
        rows = [{n: value for n, value in row.items() if n != "key"} for row in rows]
    if (listed := UNORDERED.get(name.event)) is not None:
        rows = [{**row, listed: sorted(row[listed])} for row in rows]
    return rows


def statement(name: Name, dialect: Dialect) -> tuple[str, list[Any]]:
    """Return the SQL of a view, and its arguments."""
    shape, params = SHAPES[name.event], name.parsed()
    conditions, arguments = ["true"], []
    for column, value in sorted(params.items()):
        condition = _condition(shape, column, value, dialect)
        if condition is not None:
            conditions.append(condition[0])
            arguments += condition[1]
    numbers = {"user": name.user, **params}
    sql = shape.sql.format(
        where=" AND ".join(conditions), list=dialect.list_of.format("t.name"), **numbers
    )
    return sql, arguments


def _condition(
    shape: Shape, column: str, value: Any, dialect: Dialect
) -> tuple[str, list[Any]] | None:
    """Return what a param demands, and its arguments."""
    condition = shape.where.get(column)
    if condition is None:
        return None
    if value is None:
        return condition.replace("= ?", "IS NULL"), []
    if isinstance(value, list):
        marks = ", ".join("?" * len(value)) or "NULL"
        return condition.replace("?", marks), value
    if column == "q":
        return condition.format(like=dialect.like), [f"%{value}%"]
    return condition, [value]


class Version(NamedTuple):
    """Rows of a view, from the state `first` on until the next version."""

    first: int
    rows: Rows | Moving

    def now(self) -> Rows:
        """Return the rows at present."""
        return self.rows.now() if isinstance(self.rows, Moving) else self.rows


class History:
    """All views in all committed states since the last `forget`.

    Attributes:
        state: the number of the newest committed state.
        blind: whether what is held need not be a committed state for now.
    """

    def __init__(self, names: list[Name]) -> None:
        self.state = -1
        self.blind = False
        self._lines: dict[Name, list[Version]] = {name: [] for name in names}
        self._raw: dict[Name, list[Any]] = {}
        self._tables: dict[str, list[Any]] = {}
        self._rendered: dict[tuple[str, Any], dict[str, Any]] = {}

    def names(self) -> list[Name]:
        """Return the views that are followed."""
        return list(self._lines)

    def record(self, session: Session) -> None:
        """Take the newest committed state down."""
        self.state += 1
        changed = self._changed(session)
        booked = bookings(session) if BOOKED in changed else []
        for name, line in self._lines.items():
            if changed.isdisjoint(tables_of(name.event)):
                continue
            if name.event in MOVING:
                raw: Any = booked
            else:
                sql, arguments = statement(name, session.dialect)
                raw = session.rows(sql, *arguments)
            if self._raw.get(name) != raw:
                self._raw[name] = raw
                line.append(Version(self.state, self._made(name, raw)))

    def _changed(self, session: Session) -> set[str]:
        """Return the tables whose rows are not what they were in the state before."""
        changed = set()
        for table in {table for name in self._lines for table in tables_of(name.event)}:
            rows = session.rows(f"SELECT * FROM {table}")
            if self._tables.get(table) != rows:
                self._tables[table] = rows
                changed.add(table)
        return changed

    def _made(self, name: Name, raw: Any) -> Rows | Moving:
        if (at := MOVING.get(name.event)) is not None:
            return Moving(raw, partial(at, **name.parsed()))
        if (fold := SHAPES[name.event].fold) is not None:
            return fold(raw)
        return [self._render(name.event, row) for row in raw]

    def _render(self, event: str, raw: Any) -> dict[str, Any]:
        row = self._rendered.get((event, raw))
        if row is None:
            row = self._rendered[event, raw] = SHAPES[event].row(raw)
        return row

    def newest(self, name: Name) -> Version:
        """Return the newest version of a view."""
        return self._lines[name][-1]

    def at(self, name: Name, state: int) -> int:
        """Return the first state of the version that a view has in `state`."""
        line = self._lines[name]
        index = bisect_right(line, state, key=lambda version: version.first) - 1
        return line[max(0, index)].first

    def told(self, name: Name, moment: float) -> str:
        """Return what a view that moves with the time hangs on, in seconds before or after now;
        nothing for others."""
        version, now = self.newest(name), time.time()
        if not isinstance(version.rows, Moving):
            return ""
        rows = [
            f"{row.id}: {row.start - now:.2f} to {row.end - now:.2f}" for row in version.rows.rows
        ]
        return (
            f"\nits rows since state {version.first}: {', '.join(rows)}\n"
            f"it was checked as of {moment - now:.2f}"
        )

    def is_newest(self, name: Name, rows: Rows) -> bool:
        """Return whether the view has these rows now."""
        newest, now = self.newest(name).rows, time.time()
        if isinstance(newest, Moving):
            return newest.when(rows, now - LATE_SECONDS, now) is not None
        return rows == newest

    def find(self, name: Name, rows: Rows, since: int, moment: float = 0.0) -> int | None:
        """Return the first state, not before that of `since`, in which the view has these rows.

        Args:
            name: the view.
            rows: its rows.
            since: a state.
            moment: the time at which it has them at the earliest, where it moves with the time.
        """
        return next((first for first, _ in self.spans(name, rows, since, moment)), None)

    def spans(
        self, name: Name, rows: Rows, since: int, moment: float = 0.0
    ) -> Iterator[tuple[int, int]]:
        """Yield the first and last states of each stretch in which the view has these rows, not
        before a time."""
        line = self._lines[name]
        start = bisect_right(line, since, key=lambda version: version.first) - 1
        for index in range(max(0, start), len(line)):
            if self._is(line[index], rows, moment):
                last = line[index + 1].first - 1 if index + 1 < len(line) else self.state
                yield line[index].first, last

    @staticmethod
    def _is(version: Version, rows: Rows, moment: float) -> bool:
        if isinstance(version.rows, Moving):
            return version.rows.when(rows, moment, time.time() + MARGIN_SECONDS) is not None
        return version.rows == rows

    def moment(self, name: Name, rows: Rows, since: int, moment: float) -> float:
        """Return the first time, not before one, at which a view that moves with the time has these
        rows in any state since one; that time itself for all others."""
        line, until = self._lines[name], time.time() + MARGIN_SECONDS
        start = bisect_right(line, since, key=lambda version: version.first) - 1
        times = [
            version.rows.when(rows, moment, until)
            for version in line[max(0, start) :]
            if isinstance(version.rows, Moving)
        ]
        return min([at for at in times if at is not None], default=moment)

    def forget(self, needed: Mapping[Name, int]) -> None:
        """Let go of the states before those that are needed, or before the newest."""
        for name, line in self._lines.items():
            since = needed.get(name, self.state)
            index = bisect_right(line, since, key=lambda version: version.first) - 1
            del line[: max(0, index)]
        self._rendered.clear()
