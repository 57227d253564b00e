"""When the rows of a query change by the passing of time alone, asked of the database."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Now

from bindserver.database.sql import ask

MARGIN = datetime.timedelta(milliseconds=2)
"""More than the smallest step of any database's clock: SQLite's are milliseconds, and it compares
texts, so that a moment may be past a little earlier or later than its number says."""

MOMENT = "when_the_row_crosses"
NOTHING = datetime.timedelta()


@dataclass(frozen=True, slots=True)
class Threshold:
    """What a row crosses the present time with: when that is `moment` plus `offset`.

    Attributes:
        moment: an expression of the row's own columns.
        offset: the interval.
    """

    moment: Any
    offset: datetime.timedelta


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the rows of a query change by the passing of time alone.

    All times are the database's, as it tells them itself: they may be in another time zone, and
    its clock may go otherwise than ours.

    Attributes:
        thresholds: what rows cross the present time with.
        base: rows that may be in the query at some time; others may be among them.
        shows: whether rows may look otherwise once they have crossed, besides coming and going.
    """

    thresholds: tuple[Threshold, ...]
    base: QuerySet[Any] = field(repr=False)
    shows: bool

    def crossed(
        self, since: datetime.datetime, now: datetime.datetime, most: int
    ) -> set[Any] | None:
        """Return the primary keys of the rows that have crossed meanwhile, and perhaps of others;
        None if they are more than `most`."""
        found: set[Any] = set()
        for threshold, moments in self._each():
            between = {
                f"{MOMENT}__gt": _plus(since, -threshold.offset - MARGIN),
                f"{MOMENT}__lte": _plus(now, -threshold.offset),
            }
            found.update(moments.filter(**between).values_list("pk", flat=True)[: most + 1])
            if len(found) > most:
                return None
        return found

    def next_after(
        self, now: datetime.datetime, pks: Collection[Any] | None = None
    ) -> datetime.datetime | None:
        """Return when the next row crosses, None if there is none.

        Args:
            now: from when on.
            pks: the primary keys of the rows to look at; None for all.
        """
        found: list[datetime.datetime] = []
        for threshold, moments in self._each():
            after = moments.filter(**{f"{MOMENT}__gt": _plus(now, -threshold.offset - MARGIN)})
            if pks is not None:
                after = after.filter(pk__in=pks)
            nearest = after.order_by(MOMENT).values_list(MOMENT, flat=True)[:1]
            found += [_plus(moment, threshold.offset) for moment in nearest]
        return min(found, default=None)

    def _each(self) -> Iterator[tuple[Threshold, QuerySet[Any]]]:
        for threshold in self.thresholds:
            yield threshold, self.base.annotate(**{MOMENT: threshold.moment})


def now_of(queryset: QuerySet[Any], connection: Any) -> datetime.datetime:
    """Return the database's present time, as it compares moments with it."""
    compiler, now = queryset.query.get_compiler(connection=connection), Now()
    sql, arguments = compiler.compile(now)
    [[value]] = ask(connection, f"SELECT {sql}", arguments)
    for convert in connection.ops.get_db_converters(now):
        value = convert(value, now, connection)
    found: datetime.datetime = value
    return found


def _plus(moment: datetime.datetime, interval: datetime.timedelta) -> datetime.datetime:
    try:
        return moment + interval
    except OverflowError:
        far = datetime.datetime.max if interval > NOTHING else datetime.datetime.min  # noqa: DTZ901
        return far.replace(tzinfo=moment.tzinfo)
