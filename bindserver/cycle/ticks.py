"""The passing of time in one turn: which rows have crossed the present time, and which do next.

Each view knows when the next of its rows crosses, and up to when it has looked. A turn asks the
database for its time once, and only where some view's moment has come or somebody waits for its
rows; what views of one shape ask, it asks once.
"""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Collection, Hashable

from django.db import connections

from bindserver.conf import conf
from bindserver.cycle.invalidation import WHOLE, Touched
from bindserver.cycle.live_view import LiveView, Tick
from bindserver.database.snapshot import guarded, vouch
from bindserver.queries.query import Query
from bindserver.queries.schedules import MARGIN, Schedule, now_of

LONGEST_SECONDS = 60.0
"""A view looks at the database's clock so often at least, however far its next moment is: that
clock may go otherwise than ours, and may be set."""


class Ticks:
    """What one turn knows of the time.

    Args:
        alias: the database.
        began: when the turn began, on the monotonic clock.
    """

    def __init__(self, alias: str, began: float) -> None:
        self._alias = alias
        self._began = began
        self._now: datetime.datetime | None = None
        self._at = began
        self._crossed: dict[Hashable, frozenset[Hashable] | None] = {}
        self._next: dict[Hashable, datetime.datetime | None] = {}
        self._found: dict[LiveView, Tick] = {}

    def touched(self, live: LiveView, what: Touched) -> Touched:
        """Return what is to be read again in a view: beside what changed, what has crossed the
        present time; and find out when the next row does.

        Raises:
            Overtaken: what was read to tell may be newer than the snapshot.
        """
        pulse, tick = live.query.pulse, live.tick
        if pulse is None:
            return what
        waits = live.is_awaited
        if not what and tick.at > self._began and not waits:
            return what
        with guarded(self._alias):
            what = self._look(live, pulse, tick, what)
        vouch(self._alias, live.query.tables)
        return what

    def _look(self, live: LiveView, pulse: Schedule, tick: Tick, what: Touched) -> Touched:
        now = self._time(live.query)
        if what.whole or tick.seen is None or now < tick.seen:  # that clock was set back
            self._found[live] = Tick(now, self._next_of_all(live.query, pulse, now))
            return WHOLE
        past = not tick.known or (tick.next is not None and tick.next <= now)
        if past:
            crossed = self._crossed_since(live.query, pulse, tick.seen)
            if crossed is None:
                what = WHOLE
            elif crossed:
                what = WHOLE if live.query.whole else Touched(what.pks | crossed)
            self._found[live] = Tick(now, self._next_of_all(live.query, pulse, now))
        else:
            nearest = self._next_of(live.query, pulse, now, what.pks)
            times = [at for at in (tick.next, nearest) if at is not None]
            self._found[live] = Tick(now, min(times, default=None))
        return what

    def crossed(self, live: LiveView) -> Touched:
        """Return which rows of a view have crossed the present time since it was looked at, whether
        or not its moment has come.

        Raises:
            Overtaken: as for `touched`.
        """
        pulse, tick = live.query.pulse, live.tick
        if pulse is None:
            return Touched()
        if tick.seen is None or not tick.known:
            return WHOLE
        with guarded(self._alias):
            back = self._time(live.query) < tick.seen
            found = None if back else self._crossed_since(live.query, pulse, tick.seen)
        vouch(self._alias, live.query.tables)
        return WHOLE if found is None else Touched(found)

    def settle(self, live: LiveView) -> None:
        """Take note that a view has come to what `touched` said."""
        found = self._found.pop(live, None)
        if found is not None:
            found.at = self._alarm(found.next)
            found.known = True
            live.tick = found

    def begin_load(self, live: LiveView) -> None:
        """Take note that a view is going to be loaded by another thread, from now on."""
        if live.query.pulse is not None:
            live.tick = Tick(self._now)

    def _time(self, query: Query) -> datetime.datetime:
        if self._now is None:
            self._at = time.monotonic()
            self._now = now_of(query.common, connections[self._alias])
        return self._now

    def _alarm(self, moment: datetime.datetime | None) -> float:
        """Return when to look again, on the monotonic clock."""
        if moment is None or self._now is None:
            return math.inf
        left = max((moment - self._now).total_seconds(), 0) + MARGIN.total_seconds()
        return self._at + min(left, LONGEST_SECONDS)

    def _crossed_since(
        self, query: Query, pulse: Schedule, since: datetime.datetime
    ) -> frozenset[Hashable] | None:
        asked = (_key(query), since)
        if asked not in self._crossed:
            found = pulse.crossed(since, self._time(query), conf.SYNC_ROWS)
            self._crossed[asked] = None if found is None else frozenset(found)
        return self._crossed[asked]

    def _next_of_all(
        self, query: Query, pulse: Schedule, now: datetime.datetime
    ) -> datetime.datetime | None:
        asked = _key(query)
        if asked not in self._next:
            self._next[asked] = pulse.next_after(now)
        return self._next[asked]

    def _next_of(
        self, query: Query, pulse: Schedule, now: datetime.datetime, pks: Collection[Hashable]
    ) -> datetime.datetime | None:
        """Return when the next of some rows crosses: what changed may have brought it nearer."""
        if not pks:
            return None
        if len(pks) > conf.SYNC_ROWS:
            return self._next_of_all(query, pulse, now)
        asked = (_key(query), frozenset(pks))
        if asked not in self._next:
            self._next[asked] = pulse.next_after(now, pks)
        return self._next[asked]


def _key(query: Query) -> Hashable:
    """Return what is equal for queries that time touches alike."""
    return query.identity if query.batch_key is None else query.batch_key
