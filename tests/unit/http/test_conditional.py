"""Which copies of an answer are the present one."""

from __future__ import annotations

import pytest
from django.test import RequestFactory
from django.utils.http import http_date

from bindserver.http.conditional import YOUNG_SECONDS, is_known

MODIFIED = 1_700_000_000.5


@pytest.mark.parametrize(
    ("age", "known"),
    [(0.0, False), (YOUNG_SECONDS, False), (YOUNG_SECONDS + 0.1, True), (86_400.0, True)],
)
def test_a_date_counts_once_its_second_is_surely_over(
    rf: RequestFactory, monkeypatch: pytest.MonkeyPatch, age: float, known: bool
) -> None:
    monkeypatch.setattr("bindserver.http.conditional.time.time", lambda: MODIFIED + age)
    request = rf.get("/", HTTP_IF_MODIFIED_SINCE=http_date(int(MODIFIED)))
    assert is_known(request, '"tag"', MODIFIED) is known


@pytest.mark.parametrize("seconds", [-1, 1, 3600])
def test_another_date_does_not(rf: RequestFactory, seconds: int) -> None:
    request = rf.get("/", HTTP_IF_MODIFIED_SINCE=http_date(int(MODIFIED) + seconds))
    assert not is_known(request, '"tag"', MODIFIED)


def test_none_does_where_nobody_knows_when_the_rows_changed(rf: RequestFactory) -> None:
    assert not is_known(rf.get("/", HTTP_IF_MODIFIED_SINCE=http_date(0)), '"tag"', None)
