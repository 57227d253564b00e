"""How long to wait before the next attempt. All waits are random, so that clients which lost one
server do not come back to it at one moment: "full jitter", as in M. Brooker, Exponential Backoff
And Jitter, 2015."""

from __future__ import annotations

from collections.abc import Callable

from bindserver.engine.protocol import Closing

BASE = 0.25
CAP = 30.0
RETRY_BASE = 1.0
RETRY_FLOOR = 0.5
MOST = 32
"""A higher power of two is past any cap."""

PATIENT = (5.0, 10.0)
"""The shortest wait, and the least spread upon it, where it was our own doing."""

WAITS: dict[int, tuple[float, float]] = {
    Closing.RESTART: (0.0, 5.0),  # all clients know of it at the same time
    Closing.TOO_MANY_MALFORMED: PATIENT,
    Closing.TOO_SLOW: PATIENT,
    Closing.TOO_MANY_MESSAGES: PATIENT,
}

Random = Callable[[], float]
"""Returns a number from 0 up to 1."""


def comes_back(code: int, *, has_proof: bool) -> bool:
    """Return whether another connection may fare better.

    Args:
        code: the close code of the last one.
        has_proof: whether there is a token to prove who we are by.
    """
    return code != Closing.FORBIDDEN and (code != Closing.UNAUTHENTICATED or has_proof)


def reconnect_wait(code: int, attempt: int, random: Random) -> float:
    """Return for how many seconds to wait before the next connection.

    Args:
        code: the close code of the last one.
        attempt: how many attempts in a row have failed.
        random: gives the chance in it.
    """
    floor, spread = WAITS.get(code, (0.0, 0.0))
    return floor + random() * max(_ceiling(BASE, attempt), spread)


def retry_wait(attempt: int, random: Random) -> float:
    """Return for how many seconds to wait before what was refused for now is asked again.

    Args:
        attempt: how many attempts in a row have failed.
        random: gives the chance in it.
    """
    return RETRY_FLOOR + random() * _ceiling(RETRY_BASE, attempt)


def _ceiling(base: float, attempt: int) -> float:
    return min(CAP, base * 2.0 ** min(attempt, MOST))
