"""Bulk writes by our querysets: what they tell, and when."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.db.models import F, Q
from django.template import Context, Engine

from bindserver import LiveManager, LiveQuerySet
from tests.app.models import Category, Note, Shelf, ShortNote, TallShelf
from tests.servers.test_signals import Told, capturing, tables


@pytest.fixture
def told(bare_database: Path) -> Iterator[Told]:
    """What has been published since three shelves were made."""
    told: Told = []
    Shelf.objects.bulk_create([Shelf(pk=n, name=f"shelf {n}") for n in (1, 2, 3)])
    with capturing(lambda alias, changes: told.append((alias, changes))):
        yield told


SHELVES: dict[str, Any] = {
    "one": (lambda: Shelf.objects.filter(pk=1), {1}),
    "by the name of the field": (lambda: Shelf.objects.filter(id=1), {1}),
    "some": (lambda: Shelf.objects.filter(pk__in=[1, 2]), {1, 2}),
    "one that is full": (lambda: Shelf.objects.full().filter(pk=1), {1}),
    "one or the other": (lambda: Shelf.objects.filter(Q(pk=1) | Q(name="shelf 3")), None),
    "all but one": (lambda: Shelf.objects.exclude(pk=1), None),
    "all": (lambda: Shelf.objects.all(), None),
    "by a query": (lambda: Shelf.objects.filter(pk__in=Shelf.objects.filter(size=0)), None),
    "by a column": (lambda: Shelf.objects.filter(pk=F("size") + 1), None),
    "above one": (lambda: Shelf.objects.filter(pk__gt=1), None),
    "by another table": (lambda: Shelf.objects.filter(category=None), None),
}


@pytest.mark.parametrize("which", SHELVES)
class TestWhich:
    def test_update_names_keys_that_hold_all_it_wrote(self, told: Told, which: str) -> None:
        make, keys = SHELVES[which]
        make().update(size=5)
        assert tables(told) == {"app_shelf": keys}
        changed = set(Shelf.objects.filter(size=5).values_list("pk", flat=True))
        assert changed
        assert keys is None or changed <= keys

    def test_a_raw_delete_names_keys_that_hold_all_it_took(self, told: Told, which: str) -> None:
        make, keys = SHELVES[which]
        make()._raw_delete("default")
        assert tables(told)["app_shelf"] == keys


class TestUpdating:
    def test_nothing_that_matches_is_not_told(self, told: Told) -> None:
        assert Shelf.objects.filter(pk=99).update(size=5) == 0
        assert told == []

    def test_a_changed_key_is_any_row(self, told: Told) -> None:
        Shelf.objects.filter(pk=1).update(id=9)
        assert tables(told) == {"app_shelf": None}
        assert set(Shelf.objects.values_list("pk", flat=True)) == {2, 3, 9}

    def test_only_after_the_commit(self, told: Told) -> None:
        with transaction.atomic():
            Shelf.objects.filter(pk=1).update(size=5)
            Shelf.objects.filter(pk=2).update(size=5)
            assert told == []
        assert [tables([one]) for one in told] == [{"app_shelf": {1, 2}}]

    def test_bulk_update_names_its_rows(self, told: Told) -> None:
        shelves = list(Shelf.objects.filter(pk__lt=3))
        for shelf in shelves:
            shelf.size = 7
        assert Shelf.objects.bulk_update(shelves, ["size"], batch_size=1) == 2
        assert tables(told) == {"app_shelf": {1, 2}}

    def test_a_child_s_update_is_told_in_both_tables(self, told: Told) -> None:
        pk = TallShelf.objects.create(name="tall").pk
        told.clear()
        for key in ("pk", "id", "shelf_ptr"):
            TallShelf.objects.filter(**{key: pk}).update(size=F("size") + 1)
            assert tables(told) == {"app_tallshelf": {pk}, "app_shelf": {pk}}
            told.clear()
        TallShelf.objects.update(height=3, name="taller")
        assert tables(told) == {"app_tallshelf": None, "app_shelf": None}

    def test_a_proxy_s_update_is_its_model_s(self, told: Told) -> None:
        note = Note.objects.create(slug="a")
        told.clear()
        ShortNote.objects.filter(pk=str(note.pk)).update(text="x")
        assert tables(told) == {"app_note": {note.pk}}

    def test_what_raises_is_not_told(self, told: Told) -> None:
        with pytest.raises(ValueError, match="expected a number"):
            Shelf.objects.filter(pk=1).update(size="many")
        assert told == []

    async def test_asynchronous_twins_are_told_too(self, told: Told) -> None:
        await sync_to_async(connections.close_all)()  # the thread may know an older database
        await Shelf.objects.filter(pk=1).aupdate(size=5)
        assert tables(told) == {"app_shelf": {1}}
        [made] = await Shelf.objects.abulk_create([Shelf(name="new")])
        assert tables(told) == {"app_shelf": {1, made.pk}}
        made.size = 3
        told.clear()
        await Shelf.objects.abulk_update([made], ["size"])
        assert tables(told) == {"app_shelf": {made.pk}}
        told.clear()
        await Shelf.objects.filter(size=3).adelete()
        assert tables(told)["app_shelf"] == {made.pk}


class TestCreating:
    def test_names_the_new_rows(self, told: Told) -> None:
        made = Shelf.objects.bulk_create([Shelf(name="a"), Shelf(name="b")], batch_size=1)
        assert tables(told) == {"app_shelf": {shelf.pk for shelf in made}}

    def test_nothing_is_not_told(self, told: Told) -> None:
        Shelf.objects.bulk_create([])
        assert told == []

    def test_ignoring_conflicts_is_any_row_where_keys_are_not_told(self, told: Told) -> None:
        Shelf.objects.bulk_create([Shelf(name="a")], ignore_conflicts=True)
        assert tables(told) == {"app_shelf": None}
        told.clear()
        Shelf.objects.bulk_create([Shelf(pk=1), Shelf(pk=8)], ignore_conflicts=True)
        assert tables(told) == {"app_shelf": {1, 8}}

    def test_updating_conflicts_is_any_row(self, told: Told) -> None:
        old = Note.objects.create(slug="a")
        told.clear()
        Note.objects.bulk_create(
            [Note(slug="a", text="new")],
            update_conflicts=True,
            unique_fields=["slug"],
            update_fields=["text"],
        )
        assert tables(told) == {"app_note": None}
        old.refresh_from_db()
        assert old.text == "new"

    def test_by_the_manager_and_other_keys(self, told: Told) -> None:
        key = uuid.uuid4()
        Note.objects.bulk_create([Note(id=key, slug="b")])
        assert tables(told) == {"app_note": {key}}


class TestRelatedManagers:
    @pytest.fixture
    def category(self, told: Told) -> Category:
        category = Category.objects.create(name="a")
        told.clear()
        return category

    def test_add_in_bulk(self, told: Told, category: Any) -> None:
        category.shelf_set.add(*Shelf.objects.filter(pk__lt=3))
        assert tables(told) == {"app_shelf": {1, 2}}

    def test_remove_and_clear(self, told: Told, category: Any) -> None:
        shelves = list(Shelf.objects.order_by("pk"))
        category.shelf_set.add(*shelves)
        told.clear()
        category.shelf_set.remove(shelves[0])
        assert tables(told) == {"app_shelf": {1}}
        category.shelf_set.clear()
        assert tables(told) == {"app_shelf": None}
        assert not category.shelf_set.exists()

    def test_set_and_update(self, told: Told, category: Any) -> None:
        category.shelf_set.set([Shelf.objects.get(pk=3)])
        assert tables(told) == {"app_shelf": {3}}
        told.clear()
        category.shelf_set.update(size=4)
        assert tables(told) == {"app_shelf": None}


def test_templates_cannot_write(told: Told) -> None:
    template = Engine().from_string("{{ shelves.update }}{{ shelves.delete }}")
    assert template.render(Context({"shelves": Shelf.objects.all()})) == ""
    assert Shelf.objects.count() == 3


def test_managers_are_what_their_names_say() -> None:
    assert isinstance(Note.objects, LiveManager)
    assert isinstance(Note.objects.all(), LiveQuerySet)
    assert isinstance(Note.objects.filter(text="a"), LiveQuerySet)
