"""Lines of the log: as JSON, without what others could forge, and never the same over and over.

A project's `LOGGING` names the formatter:

    "formatters": {"json": {"()": "bindserver.logs.JsonFormatter"}}
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import re
import threading
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from bindserver.forks import on_fork
from bindserver.user_code import text_of

PLAIN_KEY = re.compile(r"[A-Za-z0-9_\-]{1,64}")

MAX_TEXT = 200
"""How much of a text that a client has sent is logged."""

SPARSE_LINES = 10
SPARSE_SECONDS = 60.0
"""So many lines of one kind are logged in so many seconds; the others are counted."""

AGAIN_SECONDS = 600.0
"""How long a failure that goes on is not spoken of again."""

REMEMBERED = 200
"""So many failures are known at a time; the oldest is forgotten for a new one."""

PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message", "asctime", "taskName", "color_message",
}  # fmt: skip
"""What records have of `logging` and of uvicorn: all else was said with `extra`."""


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON: `time`, `level`, `logger`, `message`, all that was said
    with `extra`, and of a failure its `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        told: dict[str, Any] = {
            "time": self._time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        more = {name: value for name, value in record.__dict__.items() if name not in PLAIN}
        told |= {name: value for name, value in more.items() if name not in told}
        if record.exc_info and record.exc_info[0] is not None:
            told["traceback"] = self.formatException(record.exc_info)
        if record.stack_info:
            told["stack"] = self.formatStack(record.stack_info)
        return json.dumps(told, default=str)

    @staticmethod
    def _time(record: logging.LogRecord) -> str:
        """Return when it was, in UTC, as ISO 8601 has it."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{seconds}.{int(record.msecs):03d}Z"


def quoted(text: str) -> str:
    """Return a text that a client has sent as a line may have it: cut, in quotes, in ASCII, and
    with nothing in it that ends the line or the quotes."""
    return json.dumps(text[:MAX_TEXT])


def one_line(text: str) -> str:
    """Return an error's text as a line may have it: it may quote what a client has sent."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:MAX_TEXT]).split())


def key_of(key: str) -> str:
    """Return a user's key, quoted unless it is a number, a word or a UUID: users choose some."""
    return key if PLAIN_KEY.fullmatch(key) else quoted(key)


def address(host: object) -> str:
    """Return an address, quoted unless it is an IP address: a proxy may hand on any text."""
    try:
        return str(ipaddress.ip_address(str(host)))
    except ValueError:
        return quoted(str(host)) if host else "unknown"


class _Limited(ABC):
    """Logs fewer lines than it is handed, from any thread.

    Args:
        logger: takes the lines.
        clock: tells the time in seconds, and only rises.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._lock = threading.Lock()
        self.forget()
        _all.add(self)

    @abstractmethod
    def forget(self) -> None:
        """Begin as if nothing had been logged."""


class Sparse(_Limited):
    """Logs warnings of a few kinds that clients can cause, so many of each in a while.

    What is left out is counted. The count is told when the while is over, or by the next line
    where no event loop runs.
    """

    def forget(self) -> None:
        """Begin as if nothing had been logged."""
        self._began: dict[str, float] = {}
        self._said: dict[str, int] = {}
        self._left_out: dict[str, int] = {}

    def warn(self, kind: str, message: str, *args: object, **extra: object) -> None:
        """Log a warning, if its kind has not had all its lines.

        Args:
            kind: one of a few words that the code has, as in "refused origins".
            message: what `logging` takes.
            args: the same.
            extra: fields for JSON.
        """
        with self._lock:
            now = self._clock()
            over = now - self._began.get(kind, now) >= SPARSE_SECONDS
            left_out = self._left_out.pop(kind, 0) if over else 0
            if over or kind not in self._began:
                self._began[kind], self._said[kind] = now, 0
            self._said[kind] += 1
            fits = self._said[kind] <= SPARSE_LINES
            if not fits:
                self._left_out[kind] = self._left_out.get(kind, 0) + 1
                if self._left_out[kind] == 1:
                    self._tell_later(kind, self._began[kind] + SPARSE_SECONDS - now)
        self._tell(kind, left_out)
        if fits:
            self._logger.warning(message, *args, extra=extra)

    def _tell_later(self, kind: str, seconds: float) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # the next line of this kind tells it
        loop.call_later(seconds, self._end, kind)

    def _end(self, kind: str) -> None:
        with self._lock:
            left_out = self._left_out.pop(kind, 0)
        self._tell(kind, left_out)

    def _tell(self, kind: str, left_out: int) -> None:
        if left_out:
            said = "bindserver: %d more lines about %s were left out"
            self._logger.warning(said, left_out, kind, extra={"left_out": left_out})


@dataclass(slots=True)
class _Repeated:
    told_at: float
    seen_at: float
    unsaid: int = 0


class Repeats(_Limited):
    """Logs failures that come again: once with the traceback, then rarely with a count."""

    def forget(self) -> None:
        """Begin as if nothing had failed."""
        self._known: OrderedDict[tuple[str, str, str], _Repeated] = OrderedDict()

    def note(
        self,
        what: str,
        problem: BaseException,
        level: int = logging.ERROR,
        *,
        traceback: bool = True,
    ) -> None:
        """Take a failure.

        Args:
            what: what cannot be done, in a few words.
            problem: what was raised.
            level: at which it is logged.
            traceback: whether the first line brings the traceback, or the error's text alone.
        """
        text = one_line(text_of(problem))
        reason = f"{type(problem).__name__}: {text}"
        key, now = (what, repr(type(problem)), text), self._clock()
        with self._lock:
            known = self._known.get(key)
            is_new = known is None or now - known.seen_at >= AGAIN_SECONDS
            if known is None or is_new:
                known = self._known[key] = _Repeated(now, now)
                if len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
            else:
                known.seen_at = now
                known.unsaid += 1
            unsaid = known.unsaid if now - known.told_at >= AGAIN_SECONDS else 0
            if unsaid:
                known.told_at, known.unsaid = now, 0
        if is_new and traceback:
            self._logger.log(level, "bindserver: %s", what, exc_info=problem)
        elif is_new:
            self._logger.log(level, "bindserver: %s: %s", what, reason)
        elif unsaid:
            said = "bindserver: %s, %d times more: %s"
            self._logger.log(level, said, what, unsaid, reason, extra={"times": unsaid})


_all: WeakSet[_Limited] = WeakSet()


def forget() -> None:
    """Have all lines of this process logged anew, as a new process would."""
    for one in list(_all):
        one.forget()


on_fork(forget)
