"""A cycle in this process, subscribers without sockets, and what the cycle's turns cost."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

if TYPE_CHECKING:  # whoever measures sets Django up first
    from bindserver.cycle.cycle import Cycle

PATIENCE_SECONDS = 600.0

READS = re.compile(r'["`](board|app|auth)_\w+["`]')
MARKS = re.compile(r'["`]board_notice["`]')


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a subscriber asks for, and as whom."""

    event: str
    params: Mapping[str, Any] = field(default_factory=dict)
    user: Any = None
    cursor: str | None = None


class Audience:
    """Subscribers without sockets: they count what they hear.

    Attributes:
        answered: those who have their first rows, or were refused.
        published: how many steps were heard, marks aside.
        marks: how many steps of mark's binding were heard.
        refused: what those were told who were refused.
        keep: called with each answer and each mark that is heard.
    """

    MARK = 0
    """The subscriber of the mark."""

    def __init__(self, keep: Callable[[int, Any], None] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.answered: set[int] = set()
        self.published = self.marks = 0
        self.refused: dict[int, str] = {}
        self.keep = keep
        self.problem = ""

    def hear(self, number: int, event: Any) -> None:
        """Count an event."""
        name = type(event).__name__
        if name == "Answered":
            self.answered.add(number)
        elif name == "Published" and number == self.MARK:
            self.marks += 1
        elif name == "Published":
            self.published += 1
        elif name == "Rejected":
            self.refused[number] = event.detail
            self.answered.add(number)
        elif name not in ("Accepted", "Arrived"):
            self.problem = f"subscriber {number} heard {event}"
        if self.keep is not None and (name == "Answered" or number == self.MARK):
            self.keep(number, event)

    def fail(self) -> None:
        """Nothing after this can be right."""
        self.problem = "an event could not be heard"

    def settle(self, state: str) -> None:
        """Nothing: no commit marks are wanted."""

    async def until(self, done: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until `done()`.

        Raises:
            TimeoutError: it takes too long.
        """
        last = time.monotonic() + seconds
        while not done():
            if self.problem:
                raise RuntimeError(self.problem)
            if time.monotonic() > last:
                raise TimeoutError(f"not done after {seconds:.0f} s")
            await asyncio.sleep(0.001)

    async def until_published(self, steps: int) -> None:
        """Wait until so many steps were heard, marks aside."""
        await self.until(lambda: self.published >= steps)


class Following:
    """A cycle, and those who follow bindings of it.

    Args:
        cycle: started already.
        audience: hears all events.
    """

    def __init__(self, cycle: Cycle, audience: Audience) -> None:
        self.cycle = cycle
        self.audience = audience
        self.asked = 0

    def ask(self, wanted: Wanted) -> int:
        """Have one more subscriber ask; return its number."""
        self.asked += 1
        self._ask(self.asked, wanted)
        return self.asked

    def _ask(self, number: int, wanted: Wanted) -> None:
        from bindserver.cycle.inbox import Caller, SessionRequest
        from bindserver.engine.effects import Ask
        from bindserver.engine.protocol import Subscribe

        message = Subscribe(event=wanted.event, params=wanted.params, cursor=wanted.cursor)
        caller = Caller(user=wanted.user)
        asked = SessionRequest(
            cast(Any, self.audience), caller, Ask(number=number, message=message)
        )
        self.cycle.ask(asked)

    async def all_answered(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until all who have asked are answered."""
        answered = self.audience.answered
        await self.audience.until(
            lambda: len(answered) - (Audience.MARK in answered) == self.asked, seconds
        )

    async def subscribe(self, wanted: Iterable[Wanted], seconds: float = PATIENCE_SECONDS) -> float:
        """Have all of them ask at once; return after how many seconds they are all answered."""
        began = time.perf_counter()
        for one in wanted:
            self.ask(one)
        await self.all_answered(seconds)
        return time.perf_counter() - began

    async def follow_marks(self) -> None:
        """Have the mark's binding followed as well."""
        self._ask(Audience.MARK, Wanted(event="notices"))
        await self.audience.until(lambda: Audience.MARK in self.audience.answered)


@asynccontextmanager
async def following(
    keep: Callable[[int, Any], None] | None = None,
) -> AsyncIterator[Following]:
    """Run a cycle of the default database, for as long as the block lasts."""
    from bindserver.cycle.cycle import Cycle

    cycle = Cycle("default", b"secret")
    cycle.start()
    try:
        yield Following(cycle, Audience(keep))
    finally:
        await asyncio.to_thread(cycle.stop)


class Meter:
    """What the turns of all cycles cost in this process.

    Args:
        loads: whether to look for big loads after each turn, which walks over all views.

    Attributes:
        turns: when each turn began and ended, in seconds, and how long this process had computed.
        sent: how many statements turns have sent, whatever they read.
        statements: how often tables of models were read, the mark's aside.
        rows: how many rows came of that.
        views: how many views there were after the last turn, where loads are looked for.
        busy: whether a turn is running or another one is sure to come.
    """

    def __init__(self, *, loads: bool = False) -> None:
        self._loads = loads
        self.views = 0
        self.busy = False
        self.reset()

    def reset(self) -> None:
        """Begin to count anew."""
        self.turns: list[tuple[float, float, float, float]] = []
        self.sent = self.statements = self.rows = 0

    @property
    def seconds(self) -> float:
        """From the begin of the first turn to the end of the last one."""
        return self.turns[-1][1] - self.turns[0][0] if self.turns else 0.0

    @property
    def computed(self) -> float:
        """For how many seconds this process has computed meanwhile."""
        return self.turns[-1][3] - self.turns[0][2] if self.turns else 0.0

    @contextmanager
    def watch(self) -> Iterator[Meter]:
        """Count, for as long as the block lasts."""
        from django.db.backends.base.base import BaseDatabaseWrapper

        from bindserver.cycle.turn import Turn

        run, counting = Turn.run, _counting(self)

        def timed(turn: Turn, items: Any) -> None:
            began, computed, self.busy = time.perf_counter(), time.process_time(), True
            run(turn, items)
            self.turns.append((began, time.perf_counter(), computed, time.process_time()))
            self.busy = turn.unanswered or bool(turn.postponed) or self._is_loading(turn)

        def make_cursor(connection: Any, cursor: Any) -> Any:
            return counting(cursor, connection)

        with (
            patch.object(Turn, "run", timed),
            patch.object(BaseDatabaseWrapper, "make_cursor", make_cursor),
        ):
            yield self

    def _is_loading(self, turn: Any) -> bool:
        if not self._loads:
            return False
        views = turn._context.store.views()
        self.views = len(views)
        return any(live.state.name == "LOADING" and live.wanted for live in views)


def _counting(meter: Meter) -> Any:
    """Return a class of cursors that tell what passes through them."""
    from django.db.backends.utils import CursorWrapper

    class Counting(CursorWrapper):
        reads = False

        def execute(self, sql: Any, params: Any = None) -> Any:
            meter.sent += meter.busy
            text = str(sql)
            self.reads = READS.search(text) is not None and MARKS.search(text) is None
            meter.statements += self.reads
            return super().execute(sql, params)

        def _count(self, rows: Any) -> Any:
            if self.reads:
                meter.rows += len(rows)
            return rows

        def fetchone(self) -> Any:
            with self.db.wrap_database_errors:
                row = self.cursor.fetchone()
            self._count([] if row is None else [row])
            return row

        def fetchmany(self, *size: int) -> Any:
            with self.db.wrap_database_errors:
                return self._count(self.cursor.fetchmany(*size))

        def fetchall(self) -> Any:
            with self.db.wrap_database_errors:
                return self._count(self.cursor.fetchall())

        def __iter__(self) -> Iterator[Any]:
            for row in super().__iter__():
                self._count([row])
                yield row

    return Counting
