"""How long a client waits, and how fast it speaks."""

from __future__ import annotations

import pytest

from bindserver.client.backoff import CAP, comes_back, reconnect_wait, retry_wait
from bindserver.client.pace import BURST, RATE, Pace


@pytest.mark.parametrize(
    ("code", "has_proof", "comes"),
    [(1006, False, True), (1012, False, True), (4403, True, False), (4401, False, False),
     (4401, True, True), (4429, False, True)],
)  # fmt: skip
def test_it_comes_back_unless_it_is_refused_for_good(
    code: int, has_proof: bool, comes: bool
) -> None:
    assert comes_back(code, has_proof=has_proof) is comes


def test_waits_grow_up_to_a_cap_and_are_random() -> None:
    longest = [reconnect_wait(1006, attempt, lambda: 1.0) for attempt in (0, 1, 2, 20, 10_000)]
    assert longest == [0.25, 0.5, 1.0, CAP, CAP]
    assert reconnect_wait(1006, 5, lambda: 0.0) == 0
    assert [retry_wait(attempt, lambda: 1.0) for attempt in (0, 1, 10_000)] == [1.5, 2.5, 30.5]


def test_all_who_lose_a_server_do_not_come_back_at_once() -> None:
    assert reconnect_wait(1012, 0, lambda: 1.0) == 5


@pytest.mark.parametrize("code", [4400, 4408, 4429])
def test_who_was_at_fault_is_patient(code: int) -> None:
    assert reconnect_wait(code, 0, lambda: 0.0) == 5
    assert reconnect_wait(code, 0, lambda: 1.0) == 15


class TestThePace:
    @pytest.fixture
    def clock(self) -> list[float]:
        return [100.0]

    @pytest.fixture
    def pace(self, clock: list[float]) -> Pace:
        return Pace(lambda: clock[0])

    def test_lets_a_burst_pass_and_then_holds_back(self, pace: Pace) -> None:
        assert [pace.wait() for _ in range(BURST)] == [0.0] * BURST
        assert pace.wait() == pytest.approx(1 / RATE)
        assert pace.wait() == pytest.approx(2 / RATE)

    def test_has_its_burst_again_after_a_while(self, pace: Pace, clock: list[float]) -> None:
        for _ in range(BURST):
            pace.wait()
        clock[0] += 1000
        assert [pace.wait() for _ in range(BURST)] == [0.0] * BURST
        assert pace.wait() > 0

    def test_stops_where_the_server_says_that_it_is_too_fast(self, pace: Pace) -> None:
        pace.slow_down()
        assert pace.wait() == pytest.approx(1 / RATE)
