"""Changes and positions are values."""

from __future__ import annotations

from bindserver.engine.changes import Change, Gathered, Position


def test_equal_positions_are_one() -> None:
    assert len({Position(epoch="a", mark="1"), Position(epoch="a", mark="1")}) == 1
    assert Position(epoch="a", mark="1") != Position(epoch="b", mark="1")


def test_a_change_of_any_row_is_not_one_of_no_row() -> None:
    assert Change(table="t", pks=None) != Change(table="t", pks=frozenset())


class TestGathered:
    def test_keys_of_one_table_come_together(self) -> None:
        gathered = Gathered(3)
        assert not gathered
        gathered.add([Change(table="t", pks=frozenset({1})), Change(table="u", pks=None)])
        gathered.add(
            [Change(table="t", pks=frozenset({1, 2})), Change(table="u", pks=frozenset({1}))]
        )
        assert gathered.take() == (
            Change(table="t", pks=frozenset({1, 2})),
            Change(table="u", pks=None),
        )
        assert not gathered
        assert gathered.take() == ()

    def test_too_many_keys_are_any(self) -> None:
        gathered = Gathered(3)
        for key in range(4):
            gathered.add([Change(table="t", pks=frozenset({key}))])
        gathered.add([Change(table="u", pks=frozenset(range(100)))])
        assert gathered.take() == (Change(table="t", pks=None), Change(table="u", pks=None))
