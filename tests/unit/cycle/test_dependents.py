"""From what changed to whom it concerns, by indexes."""

from __future__ import annotations

from django.contrib.auth.models import User

from bindserver.cycle.dependents import Dependents
from bindserver.engine.changes import Change
from bindserver.queries.carried import KEYS_NAMED, Carried
from tests.app.models import Product, Tag

USERS, PRODUCTS = User._meta.db_table, Product._meta.db_table


def carrying(*pks: int) -> Carried:
    return Carried([User(pk=pk) for pk in pks], unsaved=True)


def change(table: str, *pks: object) -> list[Change]:
    return [Change(table=table, pks=frozenset(pks) or None)]


def test_a_change_of_a_table_concerns_whoever_reads_it_and_nobody_else() -> None:
    dependents: Dependents[str] = Dependents()
    dependents.put("reads users", {USERS})
    dependents.put("reads both", {USERS, PRODUCTS})
    dependents.put("reads nothing", set())
    assert [*dependents.concerned(change(PRODUCTS, 1))] == ["reads both"]
    assert {*dependents.concerned(change(USERS))} == {"reads users", "reads both"}
    assert not dependents.concerned(change(Tag._meta.db_table, 1))
    assert dependents.tables() == {USERS, PRODUCTS}
    assert len(dependents) == 2


def test_a_changed_row_concerns_those_alone_who_carry_it() -> None:
    dependents: Dependents[int] = Dependents()
    for pk in range(1, 6):
        dependents.put(pk, (), [carrying(pk)])
    assert [*dependents.concerned(change(USERS, 3))] == [3]
    assert {*dependents.concerned(change(USERS, "2", 4))} == {2, 4}  # a log may hold texts
    assert {*dependents.concerned(change(USERS))} == {1, 2, 3, 4, 5}
    assert not dependents.concerned(change(USERS, 9))


def test_a_key_that_cannot_be_told_may_be_any_row_s() -> None:
    dependents: Dependents[int] = Dependents()
    dependents.put(1, (), [carrying(1)])
    assert [*dependents.concerned(change(USERS, "no number"))] == [1]


def test_who_carries_very_many_rows_is_concerned_by_each() -> None:
    dependents: Dependents[str] = Dependents()
    dependents.put("many", (), [carrying(*range(1, KEYS_NAMED + 2))])
    assert [*dependents.concerned(change(USERS, 10**6))] == ["many"]


def test_unknown_changes_concern_everybody() -> None:
    dependents: Dependents[str] = Dependents()
    dependents.put("reads", {USERS})
    dependents.put("carries", (), [carrying(1)])
    assert {*dependents.concerned(None)} == {"reads", "carries"}


def test_what_was_known_before_is_forgotten_and_leaves_nothing_behind() -> None:
    dependents: Dependents[str] = Dependents()
    dependents.put("one", {PRODUCTS}, [carrying(1), carrying(1, 2)])
    dependents.put("one", (), [carrying(2)])
    assert not dependents.concerned([*change(PRODUCTS), *change(USERS, 1)])
    assert "one" in dependents
    dependents.drop("one")
    dependents.drop("one")
    assert "one" not in dependents
    assert not dependents.tables()
    assert not dependents.concerned(None)
