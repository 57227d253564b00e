"""PostgreSQL's snapshots as positions: how they are written and read again."""

from __future__ import annotations

from typing import Any

from bindserver.capture.postgresql.snapshots import Mark


def test_marks_are_read_as_they_were_written() -> None:
    def of(snapshot: str) -> Any:
        return Mark.of(snapshot, (7, 8))

    assert of("10:20:10,15").dump() == "10:10:0,5~7.8"
    assert Mark.load("10:10:0,5~7.8") == of("10:20:10,15")
    assert of("10:10:").dump() == "10:0:~7.8"
    assert of("10:20:10,15").saw_all_below(10)
    assert not of("10:20:10,15").saw_all_below(11)
    assert of("10:20:").saw_all_below(20)
    assert not of("10:20:").saw_all_below(21)


def test_a_position_with_very_many_open_transactions_has_a_brief_mark() -> None:
    open_ids = tuple(range(1000, 2000, 2))
    mark = Mark(xmin=1000, xmax=5000, open=open_ids, entry=(900, 5))
    assert Mark.load(mark.dump()) == mark
    brief = Mark.load(mark.brief())
    assert len(mark.brief()) < 200
    assert (brief.xmin, brief.xmax, brief.open) == (1000, 1000, ())
    short = Mark(xmin=1, xmax=2, open=(1,), entry=(0, 0))
    assert short.brief() == short.dump()
