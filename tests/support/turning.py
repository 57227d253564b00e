"""A cycle without its thread: turns are taken one at a time, on a connection as the cycle's is."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from queue import SimpleQueue
from typing import Any
from unittest.mock import patch

from django.db import connections

from bindserver.bindings.binding import Binding
from bindserver.capture.mysql.log import MySQLLog
from bindserver.capture.sources import LogSource, source_of
from bindserver.client.replica import Replica
from bindserver.cycle.context import TurnContext
from bindserver.cycle.delivery import Outbound
from bindserver.cycle.failure_log import FailureLog
from bindserver.cycle.inbox import Caller, Hint, Request, SessionRequest
from bindserver.cycle.lag import LaggingViews, lagging_views
from bindserver.cycle.lanes import Lanes
from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.cycle.load_messages import Audited, Loaded, Result, Wanted
from bindserver.cycle.loader import Loader
from bindserver.cycle.resolver import Resolver
from bindserver.cycle.turn import Turn
from bindserver.cycle.view_store import ViewStore
from bindserver.cycle.waiting import EVERYTHING
from bindserver.database.pacing import Pacer
from bindserver.database.snapshot import connect, open_connection, snapshot
from bindserver.engine.effects import Ask
from bindserver.engine.events import Answered, Ended, Event, Published, Rejected, Staled
from bindserver.queries.dependencies import known_tables
from tests.app.bindings import PartBinding
from tests.app.models import Product


class Follower:
    """Who follows one binding: hears events, and keeps what a client would.

    Attributes:
        actions: of what was sent, in order, since `clear`.
        ended: whether its subscription was.
        ends: by which words.
        refused: why it was refused the last time.
    """

    loop: Any = None

    def __init__(self, key: str = "id") -> None:
        self.replica = Replica(key)
        self.actions: list[str] = []
        self.ended = False
        self.ends: list[Ended] = []
        self.refused: Rejected | None = None

    def hear(self, number: int, event: Event) -> None:
        if isinstance(event, (Answered, Published)):
            for frame in event.frames:
                data = json.loads(frame.text)["data"]
                self.actions.append(data["action"])
                self.replica.apply(data)
        elif isinstance(event, Staled):
            self.actions.append("stale")
        elif isinstance(event, Rejected):
            self.actions.append("error")
            self.refused = event
        elif isinstance(event, Ended):
            self.ended = True
            self.ends.append(event)

    def settle(self, state: str) -> None:
        """Nothing to do."""

    def fail(self) -> None:
        raise

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.replica.rows]

    def told(self) -> list[str]:
        """Return the actions since this was asked last."""
        told, self.actions = self.actions, []
        return told


LOAD_SECONDS = 60
"""A load must be done within this time."""


class Turning:
    """Takes turns; until it is left, this thread writes on the same connection.

    Args:
        watched: whether all tables are watched whole before the first one.

    Attributes:
        statements: those that the last turn sent to read the tests' tables.
        turns: how many were taken.
        early: who was given rows before the last turn read what is dear.
        lagging_views: the views that the last one did not bring to its snapshot; `since` is the
            number of the turn that left them first.
    """

    def __init__(self, *, watched: bool = True) -> None:
        self._loaded: SimpleQueue[Loaded] = SimpleQueue()
        self.store = ViewStore("default", b"secret")
        self.resolver = Resolver(self.store)
        self.store.lanes = Lanes(endless=True)  # a busy machine is not to change what is tested
        self.store.auditor.begin_at(math.inf)
        self._audited: SimpleQueue[Audited] = SimpleQueue()
        self.loader = Loader("default", self._hear)
        self._failure_log = FailureLog()
        self._pacer = Pacer(10)
        self._usual = connections["default"]
        self._connection = open_connection("default")
        connect(self._connection)
        self._source = source_of(self._connection)
        if watched:
            self._watch_all()
        self._requests: list[Request | Result] = []
        self._numbers = count(1)
        self.statements: list[str] = []
        self.turns = 0
        self.early: list[Any] = []
        self.lagging_views: tuple[LaggingViews, ...] = ()

    def _watch_all(self) -> None:
        there = known_tables().intersection(self._connection.introspection.table_names())
        self._source.prepare([table for table in there if table.startswith("app_")])

    def __enter__(self) -> Turning:
        return self

    def __exit__(self, *_: object) -> None:
        self.loader.stop()
        self._connection.close()
        connections["default"] = self._usual

    def follow(self, binding: Binding[Any], key: str = "id") -> Follower:
        """Have a binding followed; the next turn answers."""
        follower = Follower(key)
        self.follow_again(follower, binding)
        return follower

    def follow_again(self, follower: Follower, binding: Binding[Any]) -> None:
        """Have a follower ask anew; the next turn answers."""
        request = SessionRequest(
            follower, Caller(), Ask(number=next(self._numbers), message=EVERYTHING), binding
        )
        self._requests.append(request)

    def ask(self, request: Request) -> None:
        """Hand in a request; the next turn serves it."""
        self._requests.append(request)

    def asked(self) -> list[SessionRequest]:
        """Return what sessions have asked that no turn has served."""
        return [asked for asked in self._requests if isinstance(asked, SessionRequest)]

    def turn(self) -> None:
        """Take a turn, and what others it takes until all is loaded."""
        self.statements = []
        loaded: list[Loaded] = []
        while True:
            items = [*self._requests, *loaded]
            self._requests.clear()
            unanswered = self._turn(items)
            here = {item.live for item in self._requests if isinstance(item, Loaded)}
            loading = {live for live in self.views() if live.state is ViewState.LOADING} - here
            loaded = [self._loaded.get(timeout=LOAD_SECONDS) for _ in loading]
            if not loaded and not unanswered and not self._requests:
                return

    def take_one(self, *loaded: Result) -> bool:
        """Take one turn alone; return whether it wants another at once."""
        items, self._requests = [*self._requests, *loaded], []
        return self._turn(items) or bool(self._requests)

    def _hear(self, result: Result) -> None:
        if isinstance(result, Audited):
            self._audited.put(result)
        else:
            self._loaded.put(result)

    def begin_audit(self) -> None:
        """Take a turn that begins an audit, of the next view of a round."""
        self.store.auditor.begin_at(-math.inf)
        self.turn()
        self.store.auditor.begin_at(math.inf)

    def next_audit(self) -> Audited:
        """Wait for what the audit has found."""
        return self._audited.get(timeout=LOAD_SECONDS)

    def audit(self) -> Audited:
        """Have the next view audited, and take the turns that judge and heal it."""
        self.begin_audit()
        audited = self.next_audit()
        self.judge(audited)
        return audited

    def judge(self, audited: Audited) -> None:
        """Take the turns that judge an audit, and heal what differs."""
        if self.take_one(audited):
            self.turn()

    @contextmanager
    def loader_held(self) -> Iterator[None]:
        """Hold up what the loader is to begin with, until the block ends."""
        held: list[Wanted] = []
        load = self.loader.load
        with patch.object(self.loader, "load", held.append):
            yield
        for wanted in held:
            load(wanted)

    def next_load(self) -> Loaded:
        """Wait for what the loader is reading."""
        return self._loaded.get(timeout=LOAD_SECONDS)

    def forget_table(self, table: str) -> None:
        """Let a table be one that nobody has found yet."""
        assert isinstance(self._source, LogSource)
        self._source._tables.discard(table)

    @property
    def source(self) -> LogSource:
        """What the turns ask about changes."""
        assert isinstance(self._source, LogSource)
        return self._source

    def look_at_schema(self) -> None:
        """Have the next turn look at the schema, where it else does once a second."""
        log = self.source._log
        if isinstance(log, MySQLLog):
            log._look()

    def compare_suspects(self) -> None:
        """Have the next turn compare what reads tables that cannot be watched."""
        self.source._compare_at = 0.0

    def try_triggers_again(self) -> None:
        """Have the next turn try to put triggers where it could not."""
        self.source._retry_at = 0.0

    def _turn(self, items: list[Request | Result]) -> bool:
        for item in items:
            if isinstance(item, Hint):
                self._source.hint(item.changes or ())
        self._source.prepare(self.store.tables(), self.store.columns)
        self.early.clear()
        context = TurnContext(
            publish=lambda: self.early.extend(self._deliver(context)),
            store=self.store,
            resolver=self.resolver,
            loader=self.loader,
            failure_log=self._failure_log,
            source=self._source,
            pacer=self._pacer,
        )
        turn = Turn(context)
        with (
            snapshot(self._connection, self._pacer),
            self._connection.execute_wrapper(self._note),
        ):
            turn.run(items)
        self.turns += 1
        self.lagging_views = lagging_views(self.views(), context.position, self.turns)
        self._requests[:0] = turn.postponed
        self._deliver(context)
        return turn.unanswered

    @staticmethod
    def _deliver(context: TurnContext) -> list[Any]:
        """Have events heard; return who has heard of rows."""
        told: dict[Any, None] = {}
        for refs, event in context.outbound:
            for listener, number, _ in refs:
                listener.hear(number, event)
                if isinstance(event, (Answered, Published)):
                    told[listener] = None
        context.outbound = Outbound()
        return list(told)

    def _note(self, execute: Any, sql: str, *arguments: Any) -> Any:
        if "app_" in sql and "bindserver_" not in sql:
            self.statements.append(sql)
        return execute(sql, *arguments)

    def views(self) -> list[LiveView]:
        """Return all views."""
        return self.store.views()


def part(**params: Any) -> PartBinding:
    return PartBinding(params=params)


def add(pk: int, category: int | None = None, **values: Any) -> Product:
    return Product.objects.create(
        pk=pk, **{"name": f"product {pk}", "category_id": category, **values}
    )
