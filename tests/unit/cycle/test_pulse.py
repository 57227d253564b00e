"""What a cycle's thread notes for probes, and what these make of it."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from bindserver.cycle.pulse import Pulse
from bindserver.exceptions import CaptureError, QueryTimeout


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pulse(clock: Clock) -> Pulse:
    return Pulse(clock)


def test_nothing_is_known_before_the_database_was_asked(pulse: Pulse) -> None:
    assert pulse.troubles() == {"database": "nobody has asked it yet"}
    assert not pulse.known.done()


def test_a_database_that_has_answered_is_well(pulse: Pulse, clock: Clock) -> None:
    pulse.turns(15)
    pulse.answered()
    clock.now += 1000
    assert pulse.troubles() == {}
    assert pulse.known.done()


def test_a_database_that_fails_is_out_of_reach_since_the_first_failure(
    pulse: Pulse, clock: Clock
) -> None:
    pulse.failed(OperationalError("at secret:5432"))
    clock.now += 12
    pulse.failed(CaptureError("a secret"))
    assert pulse.troubles() == {"database": "out of reach since 12 s: CaptureError"}
    pulse.answered()
    assert pulse.troubles() == {}


def test_a_turn_that_fails_by_itself_is_not_the_databases_fault(pulse: Pulse) -> None:
    pulse.failed(QueryTimeout("too long"))
    assert pulse.troubles() == {"cycle": "each turn fails since 0 s: QueryTimeout"}


def test_a_database_is_to_say_within_two_seconds_that_it_is_there(
    pulse: Pulse, clock: Clock
) -> None:
    pulse.answered()
    pulse.looks()
    clock.now += 2
    assert pulse.troubles() == {}
    clock.now += 1
    assert pulse.troubles() == {"database": "no answer for 3 s"}


def test_a_turn_may_take_as_long_as_its_patience(pulse: Pulse, clock: Clock) -> None:
    pulse.answered()
    pulse.turns(15)
    clock.now += 15
    assert pulse.troubles() == {}
    clock.now += 1
    assert pulse.troubles() == {"cycle": "no turn for 16 s"}
