"""Changes and positions are values."""

from __future__ import annotations

from bindserver.engine.changes import Change, Position


def test_equal_positions_are_one() -> None:
    assert len({Position(epoch="a", mark="1"), Position(epoch="a", mark="1")}) == 1
    assert Position(epoch="a", mark="1") != Position(epoch="b", mark="1")


def test_a_change_of_any_row_is_not_one_of_no_row() -> None:
    assert Change(table="t", pks=None) != Change(table="t", pks=frozenset())
