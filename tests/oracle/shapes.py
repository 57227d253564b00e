"""How to read each view of the tests' own bindings, by SQL that is written by hand."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Rows = list[dict[str, Any]]
SAFE_INTEGER = 2**53 - 1


@dataclass(frozen=True)
class Shape:
    """How to read a view.

    Attributes:
        sql: with places for conditions, and for params that are numbers.
        names: those of a row's columns.
        types: what makes a row's values of what the driver gives, None where these are the same.
        where: the condition that each param is, with a place for its value.
        fold: makes rows of what was read, where several rows make one.
        kind: what the view is an example of, for the report.
    """

    sql: str
    names: tuple[str, ...]
    types: tuple[Callable[[Any], Any] | None, ...] = ()
    where: Mapping[str, str] = field(default_factory=dict)
    fold: Callable[[list[Any]], Rows] | None = None
    kind: str = "plain"

    def row(self, raw: Any) -> dict[str, Any]:
        """Return a row as subscribers hold it."""
        values = [
            value if convert is None or value is None else convert(value)
            for value, convert in zip(raw, self.types or (None,) * len(raw), strict=True)
        ]
        return dict(zip(self.names, values, strict=True))


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
        where={"category": "p.category_id = ?", "q": "p.name {like} ?"},
    ),
    "cheapest": Shape(
        "SELECT id, name, price FROM app_product ORDER BY price, id LIMIT 3",
        ("id", "name", "price"),
        (None, None, _money),
        kind="window",
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
        kind="backwards",
    ),
    "tagged_in": Shape(
        "SELECT id, name, (SELECT {list} FROM app_tag t JOIN app_product_tags m "
        "ON m.tag_id = t.id WHERE m.product_id = p.id) FROM app_product p WHERE {where} "
        "ORDER BY id",
        ("id", "name", "tags"),
        (None, None, _list),
        where={"category": "p.category_id = ?"},
        kind="slot",
    ),
    "part": Shape(
        "SELECT id, name, stock, category_id, active FROM app_product p WHERE {where} "
        "ORDER BY stock DESC, id",
        ("id", "name", "stock", "category", "active"),
        (None, None, None, None, bool),
        where={
            "active": "p.active = ?",
            "category": "p.category_id = ?",
            "name": "p.name = ?",
        },
        kind="slot",
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
        kind="backwards",
    ),
    "labelled": Shape(
        "SELECT c.id, (SELECT count(DISTINCT m.tag_id) FROM app_product p "
        "JOIN app_product_tags m ON m.product_id = p.id WHERE p.category_id = c.id) "
        "FROM app_category c ORDER BY c.id",
        ("id", "labels"),
        kind="backwards",
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
