"""Writes through Django's ORM of which signals, or our querysets, tell."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from django.db import transaction
from django.db.models import F

from tests.app.models import Category, Note, Parcel, Shelf, Tag, TallShelf
from tests.oracle import orm
from tests.oracle.writer import Writer

Write = Callable[[Writer], None]


def create_category(w: Writer) -> None:
    if not w.full("app_category"):
        Category.objects.create(name=w.name())


def rename_category(w: Writer) -> None:
    category = Category.objects.filter(pk=w.pick("app_category")).first()
    if category is not None:
        category.name = w.name()
        category.save()


def write_tag(w: Writer) -> None:
    if w.full("app_tag"):
        Tag.objects.filter(pk=w.pick("app_tag")).delete()
    else:
        Tag.objects.create(name=w.name())


def create_shelves(w: Writer) -> None:
    if not w.full("app_shelf"):
        shelves = [
            Shelf(name=w.name(), category_id=w.category()) for _ in range(w.rng.randint(1, 4))
        ]
        Shelf.objects.bulk_create(shelves)


def update_shelves(w: Writer) -> None:
    Shelf.objects.filter(pk__in=w.some("app_shelf")).update(size=F("size") + 1)


def update_small_shelves(w: Writer) -> None:
    Shelf.objects.filter(size__lt=w.rng.randint(1, 5)).update(name=w.name())


def update_shelves_one_by_one(w: Writer) -> None:
    shelves = list(Shelf.objects.filter(pk__in=w.some("app_shelf")))
    for shelf in shelves:
        shelf.name = w.name()
    Shelf.objects.bulk_update(shelves, ["name"])


def fill_category(w: Writer) -> None:
    category = Category.objects.filter(pk=w.pick("app_category")).first()
    if category is not None:
        category.shelf_set.set(Shelf.objects.filter(pk__in=w.some("app_shelf")))


def delete_shelves(w: Writer) -> None:
    Shelf.objects.filter(pk__in=w.some("app_shelf", 2)).delete()


def tall_shelf(w: Writer) -> None:
    if not w.full("app_shelf"):
        TallShelf.objects.create(name=w.name(), height=w.rng.randint(1, 9))


def create_parcel(w: Writer) -> None:
    if not w.full("app_parcel"):
        Parcel.objects.create(name=w.name(), category_id=w.category())


def delete_parcels(w: Writer) -> None:
    Parcel.objects.filter(pk__in=w.some("app_parcel", 3)).delete()


def write_note(w: Writer) -> None:
    note = Note(id=uuid.UUID(w.uuid()), slug=w.name(), text=w.name())
    unique = None if w.dialect.vendor == "mysql" else ["slug"]
    Note.objects.bulk_create(
        [note], update_conflicts=True, unique_fields=unique, update_fields=["text"]
    )


def delete_note(w: Writer) -> None:
    Note.objects.filter(slug=w.name()).delete()


WRITES: list[Write] = [
    *(orm.create, orm.create, orm.create, orm.save, orm.delete, orm.set_tags, orm.cascade),
    *(orm.save_restaurant, orm.delete_place, orm.token, orm.word, orm.undone),
    *(create_category, create_category, rename_category, write_tag, write_tag),
    *(create_shelves, create_shelves, update_shelves, update_small_shelves),
    *(update_shelves_one_by_one, fill_category, delete_shelves, tall_shelf),
    *(write_note, write_note, delete_note, create_parcel, create_parcel, delete_parcels),
]


def alone(w: Writer, write: Write) -> None:
    """Write without a transaction of one's own."""
    write(w)


def together(w: Writer, write: Write) -> None:
    """Write several things in one transaction, which is undone now and then."""
    with transaction.atomic():
        for one in (write, *w.rng.choices(WRITES, k=w.rng.randint(0, 3))):
            one(w)
        if w.rng.random() < 0.15:
            transaction.set_rollback(True)


def nested(w: Writer, write: Write) -> None:
    """Write in savepoints, some of which are undone, before and after others."""
    with transaction.atomic():
        for one in (write, *w.rng.choices(WRITES, k=2)):
            with transaction.atomic():
                one(w)
                if w.rng.random() < 0.5:
                    transaction.set_rollback(True)
            if w.rng.random() < 0.5:
                w.rng.choice(WRITES)(w)


WAYS: list[Callable[[Writer, Write], None]] = [alone, alone, together, nested]
