"""What is asked by bindings and by plain Django alike."""

from __future__ import annotations

from typing import Any

from django.db.models import F, IntegerField, QuerySet, Sum, TextField, Value
from django.db.models.functions import Cast, Concat
from django_cte import CTE, with_cte
from django_scopes import scope
from djmoney.money import Money

from tests.strangers.habits.models import Area, Bill, Memo


def below(name: str) -> QuerySet[Area]:
    """Return an area with all below it, and how deep each is."""

    def step(cte: CTE) -> Any:
        first = Area.objects.filter(name=name).values(
            "id",
            path=Cast("name", TextField()),  # PostgreSQL wants both terms of one type
            depth=Value(0, output_field=IntegerField()),
        )
        rest = cte.join(Area, parent=cte.col.id).values(
            "id",
            path=Concat(cte.col.path, Value("/"), F("name"), output_field=TextField()),
            depth=cte.col.depth + Value(1, output_field=IntegerField()),
        )
        return first.union(rest, all=True)

    cte = CTE.recursive(step, name="below")
    joined = cte.join(Area, id=cte.col.id).annotate(path=cte.col.path, depth=cte.col.depth)
    return with_cte(cte, select=joined).order_by("path")


def sums() -> QuerySet[Area]:
    """Return all areas, with how many people live in those right below."""
    totals = CTE(
        Area.objects.filter(parent__isnull=False).values("parent_id").annotate(total=Sum("people")),
        name="totals",
    )
    joined = totals.join(Area, id=totals.col.parent_id).annotate(total=totals.col.total)
    return with_cte(totals, select=joined).order_by("-total", "id")


def dear() -> QuerySet[Bill]:
    """Return the bills above ten euros."""
    return Bill.objects.filter(amount__gt=Money(10, "EUR")).order_by("-amount", "id")


def memos(firms: Any) -> QuerySet[Memo]:
    """Return the memos of some firms, in django-scopes' way."""
    with scope(firm=list(firms)):
        return Memo.objects.order_by("text", "id")
