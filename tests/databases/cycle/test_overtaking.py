"""A snapshot that a TRUNCATE or a rebuilt table overtakes: nobody is sent a state that never was.

Another program acts in the very moment between a turn's snapshot and its first read of a table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest
from django.db import connections

from bindserver.cycle.cycle import Cycle
from bindserver.cycle.inbox import Caller, Hint, SessionRequest, SnapshotRequest, SubscriptionRef
from bindserver.cycle.lanes import Lanes
from bindserver.cycle.live_view import ViewState
from bindserver.cycle.load_messages import Loaded, Wanted
from bindserver.database.snapshot import in_snapshot
from bindserver.engine.effects import Ask
from bindserver.engine.events import Answered, Published, Rejected
from bindserver.engine.protocol import Subscribe
from bindserver.queries import reading
from tests.app.bindings import ProductBinding
from tests.support.postgresql import PostgreSQLProgram

EMPTIED = "TRUNCATE app_product CASCADE", "INSERT INTO app_product VALUES (9, 'new', NULL, 1, 0, 1)"
RETAGGED = "TRUNCATE app_tag CASCADE", "INSERT INTO app_tag VALUES (1, 'closed')"


class Turns:
    """A cycle whose turns the test takes, one by one, and a listener who hears all of them.

    Args:
        program: another program.

    Attributes:
        heard: what the listener has heard.
        behind: who was said to be behind, after each turn that had something to say.
    """

    loop: Any = None

    def __init__(self, program: PostgreSQLProgram) -> None:
        self.heard: list[Any] = []
        self.behind: list[Any] = []
        self.cycle = Cycle("default", b"secret")
        self.cycle._store.lanes = Lanes(endless=True)  # a busy machine is not to change the turns
        fanout: Any = self.cycle._fanout
        fanout.send = self._deliver
        self._program = program
        self._numbers = 0
        connection, _ = self.cycle._link.connect()
        connection.execute_wrappers.append(self._execute)
        self._plans: list[tuple[str, tuple[str, ...]]] = []

    def before_reading(self, table: str, *statements: str) -> None:
        """Have the program commit these in one transaction before the next read of a table."""
        quote = connections["default"].ops.quote_name
        self._plans.append((f"FROM {quote(table)}", statements))

    def _execute(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if in_snapshot() and self._plans and self._plans[0][0] in sql:
            _, statements = self._plans.pop(0)
            with self._program.transaction():
                for statement in statements:
                    self._program.run(statement)
        return execute(sql, params, many, context)

    def subscribe(self, event: str, **data: Any) -> SubscriptionRef:
        """Hand in a subscription."""
        self._numbers += 1
        message = Subscribe(event=event, params={}, **data)
        request = SessionRequest(self, Caller(), Ask(number=self._numbers, message=message))
        self.cycle.ask(request)
        return request.ref

    def take(self) -> None:
        """Take a turn, with all that was handed in."""
        assert not self._plans or self.cycle._queue
        self.cycle._take_turn(self.cycle._queue.take())

    def take_all(self) -> None:
        """Take turns until nothing is asked for any more."""
        self.take()
        while self.cycle._queue:
            self.take()
        assert not self._plans

    def _deliver(self, outbound: Any, state: str, behind: Any) -> None:
        self.behind.append(behind)
        for refs, event in outbound:
            for ref in refs:
                ref.listener.hear(ref.number, event)

    def hear(self, number: int, event: Any) -> None:
        self.heard.append(event)

    def fail(self) -> None:
        raise AssertionError

    def settle(self, state: str) -> None:
        """Nothing: `behind` says for whom it would be called."""

    @property
    def frames(self) -> list[tuple[str, Any]]:
        """The action and payload of each frame that was heard, in order."""
        told = [e for e in self.heard if isinstance(e, (Published, Answered))]
        data = [json.loads(frame.text)["data"] for event in told for frame in event.frames]
        return [(item["action"], item.get("payload")) for item in data]


@pytest.fixture
def program(postgresql_database: str) -> Iterator[PostgreSQLProgram]:
    program = PostgreSQLProgram(postgresql_database)
    yield program
    program.close()


@pytest.fixture
def turns(program: PostgreSQLProgram) -> Iterator[Turns]:
    usual = connections["default"]
    turns = Turns(program)
    yield turns
    turns.cycle._loader.stop()
    turns.cycle._link.close()
    connections["default"] = usual


def ids(payload: Any) -> list[int]:
    return [row["id"] for row in payload]


class TestAView:
    def test_takes_no_rows_of_a_table_that_was_emptied_after_the_snapshot(
        self, turns: Turns, program: PostgreSQLProgram
    ) -> None:
        program.add_products(2)
        turns.subscribe("products")
        turns.take_all()
        program.run("UPDATE app_product SET stock = 1 WHERE id = 1")
        turns.before_reading("app_product", *EMPTIED)
        turns.cycle.ask(Hint())
        turns.take()
        assert [action for action, _ in turns.frames] == ["sync"]
        turns.take_all()
        (_, _), (action, payload) = turns.frames
        assert action == "batch"
        assert [(c["action"], c["payload"]["id"]) for c in payload] == [
            ("delete", 1),
            ("delete", 2),
            ("create", 9),
        ]

    def test_whose_rows_are_found_by_way_of_such_a_table_waits_too(
        self, turns: Turns, program: PostgreSQLProgram
    ) -> None:
        program.run("INSERT INTO app_category VALUES (1, 'a')")
        program.add_products(1, category_id=1)
        turns.subscribe("catalogue")
        turns.subscribe("words")
        turns.take_all()
        with program.transaction():
            program.run("UPDATE app_category SET name = 'b'")
            program.run("INSERT INTO app_word VALUES ('a', 1)")
        turns.before_reading("app_product", *EMPTIED)
        turns.cycle.ask(Hint())
        turns.take()
        assert turns.behind[-1] == frozenset({turns})
        turns.take_all()
        assert [c["payload"]["id"] for c in turns.frames[-1][1]] == [1, 9]

    def test_is_not_said_to_be_at_the_state_that_others_have_come_to(
        self, turns: Turns, program: PostgreSQLProgram
    ) -> None:
        turns.subscribe("products")
        turns.subscribe("words")
        turns.take_all()
        with program.transaction():
            program.add_products(1)
            program.run("INSERT INTO app_word VALUES ('a', 1)")
        turns.before_reading("app_product", *EMPTIED)
        turns.cycle.ask(Hint())
        turns.take()
        assert turns.behind[-1] == frozenset({turns})
        turns.take_all()
        assert turns.behind[-1] == frozenset()
        assert [action for action, _ in turns.frames] == ["sync", "sync", "create", "create"]

    def test_that_is_new_is_answered_from_another_snapshot(
        self, turns: Turns, program: PostgreSQLProgram
    ) -> None:
        program.add_products(2)
        turns.subscribe("by_stock")
        turns.take_all()
        turns.before_reading("app_product", *EMPTIED)
        turns.subscribe("products")
        turns.take()
        turns.take_all()
        action, rows = turns.frames[-1]
        assert (action, ids(rows)) == ("sync", [9])
        assert [action for action, _ in turns.frames] == ["sync", "batch", "sync"]

    def test_that_is_asked_for_its_rows_once_is_too(
        self, turns: Turns, program: PostgreSQLProgram
    ) -> None:
        program.add_products(2)
        turns.subscribe("by_stock")
        turns.take_all()
        request = SnapshotRequest(binding=ProductBinding, caller=Caller(), params={})
        turns.cycle.ask(request)
        turns.before_reading("app_product", *EMPTIED)
        turns.take()
        assert not request.answer.done()
        turns.take_all()
        assert list(request.answer.result(timeout=0).rows) == [9]

    def test_that_a_loader_reads_is_loaded_from_another_snapshot(
        self,
        turns: Turns,
        program: PostgreSQLProgram,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        program.add_products(2)
        turns.subscribe("products")
        turns.take_all()
        (live,) = turns.cycle._store.views()
        load, times = reading.load, iter(range(9))

        def overtaken_once(*args: Any) -> Any:
            if next(times) == 0:
                with program.transaction():
                    for statement in EMPTIED:
                        program.run(statement)
            return load(*args)

        monkeypatch.setattr(reading, "load", overtaken_once)
        done: SimpleQueue[Loaded] = SimpleQueue()
        loader = turns.cycle._loader
        monkeypatch.setattr(loader, "_done", done.put)
        loader.load(Wanted(lives=[live], since=live.position, durable=True))
        loaded = done.get(timeout=60)
        assert loaded.rows is not None
        assert list(loaded.rows.fresh) == [9]
        assert next(times) == 2


class TestARight:
    @pytest.fixture(autouse=True)
    def closed(self, program: PostgreSQLProgram) -> None:
        program.run("INSERT INTO app_tag VALUES (1, 'closed')")
        program.add_products(1)

    def test_is_not_given_by_a_table_that_was_just_emptied(
        self, turns: Turns, program: PostgreSQLProgram
    ) -> None:
        turns.before_reading("app_tag", *RETAGGED)
        turns.subscribe("shaky")
        turns.take()
        assert turns.heard == []
        turns.take_all()
        (refused,) = turns.heard
        assert isinstance(refused, Rejected)

    def test_wishes_that_came_later_wait_behind_the_one_that_waits(
        self, turns: Turns, program: PostgreSQLProgram
    ) -> None:
        program.run("DELETE FROM app_tag")
        turns.before_reading("app_tag", "TRUNCATE app_tag CASCADE")
        turns.subscribe("shaky")
        turns.subscribe("words")
        turns.take()
        assert turns.heard == []
        turns.take_all()
        assert [frame[0] for frame in turns.frames] == ["sync", "sync"]

    def test_is_not_taken_by_one_and_no_row_is_told_until_it_is_known(
        self, turns: Turns, program: PostgreSQLProgram
    ) -> None:
        program.run("UPDATE app_tag SET name = 'open'")
        turns.subscribe("shaky")
        turns.take_all()
        with program.transaction():
            program.run("UPDATE app_tag SET name = 'closed'")
            program.run("UPDATE app_product SET name = 'secret'")
        turns.before_reading("app_tag", *RETAGGED)
        turns.cycle.ask(Hint())
        turns.take_all()
        assert "secret" not in str(turns.frames)
        assert [type(event).__name__ for event in turns.heard[-1:]] == ["Ended"]

    def test_a_load_that_comes_meanwhile_waits_too(
        self, turns: Turns, program: PostgreSQLProgram
    ) -> None:
        program.run("UPDATE app_tag SET name = 'open'")
        turns.subscribe("shaky")
        turns.take_all()
        (live,) = turns.cycle._store.views()
        live.state = ViewState.LOADING
        with program.transaction():
            program.run("UPDATE app_tag SET name = 'closed'")
            program.run("UPDATE app_product SET name = 'secret'")
        wanted = Wanted(lives=[live], since=live.position, durable=True)
        (loaded,) = turns.cycle._loader._load(wanted, turns.cycle._link.connect()[0])
        turns.cycle._queue.put(loaded)
        turns.before_reading("app_tag", *RETAGGED)
        turns.take_all()
        assert "secret" not in str(turns.frames)


@pytest.fixture
def on_maria_turns(on_own_logged_maria: Any) -> Iterator[Turns]:
    usual = connections["default"]
    turns = Turns(on_own_logged_maria)
    yield turns
    turns.cycle._link.close()
    connections["default"] = usual


def test_on_mariadb_a_table_that_was_emptied_sets_no_view_aside(
    on_maria_turns: Turns, on_own_logged_maria: Any, caplog: pytest.LogCaptureFixture
) -> None:
    turns, program = on_maria_turns, on_own_logged_maria
    program.run("INSERT INTO app_word VALUES ('a', 1)")
    turns.before_reading("app_word", "TRUNCATE app_word")
    turns.subscribe("words")
    turns.take()
    assert turns.frames == []
    turns.take_all()
    assert turns.frames == [("sync", [])]
    assert "set aside" not in caplog.text
