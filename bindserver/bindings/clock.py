"""Django's clock as a binding's code reads it, set to another time for that code alone.

`timezone.now()`, `localtime()` and `localdate()` all ask one function, wherever they were imported
to. What asks Python's own clock (`datetime.now()`, `date.today()`, `time.time()`) is not reached.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.utils import timezone

_at: ContextVar[float | None] = ContextVar("bindserver_clock", default=None)
_lock = threading.Lock()
_usual: type[datetime.datetime] = datetime.datetime
_users = 0


class _Kind(type):
    """Takes every moment for one of its own, as the class that it stands for does."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, datetime.datetime)


class _Clock(datetime.datetime, metaclass=_Kind):
    """Stands for `datetime` in `django.utils.timezone`: the time is what a context says."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        """Return the time that the context says, else the present one."""
        at = _at.get()
        return _usual.now(tz) if at is None else datetime.datetime.fromtimestamp(at, tz)


@contextmanager
def clock_at(timestamp: float) -> Iterator[None]:
    """Have Django's clock stand at a time, for what this context calls.

    Args:
        timestamp: the time, in seconds since 1970.
    """
    _install()
    token = _at.set(timestamp)
    try:
        yield
    finally:
        _at.reset(token)
        _remove()


def _install() -> None:
    """Stand in for the class that Django asks; what was there before may be a test's own."""
    global _users, _usual
    with _lock:
        if not _users:
            _usual = vars(timezone)["datetime"]
            vars(timezone)["datetime"] = _Clock
        _users += 1


def _remove() -> None:
    global _users
    with _lock:
        _users -= 1
        if not _users:
            vars(timezone)["datetime"] = _usual
