"""What every view is in every committed state, by SQL of the oracle's own.

The statements here are written by hand and share nothing with the product: no queryset, no
serializer. `tests.oracle.crosscheck` holds them against Django and DRF.
"""

from __future__ import annotations

import json
import uuid
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.oracle.dialects import Dialect
from tests.oracle.sessions import Session

Rows = list[dict[str, Any]]
SAFE_INTEGER = 2**53 - 1


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


@dataclass(frozen=True)
class Shape:
    """How to read a view: SQL with a place for conditions, and a row's names and types."""

    sql: str
    names: tuple[str, ...]
    types: tuple[Callable[[Any], Any] | None, ...] = ()


def _money(value: Any) -> str:
    return f"{float(value):.2f}"


def _wide(value: int) -> int | str:
    return value if abs(value) <= SAFE_INTEGER else str(value)


def _uuid(value: object) -> str:
    return str(uuid.UUID(str(value)))


def _list(value: str | None) -> list[str]:
    found: list[str] = sorted(json.loads(value or "[]"))
    return found


SHAPES: dict[str, Shape] = {
    "products": Shape(
        "SELECT id, name, price, stock, category_id FROM app_product WHERE active ORDER BY id",
        ("id", "name", "price", "stock", "category"),
        (None, None, _money, None, None),
    ),
    "catalogue": Shape(
        "SELECT p.id, p.name, p.sku, p.price, p.stock, p.category_id, c.name FROM app_product p "
        "LEFT JOIN app_category c ON c.id = p.category_id WHERE {where} "
        "ORDER BY c.name, p.name DESC, p.id",
        ("id", "name", "sku", "price", "stock", "category", "category_name"),
        (None, None, None, _money, None, None, None),
    ),
    "cheapest": Shape(
        "SELECT id, name, price FROM app_product ORDER BY price, id LIMIT 3",
        ("id", "name", "price"),
        (None, None, _money),
    ),
    "by_stock": Shape(
        "SELECT id, stock FROM app_product WHERE name <> 'hidden' ORDER BY stock DESC, id",
        ("id", "stock"),
    ),
    "tagged": Shape(
        "SELECT id, name, (SELECT {list} FROM app_tag t JOIN app_product_tags m "
        "ON m.tag_id = t.id WHERE m.product_id = p.id) FROM app_product p ORDER BY id",
        ("id", "name", "tags"),
        (None, None, _list),
    ),
    "tagged_in": Shape(
        "SELECT id, name, (SELECT {list} FROM app_tag t JOIN app_product_tags m "
        "ON m.tag_id = t.id WHERE m.product_id = p.id) FROM app_product p WHERE {where} "
        "ORDER BY id",
        ("id", "name", "tags"),
        (None, None, _list),
    ),
    "part": Shape(
        "SELECT id, name, stock, category_id, active FROM app_product p WHERE {where} "
        "ORDER BY stock DESC, id",
        ("id", "name", "stock", "category", "active"),
        (None, None, None, None, bool),
    ),
    "restaurants": Shape(
        "SELECT p.id, p.name, r.seats FROM app_restaurant r JOIN app_place p "
        "ON p.id = r.place_ptr_id ORDER BY p.id",
        ("id", "name", "seats"),
    ),
    "places": Shape("SELECT id, name FROM app_place ORDER BY id", ("id", "name")),
    "tokens": Shape("SELECT id, label FROM app_token ORDER BY id", ("id", "label"), (_uuid, None)),
    "words": Shape(
        "SELECT text, count FROM app_word ORDER BY text", ("text", "count"), (None, _wide)
    ),
    "tags": Shape("SELECT id, name FROM app_tag ORDER BY id", ("id", "name")),
    "categories": Shape("SELECT id, name FROM app_category ORDER BY id", ("id", "name")),
    "filled": Shape(
        "SELECT c.id, c.name, (SELECT count(*) FROM app_product p WHERE p.category_id = c.id), "
        "(SELECT sum(stock) FROM app_product p WHERE p.category_id = c.id), "
        "EXISTS (SELECT 1 FROM app_product p WHERE p.category_id = c.id AND p.stock > 3) "
        "FROM app_category c ORDER BY c.id",
        ("id", "name", "products", "total", "stocked"),
        (None, None, None, int, bool),
    ),
    "labelled": Shape(
        "SELECT c.id, (SELECT count(DISTINCT m.tag_id) FROM app_product p "
        "JOIN app_product_tags m ON m.product_id = p.id WHERE p.category_id = c.id) "
        "FROM app_category c ORDER BY c.id",
        ("id", "labels"),
    ),
    "shelves": Shape(
        "SELECT id, name, size, category_id FROM app_shelf ORDER BY id",
        ("id", "name", "size", "category"),
    ),
    "parcels": Shape(
        "SELECT id, name, category_id FROM app_parcel ORDER BY id", ("id", "name", "category")
    ),
    "notes": Shape(
        "SELECT id, slug, text FROM app_note ORDER BY id",
        ("id", "slug", "text"),
        (_uuid, None, None),
    ),
    "mine": Shape(
        "SELECT id, name, category_id FROM app_product WHERE category_id IN "
        "(SELECT category_id FROM app_membership WHERE user_id = {user}) ORDER BY id",
        ("id", "name", "category"),
    ),
}
UNORDERED = {"tagged": "tags", "tagged_in": "tags"}
"""Lists inside rows whose order no one has asked for."""


def statement(name: Name, dialect: Dialect) -> tuple[str, list[Any]]:
    """Return the SQL of a view, and its arguments."""
    sql, arguments = SHAPES[name.event].sql, []
    conditions = ["true"]
    params = name.parsed()
    if params.get("category", 0) is None:
        conditions.append("p.category_id IS NULL")
    elif "category" in params:
        conditions.append("p.category_id = ?")
        arguments.append(params["category"])
    if "active" in params:
        conditions.append("p.active" if params["active"] else "NOT p.active")
    if "name" in params:
        conditions.append("p.name = ?")
        arguments.append(params["name"])
    if "q" in params:
        conditions.append(f"p.name {dialect.like} ?")
        arguments.append(f"%{params['q']}%")
    return sql.format(
        where=" AND ".join(conditions), user=name.user, list=dialect.list_of.format("t.name")
    ), arguments


class Version(NamedTuple):
    """Rows of a view, from the state `first` on until the next version."""

    first: int
    rows: Rows


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
        self._rendered: dict[tuple[str, Any], dict[str, Any]] = {}

    def names(self) -> list[Name]:
        """Return the views that are followed."""
        return list(self._lines)

    def record(self, session: Session) -> None:
        """Take the newest committed state down."""
        self.state += 1
        for name, line in self._lines.items():
            sql, arguments = statement(name, session.dialect)
            raw = session.rows(sql, *arguments)
            if self._raw.get(name) != raw:
                self._raw[name] = raw
                line.append(Version(self.state, [self._render(name.event, row) for row in raw]))

    def _render(self, event: str, raw: Any) -> dict[str, Any]:
        row = self._rendered.get((event, raw))
        if row is None:
            shape = SHAPES[event]
            values = [
                value if convert is None or value is None else convert(value)
                for value, convert in zip(raw, shape.types or (None,) * len(raw), strict=True)
            ]
            row = self._rendered[event, raw] = dict(zip(shape.names, values, strict=True))
        return row

    def newest(self, name: Name) -> Version:
        """Return the newest version of a view."""
        return self._lines[name][-1]

    def at(self, name: Name, state: int) -> int:
        """Return the first state of the version that a view has in `state`."""
        line = self._lines[name]
        index = bisect_right(line, state, key=lambda version: version.first) - 1
        return line[max(0, index)].first

    def find(self, name: Name, rows: Rows, since: int) -> int | None:
        """Return the first state, not before that of `since`, in which the view has these rows."""
        return next((first for first, _ in self.spans(name, rows, since)), None)

    def spans(self, name: Name, rows: Rows, since: int) -> Iterator[tuple[int, int]]:
        """Yield the first and last states of each stretch in which the view has these rows."""
        line = self._lines[name]
        start = bisect_right(line, since, key=lambda version: version.first) - 1
        for index in range(max(0, start), len(line)):
            if line[index].rows == rows:
                last = line[index + 1].first - 1 if index + 1 < len(line) else self.state
                yield line[index].first, last

    def forget(self, needed: Mapping[Name, int]) -> None:
        """Let go of the states before those that are needed, or before the newest."""
        for name, line in self._lines.items():
            since = needed.get(name, self.state)
            index = bisect_right(line, since, key=lambda version: version.first) - 1
            del line[: max(0, index)]
        self._rendered.clear()
