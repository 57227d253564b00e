"""What reading views has cost, what it is expected to cost, and how often a view may be read."""

from __future__ import annotations

import pytest

from bindserver.cycle.costs import CERTAIN_SECONDS, OFTEN, Allowance, Cost

ALL = None
TURN = 0.01
SHARE = 0.25


@pytest.fixture
def cost() -> Cost:
    return Cost()


class TestACost:
    def test_that_was_never_measured_is_none(self, cost: Cost) -> None:
        assert (cost.of(ALL), cost.of(5), cost.of_move) == (0, 0, 0)
        assert not cost.is_dear(ALL, 1, TURN)

    def test_is_the_smaller_of_the_last_two(self, cost: Cost) -> None:
        for seconds in (0.07, 0.02, 0.03):
            cost.note_whole(seconds, 5)
        assert cost.of(ALL) == 0.02

    def test_is_not_believed_that_a_busy_machine_may_have_made(self, cost: Cost) -> None:
        cost.note_whole(0.05, 5)
        assert not cost.is_dear(ALL, 1, TURN)
        cost.note_whole(0.05, 5)
        assert cost.is_dear(ALL, 1, TURN)

    def test_is_believed_at_once_where_no_machine_is_so_busy(self, cost: Cost) -> None:
        cost.note_whole(CERTAIN_SECONDS, 5)
        assert cost.is_dear(ALL, 1, TURN)

    def test_grows_with_the_views_that_are_read_together(self, cost: Cost) -> None:
        cost.note_whole(0.001, 5)
        cost.note_whole(0.001, 5)
        assert not cost.is_dear(ALL, 5, TURN)
        assert cost.is_dear(ALL, 50, TURN)

    def test_of_rows_by_key_is_told_by_a_slow_serializer_s_load(self, cost: Cost) -> None:
        cost.note_whole(2.0, 400)
        assert cost.of(100) == pytest.approx(0.5)

    def test_of_one_row_is_not_told_by_a_load_of_few(self, cost: Cost) -> None:
        cost.note_whole(0.01, 1)
        cost.note_whole(0.01, 1)
        assert cost.of(1000) == 0

    def test_of_rows_by_key_leaves_out_what_grows_with_their_number(self, cost: Cost) -> None:
        cost.note_whole(1.0, 100)
        for _ in range(2):
            cost.note_step(1.002, 100)
        assert cost.of(1) == pytest.approx(0.012)

    def test_of_rows_by_key_is_a_turn_s_where_reading_all_would_be_a_waste(
        self, cost: Cost
    ) -> None:
        cost.note_whole(60.0, 10_000)
        assert cost.of(50) > 10 * TURN
        assert not cost.is_dear(50, 1, TURN)
        assert cost.is_dear(5000, 1, TURN)

    def test_that_seemed_dear_by_key_is_tried_again(self, cost: Cost) -> None:
        cost.note_whole(0.01, 100)
        cost.note_step(1.0, 1)
        cost.note_step(1.0, 1)
        assert cost.is_dear(1, 1, TURN)
        for _ in range(10):
            cost.note_load()
        assert not cost.is_dear(1, 1, TURN)

    def test_of_a_turn_is_nothing_where_the_loader_reads(self, cost: Cost) -> None:
        cost.note_whole(3.0, 10)
        assert cost.of_move == 3.0
        cost.note_load()
        assert cost.of_move == 0


class TestAnAllowance:
    def test_lets_a_view_be_read_a_few_times_in_a_row(self) -> None:
        allowance = Allowance()
        for now in range(1, OFTEN):
            allowance.spend(2.0, SHARE, float(now))
            assert allowance.until <= now
        allowance.spend(2.0, SHARE, float(OFTEN))
        assert allowance.until > OFTEN

    def test_keeps_it_to_its_share_in_the_long_run(self) -> None:
        allowance, now, reads = Allowance(), 0.0, 0
        while now < 1000:
            now = max(now, allowance.until) + 2.0
            allowance.spend(2.0, SHARE, now)
            reads += 1
        assert reads * 2.0 == pytest.approx(1000 * SHARE, rel=0.03)

    def test_is_whole_again_after_a_while(self) -> None:
        allowance = Allowance()
        for _ in range(OFTEN):
            allowance.spend(2.0, SHARE, 1.0)
        allowance.spend(2.0, SHARE, 1000.0)
        assert allowance.until <= 1000.0
