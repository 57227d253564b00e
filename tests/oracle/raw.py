"""Raw SQL, as any program may write it. Each function is a part of a transaction, or all of one."""

from __future__ import annotations

from collections.abc import Callable

from tests.oracle.writer import Writer

Write = Callable[[Writer], None]


def insert_product(w: Writer) -> None:
    if w.full("app_product"):
        delete_product(w)
        return
    w.run(
        w.dialect.ignoring(
            "app_product(name, sku, price, stock, active, category_id) VALUES (?, ?, ?, ?, ?, ?)"
        ),
        *(w.name(), w.sku(), w.price(), w.rng.randint(0, 5), w.rng.random() < 0.8, w.category()),
    )


def delete_product(w: Writer) -> None:
    _drop_products(w, "id = ?", w.pick("app_product"))


def _drop_products(w: Writer, where: str, *arguments: object) -> None:
    inner = f"SELECT id FROM app_product WHERE {where}"
    w.run(f"DELETE FROM app_product_tags WHERE product_id IN ({inner})", *arguments)
    w.run(f"DELETE FROM app_product WHERE {where}", *arguments)


def update_product(w: Writer) -> None:
    column, value = w.rng.choice(
        [
            ("price", w.price()),
            ("stock", w.rng.randint(0, 5)),
            ("name", w.name()),
            ("active", w.rng.random() < 0.7),
            ("category_id", w.category()),
        ]
    )
    w.run(f"UPDATE app_product SET {column} = ? WHERE id = ?", value, w.pick("app_product"))


def update_many_products(w: Writer) -> None:
    change = w.rng.choice(
        ["stock = 5 - stock", "price = price + 1", "name = substr(name, 2) || 'a'", "active = true"]
    )
    w.run(
        f"UPDATE app_product SET {change} WHERE id % ? = ?",
        w.rng.randint(1, 3),
        w.rng.randint(0, 1),
    )


def swap_products(w: Writer) -> None:
    """Two rows change places, which none of them may show alone."""
    one, other = w.pick("app_product"), w.pick("app_product")
    w.run(
        "UPDATE app_product SET stock = (SELECT sum(stock) FROM app_product WHERE id IN (?, ?)) "
        "- stock WHERE id IN (?, ?)",
        *(one, other, one, other),
    )


def replace_product(w: Writer) -> None:
    """The row with the same sku goes, or becomes this one."""
    sku = f"s{w.rng.randint(1, 40)}"
    w.run(
        "DELETE FROM app_product_tags WHERE product_id IN "
        "(SELECT id FROM app_product WHERE sku = ?)",
        sku,
    )
    columns = ("name", "sku", "price", "stock", "active", "category_id")
    w.run(
        w.dialect.replacing("app_product", columns, "?, ?, ?, 1, true, ?", "sku"),
        *(w.name(), sku, w.price(), w.category()),
    )


def update_or_replace_product(w: Writer) -> None:
    """A row takes another's sku: UPDATE OR REPLACE where there is that, which evicts the other."""
    key, other = w.pick("app_product"), w.pick("app_product")
    if key == other:
        return
    w.run("DELETE FROM app_product_tags WHERE product_id = ?", other)
    if w.dialect.vendor != "sqlite":
        ((sku,),) = w.session.rows("SELECT sku FROM app_product WHERE id = ?", other)
        w.run("DELETE FROM app_product WHERE id = ?", other)
        w.run("UPDATE app_product SET sku = ?, stock = stock + 1 WHERE id = ?", sku, key)
        return
    w.run(
        "UPDATE OR REPLACE app_product SET sku = (SELECT sku FROM app_product WHERE id = ?), "
        "stock = stock + 1 WHERE id = ?",
        *(other, key),
    )


def upsert_product(w: Writer) -> None:
    columns, changed = ("name", "sku", "price", "stock", "active"), ("price", "name")
    w.run(
        w.dialect.upserting(
            *("app_product", columns, "?, ?, ?, 2, true", "sku"),
            {name: f"{{new}}{name}" for name in changed},
        ),
        *(w.name(), f"s{w.rng.randint(1, 40)}", w.price()),
    )


def change_product_key(w: Writer) -> None:
    """The primary key changes, and rows that point at it with it; low keys get used again."""
    old, new = w.pick("app_product"), w.rng.randint(1, 60)
    taken = w.session.rows("SELECT 1 FROM app_product WHERE id = ?", new)
    if old == -1 or taken:
        return
    with w.unchecked():
        w.run("UPDATE app_product_tags SET product_id = ? WHERE product_id = ?", new, old)
        w.run("UPDATE app_product SET id = ? WHERE id = ?", new, old)


def tag_product(w: Writer) -> None:
    w.run(
        w.dialect.ignoring(
            "app_product_tags(product_id, tag_id) "
            "SELECT p.id, t.id FROM app_product p, app_tag t WHERE p.id = ? AND t.id = ?"
        ),
        *(w.pick("app_product"), w.pick("app_tag")),
    )


def untag_product(w: Writer) -> None:
    w.run("DELETE FROM app_product_tags WHERE id = ?", w.pick("app_product_tags"))


def write_tag(w: Writer) -> None:
    kind = w.rng.random()
    if kind < 0.3 and not w.full("app_tag"):
        w.run("INSERT INTO app_tag(name) VALUES (?)", w.name())
    elif kind < 0.8:
        w.run("UPDATE app_tag SET name = ? WHERE id = ?", w.name(), w.pick("app_tag"))
    else:
        key = w.pick("app_tag")
        w.run("DELETE FROM app_product_tags WHERE tag_id = ?", key)
        w.run("DELETE FROM app_tag WHERE id = ?", key)


def insert_category(w: Writer) -> None:
    if not w.full("app_category"):
        w.run("INSERT INTO app_category(name) VALUES (?)", w.name())


def rename_category(w: Writer) -> None:
    w.run("UPDATE app_category SET name = ? WHERE id = ?", w.name(), w.pick("app_category"))


def delete_category(w: Writer) -> None:
    """With all that hangs on it, as a cascade does."""
    key = w.pick("app_category")
    _drop_products(w, "category_id = ?", key)
    w.run("DELETE FROM app_membership WHERE category_id = ?", key)
    w.run("DELETE FROM app_booking WHERE category_id = ?", key)
    w.run("DELETE FROM app_category WHERE id = ?", key)


def write_membership(w: Writer) -> None:
    if w.rng.random() < 0.5:
        w.run("DELETE FROM app_membership WHERE id = ?", w.pick("app_membership"))
    elif (key := w.category()) is not None:
        user = w.rng.choice((1, 2, 3, 4))
        w.run("INSERT INTO app_membership(user_id, category_id) VALUES (?, ?)", user, key)


def move_membership(w: Writer) -> None:
    """A row in between is another user's from now on, or of another category."""
    column, table = w.rng.choice([("user_id", "auth_user"), ("category_id", "app_category")])
    sql = f"UPDATE app_membership SET {column} = ? WHERE id = ?"
    w.run(sql, w.pick(table), w.pick("app_membership"))


def move_tag(w: Writer) -> None:
    """A row between many and many leads to another, unless that is there."""
    column, table = w.rng.choice([("product_id", "app_product"), ("tag_id", "app_tag")])
    link = w.pick("app_product_tags")
    pair = w.session.rows("SELECT product_id, tag_id FROM app_product_tags WHERE id = ?", link)
    new = w.pick(table)
    if not pair or new == -1:
        return
    product, tag = (new, pair[0][1]) if column == "product_id" else (pair[0][0], new)
    taken = "SELECT 1 FROM app_product_tags WHERE product_id = ? AND tag_id = ?"
    if not w.session.rows(taken, product, tag):
        w.run(f"UPDATE app_product_tags SET {column} = ? WHERE id = ?", new, link)


def insert_booking(w: Writer) -> None:
    if w.full("app_booking"):
        delete_booking(w)
        return
    start, end = w.span()
    w.run(
        f"INSERT INTO app_booking(name, start, {w.dialect.end}, category_id) VALUES (?, ?, ?, ?)",
        *(w.name(), w.dialect.moment(start), w.dialect.moment(end), w.category()),
    )


def delete_booking(w: Writer) -> None:
    w.run("DELETE FROM app_booking WHERE id = ?", w.pick("app_booking"))


def update_booking(w: Writer) -> None:
    """What has ended may begin again, and what goes on may end."""
    start, end = w.span()
    change: dict[str, object] = w.rng.choice(
        [
            {"name": w.name()},
            {"category_id": w.category()},
            {"start": w.dialect.moment(start), w.dialect.end: w.dialect.moment(end)},
            {w.dialect.end: w.dialect.moment(end)},
        ]
    )
    sets = ", ".join(f"{column} = ?" for column in change)
    w.run(f"UPDATE app_booking SET {sets} WHERE id = ?", *change.values(), w.pick("app_booking"))


def write_place(w: Writer) -> None:
    if w.rng.random() < 0.3 and not w.full("app_place"):
        w.run("INSERT INTO app_place(name) VALUES (?)", w.name())
    else:  # the parent of a restaurant, perhaps
        w.run("UPDATE app_place SET name = ? WHERE id = ?", w.name(), w.pick("app_place"))


def write_restaurant(w: Writer) -> None:
    kind, key = w.rng.random(), w.pick("app_restaurant", "place_ptr_id")
    if kind < 0.35 and not w.full("app_place"):
        w.run("INSERT INTO app_place(name) VALUES (?)", w.name())
        w.run(f"INSERT INTO app_restaurant(place_ptr_id, seats) VALUES ({w.dialect.new_place}, 4)")
    elif kind < 0.7:
        seats = w.rng.randint(1, 9)
        w.run("UPDATE app_restaurant SET seats = ? WHERE place_ptr_id = ?", seats, key)
    else:
        w.run("DELETE FROM app_restaurant WHERE place_ptr_id = ?", key)
        if kind < 0.85:
            w.run("DELETE FROM app_place WHERE id = ?", key)


def write_token(w: Writer) -> None:
    kind = w.rng.random()
    if kind < 0.4 and not w.full("app_token"):
        w.run("INSERT INTO app_token(id, label) VALUES (?, ?)", w.uuid(), w.name())
    elif kind < 0.7:
        w.run("UPDATE app_token SET label = ? WHERE id = ?", w.name(), w.pick("app_token"))
    elif kind < 0.8:
        w.run("UPDATE app_token SET id = ? WHERE id = ?", w.uuid(), w.pick("app_token"))
    else:
        w.run("DELETE FROM app_token WHERE id = ?", w.pick("app_token"))


def write_word(w: Writer) -> None:
    kind, word = w.rng.random(), w.pick("app_word", "text")
    if kind < 0.5 and not w.full("app_word"):
        w.run(w.dialect.replacing("app_word", ("text", "count"), "?, 1", "text"), w.word())
    elif kind < 0.6:
        count = w.rng.choice([2**53 - 1, 2**53, -(2**60), 7])
        w.run("UPDATE app_word SET count = ? WHERE text = ?", count, word)
    elif kind < 0.8:
        w.run(w.dialect.rename_word(), w.word(), word)
    else:
        w.run("DELETE FROM app_word WHERE text = ?", word)


def count_words(w: Writer) -> None:
    sql = "UPDATE app_word SET count = (count + 1) % 1000 WHERE length(text) % 2 = ?"
    w.run(sql, w.rng.randint(0, 1))


def count_word(w: Writer) -> None:
    w.run(
        w.dialect.upserting(
            *("app_word", ("text", "count"), "?, 1", "text"), {"count": "app_word.count + 1"}
        ),
        w.word() if not w.full("app_word") else w.pick("app_word", "text"),
    )


def fill_words(w: Writer) -> None:
    """Many rows at once, so that snapshots come in pages."""
    for number in range(w.rng.randint(20, 60)):
        if not w.full("app_word"):
            w.run(w.dialect.ignoring("app_word(text, count) VALUES (?, ?)"), w.word(), number)


def all_words(w: Writer) -> None:
    w.run("UPDATE app_word SET count = (count + 1) % 1000")


ALONE: list[Write] = [
    *(insert_category, rename_category, upsert_product, swap_products),
    *(update_product, update_many_products, tag_product, untag_product, write_place),
    *(write_token, write_membership, write_word, count_word, count_words),
    *(move_membership, move_tag, update_booking, update_booking, delete_booking),
]
"""One statement each: they need no transaction of their own."""
TOGETHER: list[Write] = [
    *ALONE,
    *(
        insert_booking,
        insert_booking,
        insert_product,
        delete_product,
        replace_product,
        update_or_replace_product,
    ),
    *(change_product_key, write_tag, delete_category, write_restaurant, fill_words),
]
WEIGHTS = [
    {"delete_category": 0.3, "fill_words": 0.3, "insert_product": 3.0}.get(write.__name__, 1.0)
    for write in TOGETHER
]


def alone(w: Writer) -> list[Write]:
    """Return the writes that need no transaction of their own."""
    return ALONE


def choose(w: Writer, most: int = 4) -> list[Write]:
    """Return a few writes."""
    return w.rng.choices(TOGETHER, WEIGHTS, k=w.rng.randint(1, most))
