"""One turn of the cycle, inside one snapshot: views move on, wishes are served."""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from functools import partial

from bindserver.courier import Outgoing
from bindserver.desk import EVERYTHING, Desk, mark_stale
from bindserver.engine import cursor as cursors
from bindserver.engine.changes import Change, Position
from bindserver.engine.frames import Frame, round_page_size
from bindserver.engine.protocol import Code, Subscribe
from bindserver.engine.ring import Delta
from bindserver.exceptions import Denied, TooManyRows, Unavailable
from bindserver.live import LiveView, Opening, State
from bindserver.loader import Loaded
from bindserver.pace import Pacer
from bindserver.permissions import PermissionFailed
from bindserver.queries import OverBudget
from bindserver.reception import Reception
from bindserver.refresh import Touched, missed, refresh, touched
from bindserver.sources import Source
from bindserver.subject import Subject
from bindserver.wishes import (
    Answered,
    Arrived,
    Ended,
    Published,
    Wish,
)

logger = logging.getLogger("bindserver")

RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0, 15.0, 60.0)


class Turn:
    """One turn, within an open snapshot.

    Args:
        desk: what lasts.
        source: says what changed.
        pacer: rests, and stops what takes too long.

    Attributes:
        outgoing: the events that the turn came to.
        unanswered: whether another turn is needed at once.
    """

    def __init__(self, desk: Desk, source: Source, pacer: Pacer) -> None:
        self._desk = desk
        self._source = source
        self._pacer = pacer
        self.outgoing = Outgoing()
        self.unanswered = False
        self._position = Position(epoch="", mark="")
        self._changes: dict[Position, list[Change] | None] = {}
        self._left: list[tuple[LiveView, Subject]] = []

    def run(self, items: Iterable[Wish | Loaded]) -> None:
        """Take loads, move views to the present, serve wishes, answer those who wait."""
        items = list(items)
        self._position = self._source.position()
        self._resolve_subjects()  # first, so that nobody is told of a view that is theirs no more
        for item in items:
            if isinstance(item, Loaded):
                self._take(item)
        reception = Reception(
            desk=self._desk,
            source=self._source,
            pacer=self._pacer,
            outgoing=self.outgoing,
            position=self._position,
            failed=self._failed,
        )
        for live, subject in self._left:
            for wish in live.leave(subject):
                reception.serve(wish)
        for item in items:
            if not isinstance(item, Loaded):
                reception.serve(item)
        for live in self._desk.catalogue.views():
            if live.wanted:
                self._bring_up(live)
                self._answer(live)

    def state(self) -> str:
        """Return an opaque name of the committed state that the turn came to."""
        text = f"{self._position.epoch}.{self._position.mark}"
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def _since(self, position: Position) -> list[Change] | None:
        if position == self._position:
            return []
        if position not in self._changes:
            self._changes[position] = self._source.changes(position)
        return self._changes[position]

    # Views.

    def _bring_up(self, live: LiveView) -> None:
        """Move a view to the present; load it if it has no rows yet."""
        if live.state is not State.LOADING and not live.rests():
            self._guarded(live, self._move)

    def _move(self, live: LiveView) -> None:
        what = Touched(whole=True)
        if live.state is State.READY and not self._reads_unproved(live):
            what = touched(live, self._since(live.position))
        try:
            delta = refresh(live, what, self._position, self._pacer, self._desk.alias)
        except OverBudget:
            live.state = State.LOADING
            self._desk.loader.load(live, None if self._source.durable else self._position)
            return
        self._publish(live, delta)

    def _reads_unproved(self, live: LiveView) -> bool:
        """Tell whether somebody wants the rows as they are now, and memory might not have them."""
        return not all(self._source.proves(live.compared, r.asked) for r in live.readers)

    def _take(self, loaded: Loaded) -> None:
        """Take a big load's rows; the turn brings them to the present."""
        live = loaded.live
        live.learn(loaded.recorder)
        if live.state is State.FAILED:
            return  # set aside meanwhile, to be read whole when its time comes

        def take(live: LiveView) -> None:
            if loaded.rows is None:
                raise loaded.problem or Unavailable()
            delta = live.load(loaded.rows, loaded.position)
            self._publish(live, delta)
            if delta is None:
                self.outgoing.add(live.audience, Arrived())
            if live.doubted:
                live.doubt()  # the load may have begun before that was said

        self._guarded(live, take)

    def _guarded(self, live: LiveView, work: Callable[[LiveView], None]) -> None:
        """Do something to a view; if that fails, the view alone is set aside."""
        self._pacer.restart()
        try:
            work(live)
        except TooManyRows as problem:
            self._end(live, problem)
        except Exception as problem:
            self._source.position()  # raises if it is the database that is lost
            self._set_aside(live, problem)

    def _publish(self, live: LiveView, delta: Delta | None) -> None:
        if delta is None and not live.stale:
            return
        live.stale = False
        if live.audience:
            frames = live.delta_frames(delta) if delta is not None else (live.ok_frame(),)
            event = Published(frames=frames, version=live.view.version)
            self.outgoing.add(live.audience, event)

    def _set_aside(self, live: LiveView, problem: Exception) -> None:
        reference = secrets.token_hex(4)
        delay = RETRY_SECONDS[min(live.failures, len(RETRY_SECONDS) - 1)]
        logger.error(
            "bindserver: %s is set aside for %g s (reference %s)",
            live.query.model.__name__,
            delay,
            reference,
            exc_info=problem,
        )
        live.state = State.FAILED
        live.failures += 1
        live.retry_at = time.monotonic() + delay
        mark_stale(live, self.outgoing)
        live.fail_readers(Unavailable())

    def _failed(self, problem: Exception) -> str:
        """Log what a binding raised, and return what may be said of it to whoever asked."""
        reference = secrets.token_hex(4)
        logger.error("bindserver: a binding failed (reference %s)", reference, exc_info=problem)
        return f"the server failed; reference {reference}"

    def _end(self, live: LiveView, problem: TooManyRows) -> None:
        """End the subscriptions of a view that has outgrown its limit."""
        logger.error("bindserver: %s: %s", live.query.model.__name__, problem)
        refs = [*live.audience, *(opening.ref for opening in live.openings)]
        self.outgoing.add(refs, Ended(code=Code.TOO_LARGE))
        live.fail_readers(problem)
        live.openings.clear()
        live.audience.clear()
        live.state = State.NEW

    def _resolve_subjects(self) -> None:
        """Ask bindings again whose own reads may have changed; their subscribers get a sync."""
        for subject in self._desk.catalogue.subjects():
            if not subject.reads:
                continue
            if not subject.concerned(self._since(subject.position)):
                subject.position = self._position
            elif subject.refs and not subject.live.rests():
                self._guarded(subject.live, partial(self._move_subject, subject))
            elif not subject.refs:
                self._forget(subject)

    def _forget(self, subject: Subject) -> None:
        """Drop a subject; who waits for rows through it is led to a view anew."""
        self._desk.catalogue.forget(subject)
        self._left.append((subject.live, subject))

    def _move_subject(self, subject: Subject, live: LiveView) -> None:
        try:
            moved = self._desk.catalogue.resolve_again(subject)
        except Denied:
            self._revoke(subject, Code.REVOKED)
            return
        except PermissionFailed as problem:
            self._source.position()  # raises if it is the database that is lost
            self._failed(problem)
            self._revoke(subject, Code.INTERNAL)
            return
        subject.position = self._position
        if moved:
            self._left.append((live, subject))
            subject.live.openings.extend(
                Opening(ref, EVERYTHING, moved=True) for ref in subject.refs
            )

    def _revoke(self, subject: Subject, code: Code) -> None:
        """End the subscriptions of a subject that may not have its binding any more."""
        refs = list(subject.refs)
        for ref in refs:
            self._desk.catalogue.release(ref)
        self._forget(subject)
        self.outgoing.add(refs, Ended(code=code))

    # Answers.

    def _answer(self, live: LiveView) -> None:
        """Answer all who wait for the view's rows, if they are here.

        Where one of its tables is not watched yet, nobody knows what a cursor has missed: the next
        turn does.
        """
        if live.state is not State.READY:
            return
        if not self._source.watches(live.tables):
            self.unanswered = True
            return
        live.give_readers(self._source.proves)
        for opening in live.openings:
            frames = self._first_frames(live, opening.message)
            live.audience[opening.ref] = None
            answered = Answered(frames=frames, version=live.view.version)
            self.outgoing.add([opening.ref], answered)
        live.openings.clear()

    def _first_frames(self, live: LiveView, message: Subscribe) -> tuple[Frame, ...]:
        cursor = cursors.load(message.cursor, self._desk.secret)
        if cursor is not None and cursor.fingerprint != live.query.fingerprint:
            cursor = None
        changes = self._since(cursor.position) if cursor is not None else None
        delta = missed(live, cursor, message.held, changes)
        if delta is None:
            return live.sync_frames(round_page_size(message.page_size))
        return live.delta_frames(delta)
