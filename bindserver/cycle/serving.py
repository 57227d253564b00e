"""Serving wishes, inside a turn's snapshot: who asks is led to a view, and waits there for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bindserver.bindings.binding import Binding
from bindserver.bindings.params import validate
from bindserver.bindings.refusals import code_of_end, refusing
from bindserver.bindings.registry import BindingClass, registry
from bindserver.capture.sources import Source
from bindserver.conf import conf
from bindserver.cycle.delivery import Outgoing
from bindserver.cycle.inbox import (
    Accepted,
    Answered,
    CatchUpWish,
    Ended,
    HintWish,
    OrderWish,
    ReadWish,
    ReconsiderWish,
    Ref,
    Refused,
    ReleaseWish,
    SnapshotWish,
    Staled,
    SubscribeWish,
    Unsubscribed,
    UnsubscribeWish,
    Wish,
)
from bindserver.cycle.outage import Desk
from bindserver.cycle.viewers import Subject
from bindserver.cycle.waiting import Opening, Reading
from bindserver.database.pacing import Pacer
from bindserver.database.snapshot import guarded, locked
from bindserver.engine.changes import Position
from bindserver.engine.frames import round_page_size
from bindserver.engine.protocol import canonical
from bindserver.exceptions import Overtaken, Refusal, Unavailable
from bindserver.queries.query import Form
from bindserver.user_code import apart


class Reception:
    """Serves the wishes of one turn.

    Args:
        desk: what lasts.
        source: says what changed.
        pacer: stops what takes too long.
        outgoing: takes the events that it comes to.
        position: the turn's.
        failed: takes what a binding raised, as `Isolation.failed` does.
        renew: asks a subject's binding again, where what it has read may have changed unseen.

    Attributes:
        postponed: the wishes that another snapshot is needed for, and all that came after them.
    """

    def __init__(
        self,
        desk: Desk,
        source: Source,
        pacer: Pacer,
        outgoing: Outgoing,
        position: Position,
        failed: Callable[..., Refusal],
        renew: Callable[[Subject], None],
    ) -> None:
        self._desk = desk
        self._source = source
        self._pacer = pacer
        self._outgoing = outgoing
        self._position = position
        self._failed = failed
        self._renew = renew
        self.postponed: list[Wish] = []
        self._until = time.monotonic() + conf.QUERY_SECONDS
        self._late = False

    def serve(self, wish: Wish) -> None:
        """Serve a wish, or have it wait for its view; a wish that fails is told so.

        A snapshot is not held for long, however many wishes there are: the others wait for the
        next one.
        """
        if self.postponed or self._late:  # what is asked and taken back must stay in this order
            self.postponed.append(wish)
            return
        try:
            apart(partial(self._serve, wish))
        except Overtaken:
            self.postponed.append(wish)
        self._late = time.monotonic() >= self._until

    def _serve(self, wish: Wish) -> None:
        match wish:
            case SubscribeWish():
                self._refusing(wish, lambda: self._subscribe(wish))
            case UnsubscribeWish():
                self._refusing(wish, lambda: self._unsubscribe(wish))
            case ReleaseWish():
                self._desk.catalogue.release(wish.ref)
            case CatchUpWish():
                self._catch_up(wish)
            case ReconsiderWish():
                self._reconsider(wish)
            case SnapshotWish() | ReadWish():
                self._read(wish)
            case OrderWish():
                self._desk.obey(wish)
            case HintWish():
                pass

    def _refusing(self, wish: SubscribeWish | UnsubscribeWish, work: Callable[[], None]) -> None:
        """Serve a wish, or say in the contract's words why not."""
        self._pacer.restart()
        try:
            work()
        except Refusal as problem:
            refusal = problem
        except Overtaken:
            raise
        except Exception as problem:
            refusal = self._refusal(problem, _kind_of(wish), _params_of(wish))
        else:
            return
        self._outgoing.add([wish.ref], Refused(code=refusal.code, detail=str(refusal)))

    def _refusal(self, problem: Exception, kind: BindingClass, given: object) -> Refusal:
        """Return what may be said of a wish that failed."""
        self._source.position()  # raises if it is the database that is lost
        if locked(self._desk.alias, problem):
            return Unavailable()
        return self._failed(problem, kind, given=bool(given))

    def _subscribe(self, wish: SubscribeWish) -> None:
        catalogue = self._desk.catalogue
        if wish.instance is not None:
            subject, instance = self._subject_of_instance(wish.instance, Form.JSON), wish.instance
        else:
            binding = registry.get(wish.message.event)
            subject, instance = catalogue.resolve(
                binding, wish.caller, wish.message.params, self._position
            )
        opening = subject.live.opening(wish.ref, wish.message)
        refusal = subject.live.refuses()
        if refusal is not None and not opening.has_rows:
            raise refusal
        catalogue.attach(wish.ref, subject)
        accepted = Accepted(
            params=canonical(instance.wire_params),
            takes_params=bool(type(instance).params),
            key=subject.live.query.key,
            ordered=True,
        )
        self._outgoing.add([wish.ref], accepted)
        self._desk.await_rows(subject.live, [opening], self._outgoing)

    def _reconsider(self, wish: ReconsiderWish) -> None:
        """Evaluate a subscription for a caller who has proved anew who they are."""
        self._pacer.restart()
        catalogue = self._desk.catalogue
        waiting = self._waiting(wish.ref)
        try:
            moved = catalogue.reconsider(wish.ref, wish.caller, self._position)
        except Refusal as refusal:
            code = code_of_end(refusal)
        except Overtaken:
            raise
        except Exception as problem:
            known = catalogue.subject_of(wish.ref)
            if known is None:
                raise
            code = self._refusal(problem, known.binding, known.params).code
        else:
            if moved is not None:
                self._desk.move([wish.ref], moved.live, waiting, self._outgoing)
            return
        catalogue.release(wish.ref)
        self._outgoing.add([wish.ref], Ended(code=code))

    def _waiting(self, ref: Ref) -> list[Opening]:
        """Return how a subscription waits for a first answer, if it does."""
        subject = self._desk.catalogue.subject_of(ref)
        return [] if subject is None else [o for o in subject.live.openings if o.ref == ref]

    def _unsubscribe(self, wish: UnsubscribeWish) -> None:
        binding = registry.find(wish.message.event)
        with refusing(given=True), guarded(self._desk.alias):
            _, wire = validate(binding.params, wish.message.params)
        event = Unsubscribed(params=canonical(wire), takes_params=bool(binding.params))
        self._outgoing.add([wish.ref], event)

    def _catch_up(self, wish: CatchUpWish) -> None:
        subject = self._desk.catalogue.subject_of(wish.ref)
        if subject is None or wish.ref not in subject.live.audience:
            return
        live = subject.live
        if live.superseded:  # its rows are not this subscriber's any more; the new ones are to come
            del live.audience[wish.ref]
            self._desk.move([wish.ref], live, (), self._outgoing)
            return
        delta = live.view.since(wish.version)
        if delta is None:
            frames = live.sync_frames(round_page_size(None))
        else:
            frames = live.delta_frames(delta)
        self._outgoing.add([wish.ref], Answered(frames=frames, version=live.view.version))
        if live.stale:
            self._outgoing.add([wish.ref], Staled(frame=live.stale_frame()))

    def _subject_of(self, wish: SnapshotWish | ReadWish) -> Subject:
        if isinstance(wish, ReadWish):
            return self._subject_of_instance(wish.instance, Form.MODELS)
        subject, _ = self._desk.catalogue.resolve(
            wish.binding, wish.caller, wish.params, self._position, trusted=wish.trusted
        )
        return subject

    def _subject_of_instance(self, instance: Binding[Any], form: Form) -> Subject:
        return self._desk.catalogue.resolve_instance(instance, form, self._position)

    def _read(self, wish: SnapshotWish | ReadWish) -> None:
        """Have a view answer a wish for its rows, once they are the present ones."""
        try:
            subject = self._subject_of(wish)
            self._renew(subject)
        except Refusal as problem:
            wish.fail(problem)
        except Overtaken:
            raise
        except Exception as problem:
            wish.fail(self._refusal(problem, _kind_of(wish), _params_of(wish)))
        else:
            if subject.live.rests():
                wish.fail(subject.live.refuses() or Unavailable())
            else:
                subject.live.readers.append(Reading(wish, self._position, subject))


def _kind_of(wish: SubscribeWish | UnsubscribeWish | SnapshotWish | ReadWish) -> BindingClass:
    """Return the class of the binding that a wish is about."""
    if isinstance(wish, SnapshotWish):
        return wish.binding
    if isinstance(wish, ReadWish):
        return type(wish.instance)
    if isinstance(wish, SubscribeWish) and wish.instance is not None:
        return type(wish.instance)
    return registry.find(wish.message.event)  # whether or not it may be served


def _params_of(
    wish: SubscribeWish | UnsubscribeWish | SnapshotWish | ReadWish,
) -> Mapping[str, Any]:
    """Return the params that a wish was given."""
    if isinstance(wish, SnapshotWish):
        return wish.params
    if isinstance(wish, ReadWish):
        return wish.instance.wire_params
    if isinstance(wish, SubscribeWish) and wish.instance is not None:
        return wish.instance.wire_params
    return wish.message.params
