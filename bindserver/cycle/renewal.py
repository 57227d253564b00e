"""Bindings are asked again, at a turn's beginning, where what they have read has changed."""

from __future__ import annotations

import time
from functools import partial

from bindserver.bindings.permissions import PermissionFailed
from bindserver.bindings.refusals import code_of_end
from bindserver.capture.sources import Source
from bindserver.conf import conf
from bindserver.cycle.delivery import Outgoing
from bindserver.cycle.failures import Isolation
from bindserver.cycle.inbox import Ended, ReadWish, SnapshotWish
from bindserver.cycle.invalidation import History
from bindserver.cycle.live_view import LiveView
from bindserver.cycle.outage import Desk
from bindserver.cycle.view_store import Asked
from bindserver.cycle.viewers import Subject
from bindserver.database.snapshot import locked
from bindserver.engine.changes import Position
from bindserver.engine.protocol import Code
from bindserver.exceptions import Denied, InvalidParams


class Renewal:
    """Asks bindings again, and leads their subjects to the views that are theirs now.

    Args:
        desk: what lasts.
        source: tells what is watched.
        history: what changed.
        position: the snapshot's.
        outgoing: takes what subscribers are told.
        isolation: keeps a view's failure its own.

    Attributes:
        unwatched: whether something was read that nobody watches yet.
    """

    def __init__(
        self,
        desk: Desk,
        source: Source,
        history: History,
        position: Position,
        outgoing: Outgoing,
        isolation: Isolation,
    ) -> None:
        self._desk = desk
        self._source = source
        self._history = history
        self._position = position
        self._outgoing = outgoing
        self._isolation = isolation
        self.unwatched = False
        self._asked: dict[LiveView, dict[Subject, Asked]] = {}
        self._left: list[tuple[LiveView, Subject]] = []

    def run(self) -> None:
        """Ask those bindings again whose own reads may have changed, and lead their subscribers to
        what they came to.

        A snapshot is not held for long, however many there are: the views of the others stay where
        they are until the next one.
        """
        until, late = time.monotonic() + conf.QUERY_SECONDS, False
        for subject in self._desk.catalogue.subjects():
            if not subject.depends():
                continue
            if not subject.concerned(self._history.since(subject.position)):
                subject.position = self._position
            elif subject.refs and late:
                self._isolation.staying.add(subject.live)
            elif subject.refs and not subject.live.rests():
                self._isolation.attempt(subject.live, partial(self._ask, subject))
                late = time.monotonic() >= until
            elif not subject.refs:
                self._forget(subject)
        for live, asked in self._asked.items():
            self._isolation.attempt(live, partial(self._lead, asked))

    def renew(self, subject: Subject) -> None:
        """Ask a binding again for somebody who wants rows as they are now, if nobody knows whether
        what it has read has changed: where there is no log, writes may go unseen for a while.

        Raises:
            Denied: the caller may not have it any more.
            InvalidParams: the params are not what it takes any more.
            Overtaken: what that was told by may be newer than the snapshot.
            Exception: whatever the binding raises.
        """
        if not subject.depends() or self._source.proves(subject.asked, self._position):
            return
        old, asked = subject.live, self._desk.catalogue.ask_again(subject)
        self._lead({subject: asked}, old)
        if subject.live is not old:
            subject.live.readers += [r for r in old.readers if r.subject is subject]
            old.readers = [r for r in old.readers if r.subject is not subject]

    def left(self) -> list[SnapshotWish | ReadWish]:
        """Return what those wish who wait for rows once and were led elsewhere; they are to be led
        to a view anew."""
        return [wish for live, subject in self._left for wish in live.leave(subject)]

    def _forget(self, subject: Subject) -> None:
        """Drop a subject; who waits for rows through it is led to a view anew."""
        self._desk.catalogue.forget(subject)
        self._left.append((subject.live, subject))

    def _ask(self, subject: Subject, live: LiveView) -> None:
        try:
            asked = self._desk.catalogue.ask_again(subject)
        except (Denied, InvalidParams) as refusal:
            self._revoke(subject, code_of_end(refusal))
            return
        except PermissionFailed as problem:
            if locked(self._desk.alias, problem):
                raise  # nobody knows that a right is gone: the view waits
            self._isolation.see_database()
            self._isolation.failed(problem, subject.binding)
            self._revoke(subject, Code.INTERNAL)
            return
        self._asked.setdefault(live, {})[subject] = asked

    def _lead(self, asked: dict[Subject, Asked], live: LiveView) -> None:
        if self._desk.catalogue.becomes(live, asked):
            for subject in asked:
                self._settle(subject)
            return
        for subject, new in asked.items():
            self._isolation.attempt(live, partial(self._lead_one, subject, new))

    def _lead_one(self, subject: Subject, asked: Asked, live: LiveView) -> None:
        waiting = [opening for opening in live.openings if opening.ref in subject.refs]
        if self._desk.catalogue.lead(subject, asked):
            self._left.append((live, subject))
            self._desk.move(list(subject.refs), subject.live, waiting, self._outgoing)
        self._settle(subject)

    def _settle(self, subject: Subject) -> None:
        subject.position = subject.asked = self._position
        self.unwatched |= not self._source.watches(subject.tables())

    def _revoke(self, subject: Subject, code: Code) -> None:
        """End the subscriptions of a subject that may not have its binding any more."""
        refs = list(subject.refs)
        for ref in refs:
            self._desk.catalogue.release(ref)
        self._forget(subject)
        self._outgoing.add(refs, Ended(code=code))
