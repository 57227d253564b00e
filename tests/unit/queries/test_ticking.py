"""What a query has to do with the present time: which rows cross it, told from its conditions."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.db.models import (
    Case,
    Count,
    DateTimeField,
    Exists,
    ExpressionWrapper,
    F,
    Func,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce, ExtractYear, Now, TruncDate

from bindserver.queries.compiler import compiled
from bindserver.queries.ticking import Clock, clock_of
from tests.app.models import Booking, Product

HOUR = datetime.timedelta(hours=1)
ALL: QuerySet[Any] = Booking.objects.all()


def told(queryset: QuerySet[Any]) -> Clock:
    statement, _, _ = compiled(queryset, "default", queryset.model)
    return clock_of(queryset, statement.sql)


def offsets(queryset: QuerySet[Any]) -> list[tuple[str, float]]:
    """Return the columns that rows cross the present time with, and after how many hours."""
    pulse = told(queryset).pulse
    assert pulse is not None, told(queryset).unfollowed
    return [(str(t.moment), t.offset / HOUR) for t in pulse.thresholds]


END, START = "Col(app_booking, app.Booking.end)", "Col(app_booking, app.Booking.start)"
BY = f"{START} + Col(app_booking, app.Booking.length)"

FOLLOWED: dict[str, tuple[QuerySet[Any], list[tuple[str, float]]]] = {
    "a column": (ALL.filter(end__gt=Now()), [(END, 0)]),
    "a column and an interval": (ALL.filter(start__lte=Now() + HOUR), [(START, -1)]),
    "an interval of several": (ALL.filter(end__lt=Now() - HOUR - HOUR), [(END, 2)]),
    "a wrapped one": (
        ALL.filter(end__lt=ExpressionWrapper(Now() - HOUR, output_field=DateTimeField())),
        [(END, 1)],
    ),
    "both sides of a range": (ALL.filter(end__range=(Now(), Now() + HOUR)), [(END, 0), (END, -1)]),
    "one side of a range": (
        ALL.filter(end__range=(Now(), datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC))),
        [(END, 0)],
    ),
    "what is excluded": (ALL.exclude(Q(end__lt=Now()) | Q(start=None)), [(END, 0)]),
    "either of two": (ALL.filter(Q(end__gt=Now()) | Q(start__lt=Now())), [(END, 0), (START, 0)]),
    "an F and an interval": (
        ALL.annotate(by=F("start") + F("length")).filter(by__gt=Now()),
        [(BY, 0)],
    ),
    "an alias of the time": (ALL.alias(n=Now()).filter(end__gt=F("n")), [(END, 0)]),
    "an annotated condition": (ALL.annotate(open=Q(end__gt=Now())).filter(open=True), [(END, 0)]),
    "an annotated case": (
        ALL.annotate(state=Case(When(end__gt=Now(), then=Value(1)), default=Value(0))),
        [(END, 0)],
    ),
    "an order": (
        ALL.order_by(Case(When(end__gt=Now(), then=Value(1)), default=Value(0))),
        [(END, 0)],
    ),
    "an age": (
        ALL.annotate(age=Now() - F("start")).values("pk").filter(age__gt=HOUR),
        [(START, 1)],
    ),
    "time left": (ALL.alias(left=F("end") - Now()).filter(left__lt=HOUR), [(END, -1)]),
    "a joined column": (
        ALL.filter(after__end__gt=Now()),
        [("Col(T2, app.Booking.end)", 0)],
    ),
    "the later of two": (
        ALL.annotate(by=Coalesce("end", "start")).filter(by__gt=Now()),
        [(f"Coalesce({END}, {START})", 0)],
    ),
}


@pytest.mark.parametrize("how", FOLLOWED)
def test_what_rows_cross_the_time_with_is_known(how: str) -> None:
    queryset, expected = FOLLOWED[how]
    assert offsets(queryset) == expected


class Today(Func):
    """A project's own."""

    function = "CURRENT_DATE"


UNFOLLOWED: dict[str, QuerySet[Any]] = {
    "the time itself": ALL.annotate(now=Now()),
    "how long ago": ALL.annotate(age=Now() - F("start")),
    "a day": ALL.filter(day__gte=TruncDate(Now())),
    "a day and a moment": ALL.filter(day__gte=Now()),
    "a year": ALL.filter(end__year=ExtractYear(Now())),
    "a subquery": ALL.filter(Exists(ALL.filter(after=OuterRef("pk"), end__gt=Now()))),
    "a count": ALL.annotate(some=Count("booking", filter=Q(booking__end__gt=Now()))),
    "a variable interval": ALL.filter(end__gt=Now() + F("length")),
    "SQL of one's own": ALL.filter(end__gt=RawSQL("CURRENT_TIMESTAMP", [])),
    "a function of one's own": ALL.filter(day=Today()),
    "a union": ALL.filter(end__gt=Now()).union(ALL.filter(start=None)),
}


@pytest.mark.parametrize("how", UNFOLLOWED)
def test_what_nobody_can_tell_is_said(how: str) -> None:
    clock = told(UNFOLLOWED[how])
    assert clock.pulse is None
    assert clock.unfollowed


def test_a_query_without_the_time_has_nothing_to_do_with_it() -> None:
    for queryset in (
        ALL,
        ALL.filter(end__gt=datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)),
        ALL.alias(n=Now()),
        Product.objects.filter(name="now()"),
        ALL.annotate(one=RawSQL("1", [])),
    ):
        assert told(queryset) == Clock()


def test_only_what_is_shown_drifts() -> None:
    shows = {how: told(queryset).pulse.shows for how, (queryset, _) in FOLLOWED.items()}  # type: ignore[union-attr]
    told_by_shown = {how for how, is_shown in shows.items() if is_shown}
    assert told_by_shown == {"an annotated condition", "an annotated case", "an order"}
