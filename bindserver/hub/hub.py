"""The hub: what transports talk to. It hands each request to the cycle of the right database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any

from bindserver.bindings.binding import Binding, M, alias_of
from bindserver.bindings.model_rows import ModelRows
from bindserver.bindings.registry import BindingClass, registry
from bindserver.conf import conf, cursor_secrets
from bindserver.cycle.budget import BudgetFacts
from bindserver.cycle.commit_tokens import read
from bindserver.cycle.cycle import Cycle
from bindserver.cycle.inbox import (
    Caller,
    CommandKind,
    Hint,
    ReadRequest,
    Request,
    SessionRequest,
    Snapshot,
    SnapshotRequest,
    ViewCommand,
)
from bindserver.cycle.lag import LaggingViews
from bindserver.engine.changes import Change
from bindserver.engine.effects import Ask, AwaitWrite, CatchUp, Reconsider, Release
from bindserver.engine.protocol import Subscribe, Unsubscribe
from bindserver.exceptions import Unavailable, UnknownEvent
from bindserver.forks import on_fork
from bindserver.hub.callbacks import MessageCallbacks
from bindserver.hub.feeds import Feed


class Hub:
    """The cycles of this process, started when they are first needed."""

    def __init__(self) -> None:
        self._before_serving: list[Callable[[], object]] = []
        self._when_serving: list[Callable[[], object]] = []
        self._when_stopping: list[Callable[[], None]] = []
        self._feeds: dict[str, Feed] = {}
        self._forget()

    def _forget(self) -> None:
        """Begin without threads, as a process must after a fork: threads stay with the parent."""
        self._cycles: dict[str, Cycle] = {}
        self._callbacks: MessageCallbacks | None = None
        self._serving = False
        self._lock = threading.RLock()

    def request(self, request: SessionRequest) -> None:
        """Have done what a session wants; its listener hears what comes of it.

        A subscription that is evaluated again, for a caller who has proved anew who they are, ends
        if they may not have it any more; if they see other rows, it goes on with those.

        Raises:
            UnknownEvent: no binding has the event.
            Unsound: the binding must not be served.
            NoToken: what is waited for is no committed write.
            Unavailable: it is on a database that nobody follows here.
        """
        match request.effect:
            case Release():
                self._tell(request)  # one of them knows it
                for feed in self._feeds.values():
                    feed.take(request)
            case (
                Ask(message=Subscribe(event=event) | Unsubscribe(event=event))
                | CatchUp(event=event)
                | Reconsider(event=event)
            ) if event in self._feeds and request.instance is None:
                self._feeds[event].take(request)
            case Ask() if request.instance is not None:
                self._cycle(alias_of(request.instance)).ask(request)
            case Ask(message=Subscribe(event=event)):
                self.serve()
                self._cycle(alias_of(registry.get(event))).ask(request)
            case AwaitWrite(token=token):
                self._await_write(request, read(token).alias)
            case Reconsider(event=event) if not registry.has(event):
                pass
            case (
                Ask(message=Unsubscribe(event=event))
                | CatchUp(event=event)
                | Reconsider(event=event)
            ):
                self._cycle(alias_of(registry.find(event))).ask(request)

    def _await_write(self, request: SessionRequest, alias: str) -> None:
        with self._lock:
            cycle = self._cycles.get(alias)
        if cycle is None:
            raise Unavailable(f"nothing that is followed here is on the database {alias!r}")
        cycle.ask(request)

    def snapshot(
        self,
        binding: BindingClass,
        caller: Caller,
        params: Mapping[str, Any],
        *,
        trusted: bool = False,
    ) -> Future[Snapshot]:
        """Return the rows of a binding, as fresh as the database at this call.

        Args:
            binding: the binding.
            caller: who asks.
            params: not checked yet.
            trusted: whether the binding's permissions have been asked already.

        Raises:
            Unsound: the binding must not be served.
        """
        registry.judge(binding)
        request = SnapshotRequest(binding=binding, caller=caller, params=params, trusted=trusted)
        self._cycle(alias_of(binding)).ask(request)
        return request.answer

    def read(self, binding: Binding[M]) -> Future[ModelRows[M]]:
        """Return a binding's rows as model instances, as fresh as the database at this call."""
        request = ReadRequest(instance=binding)
        self._cycle(alias_of(binding)).ask(request)
        return request.answer

    def keep(self, binding: Binding[Any]) -> None:
        """Keep a binding live in its own context, and have it hear its changes as `message`.

        Kept once, however often it is asked for.
        """
        with self._lock:
            if self._callbacks is None:
                self._callbacks = MessageCallbacks(self.request, conf.MAX_OUTBOX_BYTES)
        self._callbacks.keep(binding)

    def hint(self, alias: str, changes: tuple[Change, ...]) -> None:
        """Take a hint of a write; databases that nobody follows here pass it over."""
        cycle = self._cycles.get(alias)
        if cycle is not None:
            cycle.ask(Hint(changes=changes))

    def compare(self, alias: str | None = None) -> None:
        """Compare every view of a database, or of all, with it: changes may have gone unseen."""
        for known, cycle in list(self._cycles.items()):
            if alias in (None, known):
                cycle.ask(Hint(changes=None))

    def watch(self, alias: str) -> Future[None]:
        """Keep known whether a database is there, for probes, though nobody follows it.

        Returns:
            What is done as soon as it is known.
        """
        return self._cycle(alias).watch().known

    def troubles(self) -> dict[str, str]:
        """Return what is wrong with databases and cycles, by part, as their threads have noted."""
        told: dict[str, str] = {}
        for cycle in list(self._cycles.values()):
            told |= cycle.troubles()
        return told

    def needs_hints(self) -> bool:
        """Return whether writes of other processes are learned from the channel layer here: a
        database is followed that has no change log."""
        return any(cycle.needs_hints for cycle in list(self._cycles.values()))

    def cycles(self) -> list[tuple[str, Cycle]]:
        """Return the databases that are followed here, and who follows them, by alias."""
        return sorted(self._cycles.copy().items())

    def lag(self, alias: str) -> float:
        """Return for how many seconds the view of a database that is furthest behind has not been
        known to be as it is, of those that are neither set aside nor being loaded.

        0 where nobody follows it here.
        """
        cycle = self._cycles.get(alias)
        return 0.0 if cycle is None else cycle.lag()

    def lagging_views(self, alias: str) -> tuple[LaggingViews, ...]:
        """Return the views of a database that are not as it is, by event and why."""
        cycle = self._cycles.get(alias)
        return () if cycle is None else cycle.lagging_views()

    def budget(self, alias: str) -> BudgetFacts | None:
        """Return what the views of a database take, and who has most of them, as it was some
        seconds ago; None where nobody has followed it here yet."""
        cycle = self._cycles.get(alias)
        return None if cycle is None else cycle.budget()

    def by_row(self, alias: str) -> frozenset[str] | None:
        """Return the tables of a database of which it shows the server's role some rows only; None
        where nobody has followed it here yet."""
        cycle = self._cycles.get(alias)
        return None if cycle is None else cycle.by_row()

    def sync(self, events: Collection[str] | None = None) -> None:
        """Read the views of these events anew, and send their subscribers all rows.

        Args:
            events: bindings' events, None for all.
        """
        self.command(CommandKind.SYNC, events)

    def bump(self, events: Collection[str] | None = None) -> None:
        """Read the views of these events anew, and send their subscribers what differed; HTTP
        validators by date are new ones."""
        self.command(CommandKind.BUMP, events)

    def clear(self, events: Collection[str] | None = None) -> None:
        """Forget the rows of these events' views, and their rings; read them at the next need.
        Subscribers are sent all rows."""
        self.command(CommandKind.CLEAR, events)

    def command(
        self,
        command: CommandKind,
        events: Collection[str] | None = None,
        binding: BindingClass | None = None,
    ) -> None:
        """Have something done with the views of these events and this class; None means any."""
        named = None if events is None else frozenset(events)
        self._tell(ViewCommand(command=command, events=named, binding=binding))

    def add_feed(self, event: str, feed: Feed) -> None:
        """Have an event followed that is no binding's."""
        self._feeds[event] = feed

    def before_serving(self, work: Callable[[], object]) -> None:
        """Have something done before this process serves subscribers.

        Args:
            work: may take its time, and is called again by each that wants to serve.
        """
        self._before_serving.append(work)

    def when_serving(self, work: Callable[[], object]) -> None:
        """Have something done once, as soon as this process serves subscribers."""
        self._when_serving.append(work)

    def when_stopping(self, work: Callable[[], None]) -> None:
        """Have something done whenever the threads have been ended."""
        self._when_stopping.append(work)

    @property
    def is_serving(self) -> bool:
        """Whether this process serves subscribers."""
        return self._serving

    def prepare(self) -> None:
        """Do what is to be done before this process serves. It may take seconds: whoever has an
        event loop calls it beside that."""
        for work in self._before_serving:
            work()

    def serve(self) -> None:
        """Called when this process serves; a first subscriber says so too."""
        if self._serving:
            return
        self.prepare()
        with self._lock:
            if self._serving:
                return
            self._serving = True
        for work in self._when_serving:
            work()

    def stop(self) -> None:
        """End all threads."""
        with self._lock:
            cycles = list(self._cycles.values())
            self._cycles.clear()
            callbacks, self._callbacks = self._callbacks, None
            self._serving = False
        if callbacks is not None:
            callbacks.stop()
        for cycle in cycles:
            cycle.stop()
        for work in self._when_stopping:
            work()

    def _tell(self, request: Request) -> None:
        for cycle in list(self._cycles.values()):
            cycle.ask(request)

    def _cycle(self, alias: str) -> Cycle:
        with self._lock:
            cycle = self._cycles.get(alias)
            if cycle is None:
                cycle = self._cycles[alias] = Cycle(alias, *cursor_secrets())
                cycle.start()
            return cycle


hub = Hub()
"""This process's hub."""

on_fork(hub._forget)

__all__ = ["Hub", "UnknownEvent", "hub"]
