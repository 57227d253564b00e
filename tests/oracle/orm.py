"""Writes through Django's ORM, by the same models as the server's."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, transaction
from django.db.backends.signals import connection_created
from django.db.models import F
from django.db.models.functions import Now

from tests.app.models import Booking, Category, Place, Product, Restaurant, Tag, Token, Word
from tests.oracle.dialects import Dialect
from tests.oracle.sessions import Refused
from tests.oracle.writer import Writer


def create(w: Writer) -> None:
    if not w.full("app_product"):
        Product.objects.create(name=w.name(), price=w.price(), category_id=w.category())


def bulk_create(w: Writer) -> None:
    if not w.full("app_product"):
        Product.objects.bulk_create(
            [Product(name=w.name(), price=w.price(), stock=1) for _ in range(w.rng.randint(1, 4))]
        )


def bulk_update(w: Writer) -> None:
    products = list(Product.objects.filter(pk__in=w.some("app_product")))
    for product in products:
        product.name, product.stock = w.name(), w.rng.randint(0, 5)
    Product.objects.bulk_update(products, ["name", "stock"])


def update(w: Writer) -> None:
    Product.objects.filter(pk__in=w.some("app_product")).update(stock=F("stock") + 1)


def save(w: Writer) -> None:
    product = Product.objects.filter(pk=w.pick("app_product")).first()
    if product is not None:
        product.name, product.category_id = w.name(), w.category()
        product.save()


def delete(w: Writer) -> None:
    Product.objects.filter(pk__in=w.some("app_product", 2)).delete()


def set_tags(w: Writer) -> None:
    product = Product.objects.filter(pk=w.pick("app_product")).first()
    if product is not None:
        product.tags.set(Tag.objects.filter(pk__in=w.some("app_tag")))


def cascade(w: Writer) -> None:
    Category.objects.filter(pk=w.pick("app_category")).delete()


def save_restaurant(w: Writer) -> None:
    restaurant = Restaurant.objects.filter(pk=w.pick("app_restaurant", "place_ptr_id")).first()
    restaurant = restaurant or Restaurant()
    restaurant.name, restaurant.seats = w.name(), w.rng.randint(1, 9)
    restaurant.save()


def update_both_tables(w: Writer) -> None:
    key = w.pick("app_restaurant", "place_ptr_id")
    Restaurant.objects.filter(pk=key).update(name=w.name(), seats=F("seats") + 1)


def delete_place(w: Writer) -> None:
    Place.objects.filter(pk=w.pick("app_place")).delete()


def token(w: Writer) -> None:
    if not w.full("app_token"):
        Token.objects.create(id=uuid.UUID(w.uuid()), label=w.name())


def word(w: Writer) -> None:
    Word.objects.update_or_create(
        text=w.pick("app_word", "text"), defaults={"count": w.rng.randint(0, 9)}
    )


def book(w: Writer) -> None:
    start, end = w.span()
    if not w.full("app_booking"):
        Booking.objects.create(name=w.name(), start=start, end=end, category_id=w.category())


def end_now(w: Writer) -> None:
    """The database's own time, with its own fraction of a second."""
    Booking.objects.filter(pk__in=w.some("app_booking")).update(end=Now())


def prolong(w: Writer) -> None:
    bookings = list(Booking.objects.filter(pk__in=w.some("app_booking")))
    for booking in bookings:
        booking.start, booking.end = w.span()
    Booking.objects.bulk_update(bookings, ["start", "end"])


def undone(w: Writer) -> None:
    """A part of the transaction is undone by a savepoint."""
    save(w)
    connection = transaction.get_connection()
    point = str(connection.savepoint())
    cascade(w)
    connection.savepoint_rollback(point)
    set_tags(w)


WRITES: list[Callable[[Writer], None]] = [
    *(create, bulk_create, bulk_update, update, save, delete, set_tags, cascade),
    *(book, end_now, prolong),
    *(save_restaurant, update_both_tables, delete_place, token, word, undone),
]


def atomically(w: Writer, write: Callable[[Writer], None], *, commit: bool = True) -> None:
    """Run a write in one transaction of Django's.

    Raises:
        Refused: somebody else was there first.
    """
    try:
        with transaction.atomic():
            write(w)
            if not commit:
                transaction.set_rollback(True)
    except DatabaseError as problem:
        if w.dialect.concurrent and w.dialect.refuses(problem.__cause__):
            raise Refused(str(problem)) from problem
        raise


def be_impatient(dialect: Dialect) -> None:
    """Have Django's connections wait for locks as long as the oracle's own do."""

    def say(sender: object, connection: Any, **_: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(dialect.patience)

    if dialect.patience:
        connection_created.connect(say, weak=False)
