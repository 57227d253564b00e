"""What happens, by each package's own code."""

from __future__ import annotations

import reversion
from django.contrib.auth.models import User
from django.db import connection
from django.utils import translation
from django_scopes import scope
from djmoney.money import Money
from safedelete.config import HARD_DELETE

from tests.strangers.habits.models import (
    Area,
    Bill,
    Branch,
    Dish,
    Firm,
    Jar,
    Memo,
    Menu,
    Reply,
    Room,
    Shelf,
    Song,
)
from tests.strangers.views import Actions

LEAST = 30
act = Actions()


def seed(ann: User, bob: User) -> None:
    """Make a few rows of each."""
    noon, night = Menu.objects.create(title="Noon"), Menu.objects.create(title="Night")
    Dish.objects.create(menu=noon, name_en="Beef", name_de="Ochse", rank_en=2, rank_de=9)
    Dish.objects.create(menu=noon, name_en="Cake", rank_en=1, rank_de=3)
    Dish.objects.create(menu=night, name_en="Tea", name_de="Aufguss", rank_en=5, rank_de=1)
    for n, name in enumerate(("Lunch", "Tram", "Hotel")):
        Bill.objects.create(name=name, amount=Money(n * 9, "EUR"))
    top, low = Shelf.objects.create(name="top"), Shelf.objects.create(name="low")
    for name in ("plum", "fig"):
        Jar.objects.create(shelf=top, name=name)
    Jar.objects.create(shelf=low, name="salt")
    hall = Room.add_root(name="Hall")
    hall.add_child(name="Kitchen").add_child(name="Larder")
    Room.add_root(name="Attic")
    root = Branch.add_root(name="root")
    root.add_child(name="left")
    Branch.objects.get(name="root").add_child(name="right")
    for name in ("one", "two", "three"):
        Song.objects.create(menu=noon, name=name)
    Song.objects.create(menu=night, name="four")
    world = Area.objects.create(name="world")
    south = Area.objects.create(name="south", parent=world, people=5)
    Area.objects.create(name="isle", parent=south, people=2)
    for user, name in ((ann, "Ann's"), (bob, "Bob's")):
        firm = Firm.objects.create(name=name)
        firm.users.add(user)
        memo = Memo.objects.model(firm=firm, text=f"{name} first")
        memo.save()
        Reply(memo=memo, text="yes").save()


@act
def a_dish_gets_a_german_name() -> None:
    Dish.objects.filter(name_en="Cake").update(name_de="Kuchen")


@act
def a_dish_is_renamed_under_german() -> None:
    with translation.override("de"):
        dish = Dish.objects.get(name="Ochse")
        dish.name = "Rinde"
        dish.rank = 2
        dish.save()


@act
def a_dish_is_renamed_by_raw_sql() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE habits_dish SET name_en = 'Green tea' WHERE name_en = 'Tea'")


@act
def ranks_change_in_bulk() -> None:
    Dish.objects.update(rank_de=4)


@act
def a_german_name_goes() -> None:
    Dish.objects.filter(name_de="Rinde").update(name_de=None, rank_de=None)


@act
def a_dish_is_made_for_all_languages() -> None:
    Dish.objects.populate("all").create(menu=Menu.objects.get(title="Night"), name="Bread")


@act
def a_dish_moves() -> None:
    dish = Dish.objects.get(name_en="Beef")
    dish.menu = Menu.objects.get(title="Night")
    dish.save()


@act
def a_bill_grows() -> None:
    bill = Bill.objects.get(name="Lunch")
    bill.amount += Money(12, "EUR")
    bill.save()


@act
def a_bill_is_in_another_currency() -> None:
    Bill.objects.filter(name="Hotel").update(amount=Money(70, "USD"))


@act
def a_bill_has_a_tip() -> None:
    bill = Bill.objects.get(name="Tram")
    bill.tip = Money("0.5", "EUR")
    bill.save()


@act
def a_currency_alone_changes() -> None:
    Bill.objects.filter(name="Hotel").update(amount_currency="EUR")


@act
def a_bill_has_a_version() -> None:
    with reversion.create_revision():
        bill = Bill.objects.get(name="Tram")
        bill.amount = Money(33, "EUR")
        bill.save()
        reversion.set_user(User.objects.get(username="ann"))
        reversion.set_comment("dearer")


@act
def a_bill_has_another_version() -> None:
    with reversion.create_revision():
        bill = Bill.objects.get(name="Tram")
        bill.name = "Taxi"
        bill.save()


@act
def a_version_comes_back() -> None:
    from reversion.models import Version

    Version.objects.get_for_object(Bill.objects.get(name="Taxi")).last().revision.revert()


@act
def a_bill_goes() -> None:
    Bill.objects.get(name="Hotel").delete()


@act
def a_jar_is_deleted_softly() -> None:
    Jar.objects.get(name="plum").delete()


@act
def a_shelf_is_deleted_with_its_jars() -> None:
    Shelf.objects.get(name="top").delete()


@act
def a_shelf_comes_back() -> None:
    Shelf.deleted_objects.get(name="top").undelete()


@act
def a_jar_comes_back_and_moves() -> None:
    jar = Jar.all_objects.get(name="plum")
    jar.undelete()
    jar.shelf = Shelf.objects.get(name="low")
    jar.save()


@act
def shelves_are_made() -> None:
    Shelf.objects.bulk_create([Shelf(name="a"), Shelf(name="z")])


@act
def a_shelf_goes_for_good() -> None:
    Shelf.objects.get(name="z").delete(force_policy=HARD_DELETE)


@act
def a_room_moves() -> None:
    Room.objects.get(name="Kitchen").move(Room.objects.get(name="Attic"), "sorted-child")


@act
def a_room_is_added() -> None:
    Room.objects.get(name="Hall").add_child(name="Cellar").add_child(name="Vault")


@act
def rooms_go_with_all_below() -> None:
    Room.objects.filter(name="Attic").delete()


@act
def the_rooms_tree_is_mended() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE habits_room SET numchild = 7")
    Room.fix_tree()


@act
def a_branch_is_added() -> None:
    Branch.objects.get(name="left").add_child(name="twig")


@act
def a_branch_moves() -> None:
    Branch.objects.get(name="left").move(Branch.objects.get(name="right"), "last-child")


@act
def a_branch_goes() -> None:
    Branch.objects.get(name="left").delete()


@act
def a_song_goes_up() -> None:
    Song.objects.get(name="three").top()


@act
def a_song_goes_to_another_menu() -> None:
    song = Song.objects.get(name="one")
    song.menu = Menu.objects.get(title="Night")
    song.save()


@act
def songs_swap() -> None:
    Song.objects.get(name="three").swap(Song.objects.get(name="two"))


@act
def a_song_goes() -> None:
    Song.objects.get(name="three").delete()


@act
def an_area_is_made() -> None:
    Area.objects.create(name="rock", parent=Area.objects.get(name="isle"), people=1)


@act
def an_area_moves() -> None:
    Area.objects.filter(name="isle").update(parent=Area.objects.get(name="world"))


@act
def an_area_is_renamed() -> None:
    Area.objects.filter(name="isle").update(name="island", people=50)


@act
def an_area_goes() -> None:
    Area.objects.get(name="island").delete()


@act
def a_memo_is_written() -> None:
    firm = Firm.objects.get(name="Ann's")
    with scope(firm=firm):
        Memo.objects.create(firm=firm, text="a second")


@act
def a_memo_goes_to_another_firm() -> None:
    one, other = Firm.objects.get(name="Ann's"), Firm.objects.get(name="Bob's")
    with scope(firm=one):
        Memo.objects.filter(text="a second").update(firm=other)


@act
def a_reply_is_written() -> None:
    firm = Firm.objects.get(name="Bob's")
    with scope(firm=firm):
        Reply.objects.create(memo=Memo.objects.get(text="a second"), text="no")


@act
def a_user_joins_another_firm() -> None:
    Firm.objects.get(name="Ann's").users.add(User.objects.get(username="bob"))


@act
def a_user_leaves_a_firm() -> None:
    Firm.objects.get(name="Bob's").users.clear()
