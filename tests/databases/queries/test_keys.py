"""Primary keys that databases hold otherwise than Python: any row of their tables may be meant."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.db import connection, models
from django.test.utils import isolate_apps

from bindserver.capture import tables
from tests.app.bindings import MomentBinding, StretchBinding
from tests.app.models import Moment, Stretch
from tests.support.turning import Turning


def test_moments_and_stretches_of_time_are_followed(turning: Turning) -> None:
    first, second = (datetime.datetime(2026, 1, day, 12, tzinfo=datetime.UTC) for day in (1, 2))
    hour = datetime.timedelta(hours=1)
    moments = turning.follow(MomentBinding(), "at")
    stretches = turning.follow(StretchBinding(), "length")
    turning.turn()
    for number, at in enumerate((first, second), start=1):
        moment = Moment.objects.create(at=at, text=f"moment {number}")
        Stretch.objects.create(length=number * hour, moment=moment)
    turning.turn()
    assert moments.column("text") == ["moment 1", "moment 2"]
    assert stretches.column("length") == ["01:00:00", "02:00:00"]
    Moment.objects.filter(at=first).update(text="moment 3")
    turning.turn()
    assert moments.column("text") == ["moment 3", "moment 2"]
    assert stretches.column("length") == ["02:00:00", "01:00:00"]
    Stretch.objects.filter(length=hour).delete()
    Moment.objects.filter(at=first).delete()
    turning.turn()
    assert moments.column("text") == ["moment 2"]
    assert stretches.column("length") == ["02:00:00"]


class LabelField(models.IntegerField):  # type: ignore[type-arg]  # it takes none at run time
    """Numbers, of which Python sees labels."""

    def from_db_value(self, value: int, *_: Any) -> str:
        return f"label {value}"


class UnsignedField(models.Field):  # type: ignore[type-arg]  # it takes none at run time
    """A column's type, and nothing of how a text becomes such a value."""

    def db_type(self, connection: Any) -> str:
        return "bigint unsigned"


def test_a_project_s_own_field_that_reads_no_texts_is_told_by_table(monkeypatch: Any) -> None:
    with isolate_apps("tests.app") as apps:

        class Big(models.Model):
            id = UnsignedField(primary_key=True)

            class Meta:
                app_label = "app"

    monkeypatch.setattr(tables, "apps", apps)
    assert tables.untold(connection) == {"app_big"}


def test_what_a_project_s_own_field_makes_of_a_key_is_not_known(monkeypatch: Any) -> None:
    with isolate_apps("tests.app") as apps:

        class Labelled(models.Model):
            id = LabelField(primary_key=True)

            class Meta:
                app_label = "app"

        class Part(Labelled):
            class Meta:
                app_label = "app"

        class Usual(models.Model):
            part = models.ForeignKey(Part, on_delete=models.CASCADE)

            class Meta:
                app_label = "app"

        monkeypatch.setattr(tables, "apps", apps)
        assert tables.untold(connection) == {"app_labelled", "app_part"}


def test_a_key_of_several_columns_is_told_by_table(monkeypatch: pytest.MonkeyPatch) -> None:
    with isolate_apps("tests.app") as apps:

        class Pair(models.Model):
            pk = models.CompositePrimaryKey("left", "right")
            left = models.IntegerField()
            right = models.IntegerField()

            class Meta:
                app_label = "app"

    monkeypatch.setattr(tables, "apps", apps)
    assert tables.tracked(["app_pair"]) == [tables.Tracked(table="app_pair", pk="left")]
    assert tables.untold(connection) == {"app_pair"}
