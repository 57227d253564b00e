"""What positions of the change log prove, and what purging leaves, on every kind of database."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import Error, connections

from bindserver.capture.log import Log
from bindserver.capture.mysql import log as mysql_log
from bindserver.engine.changes import Position
from tests.conftest import EVERY_DATABASE
from tests.databases.capture.logged import Another, Logged, add, begin, keys, since
from tests.support.program import Program

WITH_CONCURRENT_WRITERS = pytest.mark.parametrize("vendor", ["postgresql", "mysql"], indirect=True)
WITH_NUMBERED_ENTRIES = pytest.mark.parametrize("vendor", ["sqlite", "mysql"], indirect=True)

PURGING = "LEFT(SHA2(CONCAT(DATABASE(), ' ', 'purge'), 256), 40)"
HINDRANCES = {
    "mysql": (f"SELECT GET_LOCK({PURGING}, 0)", f"SELECT RELEASE_LOCK({PURGING})"),
    "postgresql": (f"SELECT pg_advisory_xact_lock({0x62696E64 + 1})", "SELECT 1"),
    "sqlite": ("SELECT 1", "SELECT 1"),
}
"""What a transaction has beside to keep others from purging, and what ends that."""


@pytest.fixture(autouse=True)
def looks_are_never_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every look on MariaDB be a look, however busy this machine is."""
    monkeypatch.setattr(mysql_log, "SLOW_POLL_SECONDS", 60.0)


@EVERY_DATABASE
class TestProofs:
    def test_the_empty_log_is_a_position_too(self, log: Log, program: Program) -> None:
        position = log.position()
        assert since(log, position) == {}
        add(program, 1, 2)
        assert since(log, position) == keys(1, 2)

    def test_a_position_sees_what_came_after_it_and_no_more(
        self, log: Log, program: Program
    ) -> None:
        positions = [log.position()]
        for number in (1, 2, 3):
            add(program, number)
            positions.append(log.position())
        assert [since(log, position) for position in positions] == [
            keys(1, 2, 3),
            keys(2, 3),
            keys(3),
            {},
        ]

    def test_another_epoch_proves_nothing(self, log: Log) -> None:
        position = log.position()
        assert log.changes(position) == []
        assert log.changes(Position(epoch="another", mark=position.mark)) is None

    @pytest.mark.parametrize("mark", ["12", "7.-99", "1f.3", "742:2:0,1~740.12", "", "a:b:c~d.e"])
    def test_a_mark_of_another_capture_or_database_proves_nothing(
        self, log: Log, mark: str
    ) -> None:
        assert log.changes(Position(epoch="another", mark=mark)) is None
        assert log.changes(log.position()) == []

    def test_a_new_epoch_ends_what_the_one_before_could_prove(
        self, log: Log, program: Program
    ) -> None:
        add(program, 1)
        position = log.position()
        log.renew()
        assert log.position().epoch != position.epoch
        assert log.changes(position) is None

    def test_a_log_that_was_deleted_from_proves_nothing(self, log: Log, program: Program) -> None:
        add(program, 1)
        position = log.position()
        program.run("DELETE FROM bindserver_log")
        assert log.changes(position) is None

    def test_a_commit_is_noticed_and_a_turn_later_no_more(self, log: Log, program: Program) -> None:
        log.position()
        mark = log.commit_mark()
        assert not log.moved(mark)
        add(program, 1)
        assert log.moved(mark)
        mark = log.commit_mark()
        log.position()
        assert not log.moved(mark)

    def test_a_look_at_a_lost_connection_raises_what_django_does(self, log: Log) -> None:
        log.position()
        log.commit_mark()
        connection = connections["default"]
        connection.connection.close()
        with pytest.raises(Error):
            log.commit_mark()
        connection.connection = None


@EVERY_DATABASE
class TestPurging:
    def test_a_purged_position_proves_nothing(self, log: Log, program: Program) -> None:
        empty = log.position()
        add(program, 1)
        early = log.position()
        add(program, 2)
        program.age(3600)
        late = log.position()
        assert log.purge(60, 1000, wait=True) == 1
        assert log.changes(empty) is None
        assert log.changes(early) is None
        assert since(log, late) == {}

    def test_is_not_held_up_by_what_was_dated_when_a_clock_was_ahead(
        self, log: Log, program: Program
    ) -> None:
        add(program, 1)
        program.age(-1_000_000)
        add(program, 2, 3)
        assert log.purge(60, 10, wait=True) + log.purge(-10, 10, wait=True) == 2

    def test_waits_for_nobody_who_keeps_it_from_purging(
        self, log: Log, program: Program, other: Program, vendor: str
    ) -> None:
        """On SQLite that is whoever writes, elsewhere whoever purges."""
        add(program, 1, 2, 3)
        program.age(3600)
        began = time.monotonic()
        with other.transaction():
            take, leave = HINDRANCES[vendor]
            other.run(take)
            assert log.purge(60, 1000, wait=False) == 0
            other.run(leave)
        assert time.monotonic() - began < 30
        assert log.purge(60, 1000, wait=False) == 2

    def test_takes_the_oldest_entries_only_and_spares_the_newest(
        self, log: Log, program: Program, vendor: str
    ) -> None:
        add(program, *range(1, 11))
        assert log.purge(60, 1000, wait=True) == 0
        program.age(3600)
        add(program, 11)
        young = log.position()
        add(program, 12, 13)
        assert log.purge(60, 4, wait=True) == 4
        newest_of_the_old = vendor == "postgresql"  # which stays there
        assert log.purge(60, 1000, wait=False) == 6 - newest_of_the_old
        assert log.purge(60, 1000, wait=False) == 0
        assert since(log, young) == keys(12, 13)
        program.age(3600)
        log.purge(60, 1000, wait=True)
        assert log.status()["entries"] == 1


@EVERY_DATABASE
class TestPlansOfPurging:
    def test_say_what_a_purge_deletes_and_change_nothing(
        self, log: Log, program: Program, vendor: str
    ) -> None:
        add(program, *range(1, 11))
        program.age(3600)
        add(program, 11, 12)
        before, numbers = contents(program), numbers_of(program, vendor)
        plan = log.plan_purge(60)
        assert contents(program) == before
        assert plan.entries == (9 if vendor == "postgresql" else 10)
        assert plan.oldest is not None
        assert 3600 <= time.time() - plan.oldest < 3660
        assert log.purge(60, 1000, wait=True) == plan.entries
        assert plan.last.split()[-1] == str(numbers[plan.entries - 1])
        assert numbers_of(program, vendor) == numbers[plan.entries :]
        assert log.plan_purge(60).entries == 0

    def test_have_the_newest_entry_stay(self, log: Log, program: Program) -> None:
        assert log.plan_purge(60).oldest is None
        add(program, *range(1, 6))
        program.age(3600)
        assert log.plan_purge(7200).entries == 0
        assert log.plan_purge(60).entries == 4
        assert log.purge(60, 1000, wait=True) == 4

    def test_need_no_server_to_have_run_where_nothing_is_to_be_kept(
        self, log: Log, program: Program
    ) -> None:
        add(program, 1, 2, 3)
        keep = -10  # times are whole seconds on some
        assert log.plan_purge(keep).entries == 2
        assert log.purge(keep, 1000, wait=True) == 2


@WITH_CONCURRENT_WRITERS
def test_a_plan_stops_at_what_is_not_committed_yet(
    log: Log, program: Program, another: Another
) -> None:
    late = begin(another, 1)
    add(program, 2, 3)
    program.age(3600)
    assert log.plan_purge(60).entries == 0
    assert log.purge(60, 1000, wait=True) == 0
    late.run("COMMIT")
    assert len(program.run("SELECT * FROM bindserver_log")) == 3


def contents(program: Program) -> list[tuple[Any, ...]]:
    """Return all of a log's entries, and what is kept beside them."""
    kept = program.run("SELECT name, value FROM bindserver_meta ORDER BY name")
    return program.run("SELECT * FROM bindserver_log ORDER BY 1") + kept


def numbers_of(program: Program, vendor: str) -> list[int]:
    """Return the numbers of a log's entries, or of their transactions, in order."""
    column = "xid::text::bigint" if vendor == "postgresql" else "id"
    return [int(n) for (n,) in program.run(f"SELECT {column} FROM bindserver_log ORDER BY 1")]


@WITH_NUMBERED_ENTRIES
def test_an_old_entry_among_young_ones_stays(log: Log, program: Program) -> None:
    """A clock that was set back must not tear a hole into the log."""
    add(program, 1, 2, 3)
    program.run("UPDATE bindserver_log SET at = 1 WHERE id = 2")
    assert log.purge(60, 1000, wait=True) == 0


@WITH_CONCURRENT_WRITERS
class TestLateCommits:
    """The classic lost row: one that began earlier and is committed later than others."""

    def test_is_not_lost(self, log: Log, program: Program, another: Another) -> None:
        early = log.position()
        late = begin(another, 1)
        add(program, 2)
        between = log.position()
        assert since(log, early) == keys(2)
        assert since(log, between) == {}
        late.run("COMMIT")
        assert since(log, between) == keys(1)
        assert since(log, early) == keys(1, 2)
        assert since(log, log.position()) == {}

    def test_in_every_order(self, log: Log, another: Another) -> None:
        position = log.position()
        writers = [begin(another, number) for number in (1, 2, 3, 4)]
        seen: list[Logged | None] = []
        for number in (3, 1, 4, 2):
            writers[number - 1].run("COMMIT")
            seen.append(since(log, position))
            position = log.position()
        assert seen == [keys(3), keys(1), keys(4), keys(2)]

    def test_parts_of_one_transaction_before_and_after_others(
        self, log: Log, program: Program, another: Another
    ) -> None:
        late = begin(another, 1)
        add(program, 2)
        add(late, 3)
        add(program, 4)
        position = log.position()
        late.run("COMMIT")
        assert since(log, position) == keys(1, 3)

    def test_wakes_whoever_looks(self, log: Log, program: Program, another: Another) -> None:
        first, second = begin(another, 1), begin(another, 2)
        add(program, 3)
        log.position()
        mark = log.commit_mark()
        assert not log.moved(mark)
        first.run("COMMIT")
        assert log.moved(mark)
        mark = log.commit_mark()
        log.position()
        second.run("COMMIT")
        assert log.moved(mark)

    def test_purging_takes_nothing_that_a_long_transaction_may_still_commit(
        self, log: Log, program: Program, another: Another
    ) -> None:
        add(program, 1)
        late = begin(another, 2)
        add(program, 3, 4)
        program.age(3600)
        position = log.position()
        log.purge(60, 1000, wait=True)
        late.run("COMMIT")
        log.purge(60, 1000, wait=True)
        assert since(log, position) == keys(2)
