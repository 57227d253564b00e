"""What strangers can cause does not fill the log."""

from __future__ import annotations

import pytest

from bindserver.websocket.sparing import LINES, LINES_PER_SECOND, SparingLog
from tests.support.logs import logged


def test_few_lines_are_written_at_once_and_the_next_counts_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    log = SparingLog(lambda: now)
    for number in range(LINES + 7):
        log.warn(f"page {number}")
    assert logged(caplog) == [f"bindserver: page {number}" for number in range(LINES)]
    caplog.clear()
    now += 1 / LINES_PER_SECOND
    log.warn("another")
    log.warn("one more")
    assert logged(caplog) == ["bindserver: another (and 7 such lines before, left out)"]
