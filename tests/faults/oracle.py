"""Faults to plant in a server, each of which the oracle must find.

A fault is a change to the product's code at run time, made by an app that only the oracle's own
settings install.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.log import log_of
from bindserver.capture.sqlite.triggers import Triggers
from bindserver.capture.tables import OLD
from bindserver.cycle import (
    advance,
    invalidation,
    live_shape,
    live_view,
    loader,
    serving,
    turn,
    turn_taker,
    view_store,
)
from bindserver.cycle.inbox import Caller
from bindserver.cycle.load_messages import Loaded
from bindserver.engine import ring, view
from bindserver.engine.changes import Change, Key, Position
from bindserver.engine.commits import CommitGroups
from bindserver.engine.events import Published
from bindserver.engine.frames import Frame, FrameEncoder
from bindserver.engine.outbox import Outbox
from bindserver.engine.ring import Delta
from bindserver.engine.subscription import Subscription
from bindserver.engine.subscription import SubscriptionState as SessionState
from bindserver.engine.view import View
from bindserver.queries import reading
from bindserver.queries.identity import IdentityEncoder
from bindserver.queries.reads import Users
from bindserver.websocket.client import Client
from tests.faults.oracle_databases import DATABASE_FAULTS, LOGS
from tests.faults.oracle_relay import RELAY_FAULTS
from tests.faults.oracle_shapes import SHAPE_FAULTS
from tests.oracle.apps import Drawn

_turns = itertools.count()


def _patch(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put what `make` makes of it in the place of something."""
    setattr(owner, name, make(getattr(owner, name)))


def rows_outside_snapshot() -> None:
    """Position, changes and rows are each read as they are by then."""

    @contextmanager
    def no_snapshot(connection: BaseDatabaseWrapper, pacer: Any) -> Iterator[None]:
        connection.ensure_connection()
        yield

    def late(read: Any) -> Any:
        def read_late(*args: Any, **kwargs: Any) -> Any:
            time.sleep(0.002)
            return read(*args, **kwargs)

        return read_late

    setattr(turn_taker, "snapshot", no_snapshot)
    for name in ("read", "read_together", "look", "load", "load_held", "load_together"):
        _patch(reading, name, late)


def loader_position_late() -> None:
    """A big load takes its position when it has read the rows."""

    def late(load: Any) -> Any:
        def loading(self: loader.Loader, wanted: Any, connection: Any) -> Any:
            results: list[Loaded] = load(self, wanted, connection)
            time.sleep(0.02)
            position = log_of(connection).position()
            return [dataclasses.replace(loaded, position=position) for loaded in results]

        return loading

    _patch(loader.Loader, "_load", late)


def old_load_answers() -> None:
    """A big load answers whoever waits, also those who asked after it had begun."""

    def taking(take: Any) -> Any:
        return lambda self, **kwargs: take(self)

    _patch(live_view.LiveView, "take_openings", taking)


def dropped_log_entry() -> None:
    """Now and then an entry of the change log is passed over."""

    def dropping(read: Any) -> Any:
        def changes(self: Any, since: Position) -> list[Change] | None:
            found: list[Change] | None = read(self, since)
            return found[1:] if found and next(_turns) % 10 == 0 else found

        return changes

    for log in LOGS:
        _patch(log, "changes", dropping)


def deletes_forgotten_on_resume() -> None:
    """A client that comes back is not told what is gone."""

    def forgetting(resume: Any) -> Any:
        def resuming(self: View, **kwargs: Any) -> Delta:
            found: Delta = resume(self, **kwargs)
            return Delta(version=found.version, deletes=(), puts=found.puts)

        return resuming

    _patch(View, "resume", forgetting)


def index_instead_of_place() -> None:
    """`after` names the row at an index of before the step, not the one that it now follows."""

    def by_index(puts: Any) -> Any:
        def making(self: View, keys: Any, **kwargs: Any) -> tuple[ring.Put, ...]:
            order = list(self.rows)
            made: tuple[ring.Put, ...] = puts(self, keys, **kwargs)
            return tuple([_at_index(put, order, self.keys().index(put.key)) for put in made])

        return making

    _patch(View, "_puts", by_index)


def _at_index(put: ring.Put, order: list[Key], index: int) -> ring.Put:
    after = order[index - 1] if put.placed and index else None
    return ring.Put(key=put.key, text=put.text, created=put.created, placed=put.placed, after=after)


def no_eviction_triggers() -> None:
    """REPLACE that evicts a row by another UNIQUE index goes unseen."""
    _without_triggers("__evi", "__evu")


def old_key_forgotten() -> None:
    """An UPDATE of the primary key logs the new one only."""

    def trimming(triggers: Any) -> Any:
        def making(self: Triggers, tracked: Any) -> Iterator[tuple[str, str]]:
            for name, sql in triggers(self, tracked):
                if name.endswith("__upd"):
                    first, _, _ = sql.partition(" INSERT INTO bindserver_log(tbl, pk) SELECT")
                    yield name, f"{first} END"
                else:
                    yield name, sql

        return making

    _patch(Triggers, "wanted", trimming)


def old_parent_forgotten() -> None:
    """What rows held in their foreign keys before goes unlogged."""

    def trimming(triggers: Any) -> Any:
        def making(self: Triggers, tracked: Any) -> Iterator[tuple[str, str]]:
            for name, sql in triggers(self, tracked):
                told = re.sub(rf"INSERT INTO [^;]*'{OLD}[^;]*;", "", sql)
                if "INSERT INTO" in told:
                    yield name, told

        return making

    _patch(Triggers, "wanted", trimming)


def _without_triggers(*marks: str) -> None:
    def fewer(triggers: Any) -> Any:
        def making(self: Triggers, tracked: Any) -> Iterator[tuple[str, str]]:
            for name, sql in triggers(self, tracked):
                if not any(mark in name for mark in marks):
                    yield name, sql

        return making

    _patch(Triggers, "wanted", fewer)


def batch_split() -> None:
    """What one state changed comes in a frame for each row."""

    def splitting(encode: Any) -> Any:
        def delta(self: FrameEncoder, whole: Delta, cursor: str) -> tuple[Frame, ...]:
            parts = [
                *[Delta(version=whole.version, deletes=(key,), puts=()) for key in whole.deletes],
                *[Delta(version=whole.version, deletes=(), puts=(put,)) for put in whole.puts],
            ]
            found: list[Frame] = []
            for part in parts or [whole]:
                found.extend(encode(self, part, cursor))
            return tuple(found)

        return delta

    _patch(FrameEncoder, "delta", splitting)


def slow_reader_skipped() -> None:
    """What a slow client has no room for is dropped."""

    def dropping(push: Any) -> Any:
        def pushing(self: CommitGroups, found: Subscription, frames: Any, version: int) -> None:
            push(self, found, frames, version)
            if found.state is SessionState.LAZY and not found.catching:
                found.state, found.behind = SessionState.LIVE, False

        return pushing

    _patch(CommitGroups, "_push", dropping)


def joins_not_watched() -> None:
    """A change in a joined or prefetched table reaches no row."""

    def own_table(find: Any) -> Any:
        def touched(shape: Any, changes: list[Change], told: Any) -> invalidation.Touched:
            own = shape.query.model._meta.db_table
            found: invalidation.Touched = find(shape, [c for c in changes if c.table == own], told)
            return found

        return touched

    _patch(invalidation, "_touched", own_table)


def moved_row_kept() -> None:
    """A row that leaves one of several views that are read together stays where it was."""

    def keeping(find: Any) -> Any:
        def taking(view: live_view.LiveView, what: Any, rows: Any, *args: Any) -> Any:
            mine = frozenset(pk for pk in what.pks if pk in rows.keys)
            return find(view, dataclasses.replace(what, pks=mine), rows, *args)

        return taking

    _patch(advance, "take", keeping)


def old_slots_forgotten() -> None:
    """Nobody remembers which of the views of one shape had a row."""
    _patch(live_shape.LiveShape, "holding", lambda _: lambda self, pks: set())


def dealt_by_chance() -> None:
    """A row that moves between views that are read together comes to none, now and then."""

    def losing(read: Any) -> Any:
        def read_losing(*args: Any, **kwargs: Any) -> Any:
            dealt = read(*args, **kwargs)
            if next(_turns) % 5 == 0:
                for rows in dealt.values():
                    rows.fresh.clear()
                    rows.keys.clear()
            return dealt

        return read_losing

    _patch(reading, "read_together", losing)


def old_sync() -> None:
    """The frames of a whole view are made once, and never again."""

    kept: WeakKeyDictionary[live_view.LiveView, dict[int, tuple[Frame, ...]]] = WeakKeyDictionary()

    def keeping(frames: Any) -> Any:
        def sync_frames(live: live_view.LiveView, page_size: int) -> tuple[Frame, ...]:
            known = kept.setdefault(live, {})
            if page_size not in known:
                known[page_size] = frames(live, page_size)
            return known[page_size]

        return sync_frames

    for module in (turn, serving):
        _patch(module, "sync_frames", keeping)


def net_change_without_deletes() -> None:
    """What many deltas come to forgets the rows that went."""

    def forgetting(net_of: Any) -> Any:
        def net(history: Any) -> ring.Net:
            found: ring.Net = net_of(history)
            return ring.Net((), found.touched, found.created, found.placed)

        return net

    _patch(view, "net_of", forgetting)


def arguments_left_out() -> None:
    """Views are told apart by their SQL, whatever its arguments are."""

    def bare(_: Any) -> Any:
        return lambda self, compiled, what: compiled.sql

    _patch(IdentityEncoder, "arguments", bare)


def callers_alike() -> None:
    """All callers are one to a binding."""
    _patch(Caller, "encoded", lambda _: lambda self, encoder: ["anybody"])


def owners_forgotten() -> None:
    """Of a user's rows, nobody knows whose they were before."""

    def forgetting(led_to: Any) -> Any:
        def bare(self: Users, change: Change, *way: Any) -> Any:
            return led_to(self, dataclasses.replace(change, old=frozenset()), *way)

        return bare

    _patch(Users, "led_to", forgetting)


def dear_views_forgotten() -> None:
    """Views that are set aside as they are dear count as read."""

    def forgetting(move: Any) -> Any:
        def moving(self: advance.Advance) -> None:
            move(self)
            for shape in self._dear_shapes:
                self._routing.release(shape)
            self._dear_shapes.clear()

        return moving

    _patch(advance.Advance, "move", forgetting)


def mark_let_through_early() -> None:
    """A client is given a commit mark though some of its views are to be read yet."""
    setattr(view_store.ViewStore, "lagging", lambda *args: frozenset())


def dear_views_answered_early() -> None:
    """Whoever asks for a view that is dear is answered before it is read."""
    setattr(advance.Advance, "left", lambda self: set())


def mark_past_outbox() -> None:
    """The mark of a committed state is written at once, whatever waits to be written before it."""

    def telling(tell: Any) -> Any:
        def told(self: Outbox, frame: Frame) -> bool:
            known = tell(self, frame)
            if known and frame.text.startswith('{"event":"$commit"'):
                self._queue.insert(0, self._queue.pop())
            return bool(known)

        return told

    _patch(Outbox, "tell", telling)


def frame_past_outbox() -> None:
    """A delta is written at once, whatever waits to be written before it."""

    def passing(pass_by: Any) -> Any:
        def passed(self: Client, number: int, published: Published) -> bool:
            session, frame = self._session, published.small
            known = session.subscriptions.get(number)
            waits = self._writer is not None or session.has_work()
            if frame and known and known.state is SessionState.LIVE and waits:
                with contextlib.suppress(RuntimeError):  # the socket is closed
                    session.line.put(frame)
                known.version = published.version
                return True
            return bool(pass_by(self, number, published))

        return passed

    _patch(Client, "_pass_by", passing)


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault
    for fault in (
        rows_outside_snapshot,
        loader_position_late,
        old_load_answers,
        dropped_log_entry,
        deletes_forgotten_on_resume,
        index_instead_of_place,
        no_eviction_triggers,
        old_key_forgotten,
        old_parent_forgotten,
        batch_split,
        slow_reader_skipped,
        joins_not_watched,
        moved_row_kept,
        old_slots_forgotten,
        dealt_by_chance,
        old_sync,
        net_change_without_deletes,
        arguments_left_out,
        callers_alike,
        owners_forgotten,
        dear_views_forgotten,
        mark_let_through_early,
        dear_views_answered_early,
        mark_past_outbox,
        frame_past_outbox,
    )
}


class Faults(Drawn):
    """Plants the fault that the environment names."""

    def ready(self) -> None:
        super().ready()
        known = {**FAULTS, **SHAPE_FAULTS, **DATABASE_FAULTS, **RELAY_FAULTS}
        known[os.environ["ORACLE_FAULT"]]()
