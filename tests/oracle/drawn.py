"""How to read each view of the oracle's own bindings, by SQL that is written by hand; and which
views of them are followed."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from tests.oracle.shapes import Rows, Shape

MEMBER = "SELECT m.category_id FROM app_membership m WHERE m.user_id = "
TAGGED = (
    "EXISTS (SELECT 1 FROM app_product_tags m JOIN app_tag t ON t.id = m.tag_id "
    "WHERE m.product_id = p.id AND t.name = ?)"
)
CATEGORY = {"category": "p.category_id = ?"}


def _money(value: Any) -> str:
    return f"{float(value):.2f}"


def _nested(raw: list[Any]) -> Rows:
    """Make categories with products with tags of a row for each tag."""
    rows: Rows = []
    for (key, name), of_category in groupby(raw, key=lambda one: one[:2]):
        products = [
            {"id": product, "stock": stock, "tags": [one[4] for one in some if one[4] is not None]}
            for (product, stock), some in groupby(of_category, key=lambda one: one[2:4])
            if product is not None
        ]
        rows.append({"id": key, "name": name, "products": products})
    return rows


SHAPES: dict[str, Shape] = {
    "page": Shape(
        "SELECT id, name, stock FROM app_product p WHERE {where} ORDER BY stock DESC, id "
        "LIMIT {limit} OFFSET {offset}",
        ("id", "name", "stock"),
        where=CATEGORY,
        kind="window",
    ),
    "alphabet": Shape(
        "SELECT id, name FROM app_product ORDER BY name, id LIMIT {limit} OFFSET {offset}",
        ("id", "name"),
        kind="window",
    ),
    "latest": Shape(
        "SELECT id, price FROM app_product p WHERE {where} ORDER BY price DESC, id LIMIT 3",
        ("id", "price"),
        (None, _money),
        where=CATEGORY,
        kind="window beside a slot",
    ),
    "by_category": Shape(
        "SELECT p.id, p.category_id FROM app_product p LEFT JOIN app_category c "
        "ON c.id = p.category_id ORDER BY c.name, p.stock, p.id LIMIT {limit} OFFSET {offset}",
        ("id", "category"),
        kind="window",
    ),
    "tag_page": Shape(
        "SELECT id, stock FROM app_product p WHERE {where} ORDER BY stock, id LIMIT 3",
        ("id", "stock"),
        where={"tags__name": TAGGED},
        kind="window beside a slot",
    ),
    "grouped": Shape(
        "SELECT category_id, sum(stock), count(*) FROM app_product GROUP BY category_id "
        "ORDER BY category_id",
        ("category", "total", "n"),
        (None, int, None),
        kind="groups",
    ),
    "groups_in": Shape(
        "SELECT p.category_id, p.active, max(p.stock) FROM app_product p WHERE {where} "
        "GROUP BY p.category_id, p.active ORDER BY max(p.stock) DESC, p.category_id, p.active",
        ("category", "active", "most"),
        (None, bool, None),
        where={"tags__name": TAGGED},
        kind="groups",
    ),
    "full": Shape(
        "SELECT category_id, count(*) FROM app_product GROUP BY category_id "
        "HAVING count(*) > 3 ORDER BY count(*) DESC, category_id",
        ("category", "n"),
        kind="groups",
    ),
    "summed": Shape(
        "SELECT sum(p.stock), count(*) FROM app_product p WHERE {where}",
        ("total", "n"),
        (int, None),
        where={**CATEGORY, "active": "p.active = ?"},
        kind="one row of sums",
    ),
    "dicts": Shape(
        "SELECT p.id, p.name, c.name FROM app_product p LEFT JOIN app_category c "
        "ON c.id = p.category_id WHERE {where} ORDER BY p.id DESC",
        ("id", "name", "category__name"),
        where=CATEGORY,
        kind="dicts",
    ),
    "links": Shape(
        "SELECT p.id, m.tag_id FROM app_product p LEFT JOIN app_product_tags m "
        "ON m.product_id = p.id ORDER BY p.id, m.tag_id",
        ("id", "tags"),
        kind="dicts",
    ),
    "used": Shape(
        "SELECT c.id, (SELECT count(*) FROM app_product p WHERE p.category_id = c.id "
        "AND p.active) FROM app_category c ORDER BY c.id",
        ("id", "n"),
        kind="dicts",
    ),
    "either": Shape(
        "SELECT id, stock FROM app_product WHERE stock > 3 OR price < 8 ORDER BY id",
        ("id", "stock"),
        kind="dicts",
    ),
    "joined": Shape(
        "SELECT id, name, category_id FROM app_product p WHERE {where} ORDER BY id",
        ("id", "name", "category"),
        where={"category__membership__user": f"p.category_id IN ({MEMBER} ?)"},
        kind="slot on a joined table",
    ),
    "in_chosen": Shape(
        "SELECT id, name, category_id FROM app_product p WHERE {where} ORDER BY id",
        ("id", "name", "category"),
        where={"user": f"p.category_id IN ({MEMBER} ?)"},
        kind="slot in a subquery",
    ),
    "where_member": Shape(
        "SELECT id, name, category_id FROM app_product p WHERE {where} ORDER BY id",
        ("id", "name", "category"),
        where={"user": f"p.category_id IN ({MEMBER} ?)"},
        kind="slot in a subquery",
    ),
    "or_member": Shape(
        "SELECT id, name, category_id FROM app_product p WHERE p.stock = {user} "
        f"OR p.category_id IN ({MEMBER} {{user}}) ORDER BY id",
        ("id", "name", "category"),
        kind="slot in an OR",
    ),
    "tagged_by": Shape(
        "SELECT id, name FROM app_product p WHERE {where} ORDER BY stock DESC, id",
        ("id", "name"),
        where={"tags__name": TAGGED},
        kind="slot on a joined table",
    ),
    "among": Shape(
        "SELECT id, stock, category_id FROM app_product p WHERE {where} ORDER BY id",
        ("id", "stock", "category"),
        where={"category__in": "p.category_id IN (?)"},
        kind="slot of several values",
    ),
    "stocked": Shape(
        "SELECT c.id, (SELECT count(*) FROM app_product p WHERE p.category_id = c.id "
        "AND p.stock >= {least}) FROM app_category c ORDER BY c.id",
        ("id", "n"),
        kind="slot in what is counted",
    ),
    "own_joined": Shape(
        "SELECT id, category_id FROM app_product WHERE category_id IN "
        f"({MEMBER} {{user}}) ORDER BY id",
        ("id", "category"),
        kind="slot on a joined table",
    ),
    "own_chosen": Shape(
        "SELECT id, category_id FROM app_product WHERE category_id IN "
        f"({MEMBER} {{user}}) ORDER BY id",
        ("id", "category"),
        kind="slot in a subquery",
    ),
    "own_listed": Shape(
        "SELECT id, category_id FROM app_product WHERE category_id IN "
        f"({MEMBER} {{user}}) ORDER BY id",
        ("id", "category"),
        kind="read when asked",
    ),
    "nested": Shape(
        "SELECT c.id, c.name, p.id, p.stock, m.tag_id FROM app_category c "
        "LEFT JOIN app_product p ON p.category_id = c.id LEFT JOIN app_product_tags m "
        "ON m.product_id = p.id ORDER BY c.id, p.stock DESC, p.id, m.tag_id",
        ("id", "name", "products"),
        fold=_nested,
        kind="backwards",
    ),
    "with_stock": Shape(
        "SELECT c.id, c.name FROM app_category c WHERE EXISTS (SELECT 1 FROM app_product p "
        "WHERE p.category_id = c.id AND p.stock > 3 AND p.active) ORDER BY c.id",
        ("id", "name"),
        kind="backwards",
    ),
    "without": Shape(
        "SELECT c.id FROM app_category c WHERE NOT EXISTS (SELECT 1 FROM app_product p "
        "WHERE p.category_id = c.id AND NOT p.active) ORDER BY c.id",
        ("id",),
        kind="backwards",
    ),
    "with_tags": Shape(
        "SELECT p.id, p.name FROM app_product p WHERE EXISTS (SELECT 1 FROM app_membership m "
        "WHERE m.category_id = p.category_id) AND EXISTS (SELECT 1 FROM app_product_tags t "
        "WHERE t.product_id = p.id) ORDER BY p.id",
        ("id", "name"),
        kind="backwards",
    ),
    "best": Shape(
        "SELECT c.id, (SELECT p.stock FROM app_product p WHERE p.category_id = c.id "
        "ORDER BY p.price DESC, p.id LIMIT 1) FROM app_category c ORDER BY c.id",
        ("id", "best"),
        kind="backwards",
    ),
}
VIEWS: dict[str, list[dict[str, Any]]] = {
    "page": [
        {"limit": 3, "offset": 0},
        {"limit": 3, "offset": 2},
        {"limit": 2, "offset": 7},
        {"limit": 2, "offset": 1, "category": 1},
        {"limit": 2, "offset": 1, "category": 2},
    ],
    "alphabet": [{"limit": 4, "offset": 0}, {"limit": 3, "offset": 5}],
    "latest": [{"category": number} for number in (1, 2, 3)],
    "by_category": [{"limit": 4, "offset": 1}],
    "tag_page": [{"tags__name": name} for name in ("a", "b")],
    "groups_in": [{"tags__name": name} for name in ("a", "b")],
    "summed": [{}, {"active": True}, {"category": 1}, {"category": 2, "active": False}],
    "dicts": [{}, {"category": 1}, {"category": 2}],
    "joined": [{"category__membership__user": number} for number in (1, 2, 3)],
    "in_chosen": [{"user": number} for number in (1, 2, 3)],
    "where_member": [{"user": number} for number in (1, 2)],
    "or_member": [{"user": number} for number in (1, 2, 3)],
    "tagged_by": [{"tags__name": name} for name in ("a", "b", "Z", "hidden")],
    "among": [{"category__in": some} for some in ([1], [1, 2], [2, 3], [])],
    "stocked": [{"least": number} for number in (1, 3)],
    "open": [{}, {"category": 1}, {"category": 2}],
}
"""The params by which views are followed; the others have none."""
OWN = ("own_joined", "own_chosen", "own_listed")
"""What each user sees otherwise."""
