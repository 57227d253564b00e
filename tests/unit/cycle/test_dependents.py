"""From what changed to whom it concerns, by indexes."""

from __future__ import annotations

from django.contrib.auth.models import User

from bindserver.cycle.dependents import Dependents
from bindserver.engine.changes import Change
from bindserver.queries.backwards import Hop
from bindserver.queries.carried import KEYS_NAMED, Carried
from bindserver.queries.reads import NO_READS, Asking, Reads
from tests.app.models import Product, Tag

USERS, PRODUCTS = User._meta.db_table, Product._meta.db_table
TAGS = Tag._meta.db_table


def carrying(*pks: int) -> Carried:
    return Carried([User(pk=pk) for pk in pks], unsaved=True)


def change(table: str, *pks: object) -> list[Change]:
    return [Change(table=table, pks=frozenset(pks) or None)]


def test_a_change_of_a_table_concerns_whoever_reads_it_and_nobody_else() -> None:
    dependents: Dependents[str] = Dependents()
    dependents.put("reads users", Reads(frozenset({USERS})))
    dependents.put("reads both", Reads(frozenset({USERS, PRODUCTS})))
    dependents.put("reads nothing", NO_READS)
    assert [*dependents.concerned(change(PRODUCTS, 1))] == ["reads both"]
    assert {*dependents.concerned(change(USERS))} == {"reads users", "reads both"}
    assert not dependents.concerned(change(Tag._meta.db_table, 1))
    assert dependents.tables() == {USERS, PRODUCTS}
    assert len(dependents) == 2


def test_a_changed_row_concerns_those_alone_who_carry_it() -> None:
    dependents: Dependents[int] = Dependents()
    for pk in range(1, 6):
        dependents.put(pk, NO_READS, [carrying(pk)])
    assert [*dependents.concerned(change(USERS, 3))] == [3]
    assert {*dependents.concerned(change(USERS, "2", 4))} == {2, 4}  # a log may hold texts
    assert {*dependents.concerned(change(USERS))} == {1, 2, 3, 4, 5}
    assert not dependents.concerned(change(USERS, 9))


def test_a_key_that_cannot_be_told_may_be_any_row_s() -> None:
    dependents: Dependents[int] = Dependents()
    dependents.put(1, NO_READS, [carrying(1)])
    assert [*dependents.concerned(change(USERS, "no number"))] == [1]


def test_who_carries_very_many_rows_is_concerned_by_each() -> None:
    dependents: Dependents[str] = Dependents()
    dependents.put("many", NO_READS, [carrying(*range(1, KEYS_NAMED + 2))])
    assert [*dependents.concerned(change(USERS, 10**6))] == ["many"]


def test_unknown_changes_concern_everybody() -> None:
    dependents: Dependents[str] = Dependents()
    dependents.put("reads", Reads(frozenset({USERS})))
    dependents.put("carries", NO_READS, [carrying(1)])
    assert {*dependents.concerned(None)} == {"reads", "carries"}


def test_what_was_known_before_is_forgotten_and_leaves_nothing_behind() -> None:
    dependents: Dependents[str] = Dependents()
    dependents.put("one", Reads(frozenset({PRODUCTS})), [carrying(1), carrying(1, 2)])
    dependents.put("one", NO_READS, [carrying(2)])
    assert not dependents.concerned([*change(PRODUCTS), *change(USERS, 1)])
    assert "one" in dependents
    dependents.drop("one")
    dependents.drop("one")
    assert "one" not in dependents
    assert not dependents.tables()
    assert not dependents.concerned(None)


def of_user(pk: int, *tables: str) -> Reads:
    way = frozenset([(Hop(TAGS, "user_id", USERS, "id"),)])
    return Reads(frozenset(tables), {TAGS: way}, Asking(User, pk))


def test_rows_that_lead_to_users_concern_those_they_lead_to_and_are_asked_about_once() -> None:
    dependents: Dependents[int] = Dependents()
    asked: list[Change] = []

    def led_to(change: Change, *_: object) -> set[int]:
        asked.append(change)
        return {2, 3, 99}

    for pk in range(1, 6):
        dependents.put(pk, of_user(pk))
    assert {*dependents.concerned(change(TAGS, 7), led_to)} == {2, 3}
    assert asked == change(TAGS, 7)
    assert not dependents.concerned(change(PRODUCTS, 7), led_to)
    assert dependents.tables() == {TAGS}


def test_where_nobody_can_tell_whom_rows_lead_to_they_concern_all() -> None:
    dependents: Dependents[int] = Dependents()
    for pk in (1, 2):
        dependents.put(pk, of_user(pk))
    assert {*dependents.concerned(change(TAGS, 7))} == {1, 2}
    assert {*dependents.concerned(change(TAGS, 7), lambda *_: None)} == {1, 2}
    assert {*dependents.concerned(None, lambda *_: set())} == {1, 2}


def test_who_is_dropped_leaves_nothing_behind() -> None:
    dependents: Dependents[int] = Dependents()
    dependents.put(1, of_user(1, PRODUCTS), [carrying(1)])
    dependents.put(1, of_user(2))
    assert not dependents.concerned(change(TAGS, 7), lambda *_: {1})
    dependents.drop(1)
    assert not dependents.tables()
    assert not any(vars(dependents).get(name) for name in ("_users", "_rows", "_tables", "_of"))
