"""Time that passes when a test says so, for the database itself: its `Now()` is its own clock and
so many hours more, which stand in a table that nobody watches."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.db.models.functions import Now

from bindserver.queries.schedules import now_of
from tests.app.models import Booking
from tests.support.turning import Turning

HOURS = "(SELECT hours FROM passing_time)"
LATER = {
    "mysql": f"CURRENT_TIMESTAMP(6) + INTERVAL {HOURS} HOUR",
    "postgresql": f"STATEMENT_TIMESTAMP() + {HOURS} * INTERVAL '1 hour'",
    "sqlite": f"STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f', 'NOW', {HOURS} || ' hours')",
}
"""The database's clock, so many hours later; its text is always the same."""


def database_now() -> datetime.datetime:
    """Return the database's time: MariaDB's is in the zone of its server."""
    return now_of(Booking.objects.all(), connection)


class Passing:
    """The hours that have passed.

    Attributes:
        start: the database's time at the beginning.
    """

    def __init__(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE passing_time (hours INTEGER)")
            cursor.execute("INSERT INTO passing_time VALUES (0)")
        self.start = database_now().replace(microsecond=0)

    def hour(self, number: float) -> datetime.datetime:
        """Return the moment of an hour after the beginning; half hours are far from all others."""
        return self.start + datetime.timedelta(hours=number)

    def until(self, hours: int, turning: Turning | None = None) -> None:
        """Let it be so many hours after the beginning."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT hours FROM passing_time")
            [before] = cursor.fetchone()
            cursor.execute("UPDATE passing_time SET hours = %s", [hours])
        for live in turning.views() if turning is not None else ():
            live.refresh_at -= 3600 * (hours - before)
            live.tick.at -= 3600 * (hours - before)
            turning.store.alarms.set(live)  # type: ignore[union-attr]


@contextmanager
def passing_time() -> Iterator[Passing]:
    """Have `Now()` be the time that a test says, on the default database."""
    usual: dict[str, Any] = {}
    for vendor, template in LATER.items():
        usual[vendor] = vars(Now)[f"as_{vendor}"]

        def as_later(
            self: Now, compiler: Any, connection: Any, template: str = template, **more: Any
        ) -> Any:
            return self.as_sql(compiler, connection, template=f"({template})", **more)

        setattr(Now, f"as_{vendor}", as_later)
    try:
        yield Passing()
    finally:
        for vendor, method in usual.items():
            setattr(Now, f"as_{vendor}", method)
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE passing_time")
