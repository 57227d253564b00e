"""Woken by PostgreSQL's NOTIFY: where it is installed, does not arrive, or is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from django.core.management import call_command
from django.db import connections

from bindserver.capture.postgresql import listening
from bindserver.capture.postgresql.notifying import CHANNEL, Notifying
from tests.support.follower import Follower
from tests.support.postgresql import Bouncer, Cluster, PostgreSQLProgram

NEVER = 3600.0
LISTENERS = (
    "SELECT pid FROM pg_stat_activity "
    "WHERE datname = current_database() AND starts_with(query, 'LISTEN')"
)


@pytest.fixture
def program(postgresql_database: str) -> Iterator[PostgreSQLProgram]:
    program = PostgreSQLProgram(postgresql_database)
    program.add_products(1)
    yield program
    program.close()


@pytest.fixture
async def follower(program: PostgreSQLProgram) -> AsyncIterator[Follower]:
    follower = Follower(program)
    yield follower
    await asyncio.to_thread(follower.hub.stop)


def switch(*options: str) -> None:
    call_command("bindings", "capture", "install", *options, verbosity=0)


async def switch_meanwhile(*options: str) -> None:
    def work() -> None:
        switch(*options)
        connections["default"].close()  # this thread's own

    await asyncio.to_thread(work)


class TestInstalling:
    def test_on_and_off_again_and_never_by_itself(self, program: PostgreSQLProgram) -> None:
        switch()  # by now there are products, whose tags are read too
        notifying = Notifying(connections["default"])
        epoch = program.run("SELECT value FROM bindserver_meta WHERE name = 'epoch'")
        assert not notifying.is_on()
        for options, on in (
            (["--notify"], True),
            ([], True),
            (["--notify"], True),
            (["--no-notify"], False),
            (["--no-notify"], False),
            ([], False),
        ):
            switch(*options)
            assert notifying.is_on() is on
        assert program.run("SELECT value FROM bindserver_meta WHERE name = 'epoch'") == epoch
        assert program.run("SELECT * FROM pg_proc WHERE proname = 'bindserver__notify'") == []

    def test_a_migrate_keeps_what_is_installed(self, program: PostgreSQLProgram) -> None:
        switch("--notify")
        call_command("migrate", verbosity=0)
        assert Notifying(connections["default"]).is_on()

    def test_one_that_was_switched_off_by_hand_is_mended(self, program: PostgreSQLProgram) -> None:
        switch("--notify")
        program.run("ALTER TABLE bindserver_log DISABLE TRIGGER bindserver__notify")
        assert not Notifying(connections["default"]).is_on()
        switch("--notify")
        assert Notifying(connections["default"]).is_on()

    def test_removing_the_log_takes_it_away(self, program: PostgreSQLProgram) -> None:
        switch("--notify")
        call_command("bindings", "capture", "remove", verbosity=0)
        assert program.run("SELECT * FROM pg_proc WHERE proname LIKE 'bindserver%'") == []

    def test_status_says_so(
        self, program: PostgreSQLProgram, capsys: pytest.CaptureFixture[str]
    ) -> None:
        call_command("bindings", "capture", "status")
        assert "notifications: off" in capsys.readouterr().out
        switch("--notify")
        call_command("bindings", "capture", "status")
        assert "notifications: on" in capsys.readouterr().out

    def test_one_transaction_notifies_once_and_says_nothing(
        self, program: PostgreSQLProgram, postgresql_database: str
    ) -> None:
        switch("--notify")
        ear = PostgreSQLProgram(postgresql_database)
        ear.run(f"LISTEN {CHANNEL}")
        program.run("SET session_replication_role = replica")
        with program.transaction():
            program.run("INSERT INTO app_word VALUES ('a', 1)")
            program.run("UPDATE app_product SET stock = 5")
        program.run("UPDATE app_product SET stock = 6 WHERE false")
        heard = list(ear._connection.notifies(timeout=0.5))
        assert [(notice.channel, notice.payload) for notice in heard] == [(CHANNEL, "")]
        ear.close()


class TestListening:
    @pytest.fixture(autouse=True)
    def never_look(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without being told, a server that trusts in notifications sees nothing."""
        monkeypatch.setattr("bindserver.capture.log_source.NOTIFIED_SECONDS", NEVER)
        monkeypatch.setattr("bindserver.cycle.turn_taker.CHORES_SECONDS", NEVER)

    async def test_a_write_of_another_program_wakes(self, follower: Follower) -> None:
        await switch_meanwhile("--notify")
        await follower.subscribe()
        await follower.until_it_rests(NEVER)
        for _ in range(20):
            await follower.sees_writes()

    async def test_without_it_nobody_listens(
        self, follower: Follower, program: PostgreSQLProgram
    ) -> None:
        await follower.subscribe()
        await follower.sees_writes()
        follower.source._schema_at = 0.0
        await follower.until(lambda: follower.source._schema_at > 0.0)
        assert program.run(LISTENERS) == []
        assert follower.source.pause(quiet=False) < 1

    async def test_it_is_found_and_left_while_a_server_runs(
        self, follower: Follower, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await follower.subscribe()
        await switch_meanwhile("--notify")
        await follower.until_it_rests(NEVER)
        await follower.sees_writes()
        monkeypatch.setattr("bindserver.capture.log_source.NOTIFIED_SECONDS", 0.5)
        await follower.sees_writes()  # which has it look every half second from here on
        await switch_meanwhile("--no-notify")
        await follower.until_it_rests(0.01)
        await follower.sees_writes()

    async def test_a_lost_connection_is_polled_for_and_opened_again(
        self, follower: Follower, program: PostgreSQLProgram
    ) -> None:
        await switch_meanwhile("--notify")
        await follower.subscribe()
        await follower.until_it_rests(NEVER)
        [(pid,)] = program.run(LISTENERS)
        program.run("SELECT pg_terminate_backend(?)", pid)
        await follower.until_it_rests(0.01)
        await follower.sees_writes()
        await follower.until_it_rests(NEVER)
        await follower.sees_writes()
        [(other,)] = program.run(LISTENERS)
        assert other != pid

    async def test_words_that_do_not_arrive_prove_nothing(
        self, follower: Follower, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listening, "ANSWER_SECONDS", 0.0)
        monkeypatch.setattr(listening.ListeningConnection, "_take", lambda self, libpq: False)
        await switch_meanwhile("--notify")
        await follower.subscribe()
        notices = follower.source._notices
        assert isinstance(notices, listening.ListenNotices)
        await follower.until(lambda: notices._listener)
        await follower.until(lambda: not notices._listener)
        await follower.until_it_rests(0.01)
        await follower.sees_writes()

    async def test_behind_a_pooler_the_log_is_looked_at(
        self, follower: Follower, program: PostgreSQLProgram, postgresql: Cluster
    ) -> None:
        await switch_meanwhile("--notify")
        bouncer = Bouncer(postgresql).start()
        try:
            connections.settings["default"]["PORT"] = bouncer.port
            await follower.subscribe()
            listener = follower.source._notices
            assert isinstance(listener, listening.ListenNotices)
            await follower.until(lambda: listener._listener and listener._listener.ended)
            await follower.until_it_rests(0.01)
            await follower.sees_writes()
            assert program.run(LISTENERS) == []
            await asyncio.to_thread(follower.hub.stop)
        finally:
            bouncer.stop()
