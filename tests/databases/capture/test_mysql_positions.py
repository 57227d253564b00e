"""What is special to positions on MariaDB: holes, and what is remembered of them."""

from __future__ import annotations

import time

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from bindserver.capture.mysql import holes
from bindserver.capture.mysql import log as mysql_log
from bindserver.capture.mysql.log import MySQLLog
from bindserver.capture.mysql.marks import BRIEF_LENGTH, Mark, parse
from bindserver.engine.changes import Position
from tests.databases.capture.logged import CATEGORY, Another, add, begin, keys, since
from tests.support.program import Program


@pytest.fixture(scope="module")
def vendor() -> str:
    return "mysql"


@pytest.fixture
def url(on_maria: Program) -> str:
    """The module's database, emptied."""
    return on_maria.url


@pytest.fixture
def log(on_maria: Program) -> MySQLLog:
    """A log with one entry, and nothing that a test before has left."""
    on_maria.run("DELETE FROM bindserver_meta WHERE name IN ('mark', 'purged')")
    on_maria.run("DELETE FROM bindserver_log")
    on_maria.run("INSERT INTO app_word VALUES ('first', 1)")
    ((high, nonce),) = on_maria.run("SELECT id, nonce FROM bindserver_log")
    mark = Mark(high=high, nonce=nonce).text()
    on_maria.run("INSERT INTO bindserver_meta VALUES ('mark', %s)", mark)
    return MySQLLog(connections["default"])


def probe(log: MySQLLog, times: int = holes.PROBES) -> None:
    """Let the log look after its holes, as it does every few seconds."""
    for _ in range(times):
        log._holes._probe_at = 0.0
        log.commit_mark()


def test_many_entries_in_a_row_are_counted_and_not_listed(log: MySQLLog, program: Program) -> None:
    log.position()
    add(program, *range(1, 60))
    with CaptureQueriesContext(connections["default"]) as asked:
        position = log.position()
    assert not any("ORDER BY id" in item["sql"].rpartition("FROM")[2] for item in asked)
    ((high, nonce),) = program.run("SELECT id, nonce FROM bindserver_log ORDER BY id DESC LIMIT 1")
    assert parse(position.mark) == Mark(high=high, nonce=nonce)


class TestLateCommits:
    def test_a_reader_of_all_above_the_newest_number_would_lose_it(
        self, log: MySQLLog, program: Program, another: Another
    ) -> None:
        """The fault that all this is about: what is tested of late commits must be able to fail."""
        late = begin(another, 1)
        add(program, 2)
        mark = parse(log.position().mark)
        late.run("COMMIT")
        naive = Position(
            epoch=log.position().epoch, mark=Mark(high=mark.high, nonce=mark.nonce).text()
        )
        assert since(log, naive) == {}

    def test_a_prepared_transaction_of_nobody_is_waited_for(
        self, log: MySQLLog, program: Program, another: Another
    ) -> None:
        writer = another()
        writer.run("XA START 'it'")
        add(writer, 1)
        writer.run("XA END 'it'")
        writer.run("XA PREPARE 'it'")
        writer.run("SELECT 1")
        add(program, 2)
        position = log.position()
        probe(log)
        assert parse(log.position().mark).holes
        writer.run("XA COMMIT 'it'")
        assert since(log, position) == keys(1)

    def test_fifty_thousand_rows_in_one_statement_committed_late(
        self, log: MySQLLog, program: Program, another: Another
    ) -> None:
        program.add_products(50_000)
        late = another()
        late.run("BEGIN")
        late.run("UPDATE app_product SET stock = stock + 1")
        add(program, 1)
        position = log.position()
        assert len(position.mark) < 60
        probe(log)
        late.run("COMMIT")
        logged = since(log, position)
        assert logged is not None
        assert len(logged["app_product"] or ()) == 50_000

    def test_a_cursor_s_mark_stays_short_with_very_many_holes(
        self, log: MySQLLog, program: Program, another: Another
    ) -> None:
        late = begin(another, 1)
        for number in range(1000, 1400, 2):
            add(program, number)
            add(late, number + 1)
        position = log.position()
        brief = Position(epoch=position.epoch, mark=position.brief)
        assert len(brief.mark) <= BRIEF_LENGTH < len(position.mark)
        late.run("COMMIT")
        numbers = {"1", *map(str, range(1001, 1401, 2))}
        assert since(log, position) == {CATEGORY: numbers}
        logged = since(log, brief)
        assert logged is not None
        assert (logged[CATEGORY] or set()) > numbers
        assert log.position() != position


class TestHoles:
    def test_what_was_rolled_back_is_given_up_in_time(
        self, log: MySQLLog, program: Program, another: Another
    ) -> None:
        log.position()
        begin(another, 1).run("ROLLBACK")
        add(program, 2)
        assert parse(log.position().mark).holes
        probe(log, holes.PROBES - 1)
        assert parse(log.position().mark).holes
        probe(log, 1)
        assert not parse(log.position().mark).holes

    def test_what_may_be_committed_yet_is_never_given_up(
        self, log: MySQLLog, program: Program, another: Another
    ) -> None:
        begin(another, 1).run("ROLLBACK")
        add(program, 2)
        late = begin(another, 3)
        begin(another, 4).run("ROLLBACK")
        add(program, 5)
        position = log.position()
        probe(log, 10)
        assert len(parse(log.position().mark).holes) == 1
        late.run("COMMIT")
        assert since(log, position) == keys(3)
        assert since(log, log.position()) == {}

    def test_looking_after_holes_keeps_no_writer_out(
        self, log: MySQLLog, program: Program, another: Another
    ) -> None:
        late = begin(another, 1)
        add(program, 2)
        log.position()
        probe(log)
        late.run("SET innodb_lock_wait_timeout = 1")
        add(late, 3)
        late.run("COMMIT")
        assert log.position()

    def test_a_big_load_in_a_snapshot_of_its_own_inherits_them(
        self, log: MySQLLog, program: Program, another: Another
    ) -> None:
        late = begin(another, 1)
        add(program, 2)
        wanted_at = log.position()
        position = MySQLLog(connections["default"]).position(wanted_at)
        late.run("COMMIT")
        assert since(log, position) == keys(1)

    def test_a_big_load_begins_from_what_the_cycle_knows(
        self, log: MySQLLog, program: Program, another: Another
    ) -> None:
        begin(another, 1).run("ROLLBACK")
        add(program, 2)
        log.position()
        probe(log)
        wanted_at = log.position()
        assert MySQLLog(connections["default"]).position(wanted_at) == wanted_at
        add(program, 3)
        position = MySQLLog(connections["default"]).position(wanted_at)
        assert not parse(position.mark).holes
        assert position == log.position()

    def test_a_big_load_that_begins_after_a_restore_takes_nothing_for_known(
        self, log: MySQLLog, program: Program
    ) -> None:
        wanted_at = log.position()
        log.renew()
        high = parse(wanted_at.mark).high
        foreign = Position(epoch=wanted_at.epoch, mark=Mark(high=high + 5, nonce=1).text())
        add(program, 1)
        for told in (wanted_at, foreign):
            assert MySQLLog(connections["default"]).position(told) == log.position()

    def test_a_new_process_inherits_them_though_a_mark_was_kept_meanwhile(
        self, log: MySQLLog, program: Program, another: Another
    ) -> None:
        late = begin(another, 1)
        add(program, 2)
        log.position()
        log.purge(1e6, 10, wait=True)  # which keeps the mark
        add(program, 3)
        process = MySQLLog(connections["default"])
        position = process.position()
        assert len(parse(position.mark).holes) == 1
        late.run("COMMIT")
        assert since(process, position) == keys(1)

    def test_a_new_process_begins_from_the_kept_mark(
        self, log: MySQLLog, program: Program, another: Another
    ) -> None:
        begin(another, 1).run("ROLLBACK")
        add(program, 2)
        log.position()
        probe(log)
        log.purge(1e6, 10, wait=True)
        process = MySQLLog(connections["default"])
        assert process.position() == log.position()

    def test_the_kept_mark_loses_the_holes_that_were_given_up_though_nobody_writes(
        self, log: MySQLLog, program: Program, another: Another
    ) -> None:
        begin(another, 1).run("ROLLBACK")
        add(program, 2)
        log.position()
        log.purge(1e6, 10, wait=True)
        probe(log)
        log.purge(1e6, 10, wait=True)
        assert not parse(MySQLLog(connections["default"]).position().mark).holes

    def test_a_kept_mark_never_goes_back(
        self, log: MySQLLog, program: Program, another: Another
    ) -> None:
        lagging = MySQLLog(connections["default"])
        add(program, 1)
        lagging.position()
        add(program, 2)
        log.position()
        log.purge(1e6, 10, wait=True)
        kept = program.run("SELECT value FROM bindserver_meta WHERE name = 'mark'")
        lagging._known = Mark()
        lagging.purge(1e6, 10, wait=True)
        assert program.run("SELECT value FROM bindserver_meta WHERE name = 'mark'") == kept


class TestLooking:
    def moved(self, log: MySQLLog, mark: object) -> bool:
        log._poll_at = 0.0
        return log.commit_mark() != mark

    def test_what_is_committed_while_the_log_is_purged_is_noticed(
        self, log: MySQLLog, program: Program, another: Another
    ) -> None:
        late = begin(another, 1)
        add(program, 2)
        log.position()
        mark = log.commit_mark()
        late.run("COMMIT")
        log.purge(1e6, 10, wait=True)
        assert self.moved(log, mark)

    def test_a_look_past_very_many_open_entries_is_taken_less_often(
        self,
        log: MySQLLog,
        program: Program,
        another: Another,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(mysql_log, "SLOW_POLL_SECONDS", 0.001)
        program.add_products(20_000)
        log.position()
        late = another()
        late.run("BEGIN")
        late.run("UPDATE app_product SET stock = stock + 1")
        add(program, 1)
        log.position()
        log._poll_at = 0.0
        log.commit_mark()
        assert log._poll_at > time.monotonic()

    def test_nobody_is_taken_for_idle_whose_log_was_never_read(self, on_maria: Program) -> None:
        log = MySQLLog(connections["default"])
        assert log.commit_mark() != log.commit_mark()


class TestProofs:
    def test_what_servers_still_ask_for_is_not_purged_from_under_them(
        self, log: MySQLLog, program: Program, another: Another
    ) -> None:
        add(program, 1)
        begin(another, 2).run("ROLLBACK")
        add(program, 3)
        position = log.position()
        assert parse(position.mark).holes
        add(program, 4)
        log.purge(-10, 10_000, wait=True)
        assert since(log, position) == keys(4)
        program.age(3600)
        log.purge(-10, 10_000, wait=True)
        assert log.changes(position) is None

    def test_nor_where_a_clock_of_ours_is_ahead_of_the_database_s(
        self,
        log: MySQLLog,
        program: Program,
        another: Another,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        late = begin(another, 1)
        add(program, 2, 3)
        position = log.position()
        late.run("ROLLBACK")
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 3600)
        log.purge(60, 100, wait=True)
        assert since(log, position) == {}

    def test_what_is_not_committed_is_not_kept_as_seen_by_who_may_read_it(
        self, log: MySQLLog, program: Program, another: Another
    ) -> None:
        late = begin(another, 1)
        add(program, 2)
        with connections["default"].cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
        log.purge(60, 100, wait=True)
        fresh = MySQLLog(connections["default"])
        position = fresh.position()
        late.run("COMMIT")
        assert since(fresh, position) == keys(1)

    def test_a_late_commit_that_is_old_already_is_not_purged_unseen(
        self, log: MySQLLog, program: Program, another: Another
    ) -> None:
        """Its entry bears the time of its writing, a day ago; who has it for a hole is told so."""
        late = begin(another, 1)
        add(program, 2, 3)
        position = log.position()
        program.age(3600)
        log.purge(60, 10_000, wait=True)
        late.run("UPDATE bindserver_log SET at = 1 WHERE tbl = 'app_category' AND pk = '1'")
        late.run("COMMIT")
        assert since(log, position) == keys(1)
        log.position()
        add(program, 4)
        log.purge(1e6, 10_000, wait=True)
        log.purge(0, 10_000, wait=True)
        assert log.changes(position) is None

    def test_a_new_run_of_the_server_is_a_new_epoch(self, log: MySQLLog) -> None:
        position = log.position()
        log._run = (connections["default"].connection, "another run")
        assert log.changes(position) is None

    def test_two_connections_to_one_run_agree(self, log: MySQLLog) -> None:
        position = log.position()
        for _ in range(5):
            connections["default"].close()
            assert MySQLLog(connections["default"]).position() == position
