"""Serving requests, inside a turn's snapshot: who asks is led to a view, and waits there for it."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from bindserver.bindings.binding import Binding
from bindserver.bindings.params import validate
from bindserver.bindings.refusals import code_of_end, refusing
from bindserver.bindings.registry import BindingClass, registry
from bindserver.cycle.admission import await_rows, move
from bindserver.cycle.answers import delta_frames, opening_of, stale_frame, sync_frames
from bindserver.cycle.commit_tokens import read
from bindserver.cycle.context import TurnContext
from bindserver.cycle.failures import Failures
from bindserver.cycle.inbox import (
    Hint,
    ReadRequest,
    Request,
    SessionRequest,
    SnapshotRequest,
    SubscriptionRef,
    ViewCommand,
)
from bindserver.cycle.owners import owner_of
from bindserver.cycle.renewal import Renewal
from bindserver.cycle.viewers import Viewer
from bindserver.cycle.waiting import Opening, Reading
from bindserver.database.snapshot import guarded, locked
from bindserver.engine.effects import Ask, AwaitWrite, CatchUp, Reconsider, Release
from bindserver.engine.events import Accepted, Answered, Ended, Rejected, Staled, Unsubscribed
from bindserver.engine.frames import round_page_size
from bindserver.engine.protocol import Code, Subscribe, Unsubscribe, canonical
from bindserver.exceptions import Overtaken, Refusal, Unavailable
from bindserver.queries.rows import Form
from bindserver.user_code import apart, contained


def still_wanted(requests: Sequence[Request]) -> Sequence[Request]:
    """Return requests without the subscriptions that were taken back before anybody has looked at
    them: a client that has gone left them."""
    gone = {
        request.ref
        for request in requests
        if isinstance(request, SessionRequest) and isinstance(request.effect, Release)
    }
    if not gone:
        return requests
    return [request for request in requests if not _is_taken_back(request, gone)]


def _is_taken_back(request: Request, gone: Collection[SubscriptionRef]) -> bool:
    if not isinstance(request, SessionRequest) or request.ref not in gone:
        return False
    return isinstance(request.effect, Ask)


class Serving:
    """Serves the requests of one turn.

    Args:
        context: the turn's.
        failures: takes what a binding raised.
        renewal: asks a viewer's binding again, where what it has read may have changed unseen.
    """

    def __init__(self, context: TurnContext, failures: Failures, renewal: Renewal) -> None:
        self._context = context
        self._failures = failures
        self._renewal = renewal

    def serve(self, requests: Sequence[Request]) -> Sequence[Request]:
        """Serve requests in their order, or have them wait for their views; one that fails is told
        so.

        Returns:
            Those that are left for another snapshot: this one is too old for the first of them, or
            has been held for long enough.
        """
        until = self._context.store.lanes.slice_until()
        for number, request in enumerate(requests):
            try:
                apart(partial(self._serve, request))
            except Overtaken:
                return requests[number:]
            if time.monotonic() >= until:
                return requests[number + 1 :]
        return ()

    def _serve(self, request: Request) -> None:
        match request:
            case SessionRequest():
                self._perform(request)
            case SnapshotRequest() | ReadRequest():
                self._read(request)
            case ViewCommand():
                self._context.store.apply_command(request)
            case Hint():
                pass

    def _perform(self, request: SessionRequest) -> None:
        match request.effect:
            case Ask(message=message):
                self._answer(request, message)
            case Release():
                self._context.store.release(request.ref)
            case CatchUp(version=version):
                self._catch_up(request.ref, version)
            case Reconsider():
                self._reconsider(request)
            case AwaitWrite(token=token):
                self._await_write(request.ref, token)

    def _answer(self, request: SessionRequest, message: Subscribe | Unsubscribe) -> None:
        """Serve a message, or say in the contract's words why not."""
        self._context.pacer.restart()
        try:
            with contained():
                if isinstance(message, Subscribe):
                    self._subscribe(request, message)
                else:
                    self._unsubscribe(request.ref, message)
        except Refusal as problem:
            refusal = problem
        except Overtaken:
            raise
        except Exception as problem:
            refusal = self._refusal_of(request, message, problem)
        else:
            return
        self._context.outbound.add([request.ref], Rejected(code=refusal.code, detail=str(refusal)))

    def _refusal_of(
        self, request: SessionRequest, message: Subscribe | Unsubscribe, problem: Exception
    ) -> Refusal:
        if request.instance is not None:
            instance = request.instance
            return self._refusal(problem, type(instance), instance.wire_params)
        # Whether or not it may be served.
        return self._refusal(problem, registry.find(message.event), message.params)

    def _refusal(self, problem: Exception, kind: BindingClass, given: object) -> Refusal:
        """Return what may be said of a request that failed."""
        self._context.source.position()  # raises if it is the database that is lost
        if locked(self._context.alias, problem):
            return Unavailable()
        return self._failures.failed(problem, kind, given=bool(given))

    def _subscribe(self, request: SessionRequest, message: Subscribe) -> None:
        store, ref, instance = self._context.store, request.ref, request.instance
        if instance is not None:
            viewer, owner = self._viewer_of_instance(instance, Form.JSON), None
        else:
            binding, owner = registry.get(message.event), owner_of(request.caller)
            viewer, instance = self._context.resolver.resolve(
                binding, request.caller, message.params, self._context.position
            )
        opening = opening_of(viewer.live, ref, message)
        refusal = viewer.live.refuses()
        if refusal is not None and not opening.has_rows:
            raise refusal
        store.attach(ref, viewer, owner)
        accepted = Accepted(
            params=canonical(instance.wire_params),
            takes_params=bool(type(instance).params),
            key=viewer.live.query.key,
            ordered=True,
        )
        self._context.outbound.add([ref], accepted)
        await_rows(self._context, viewer.live, [opening])

    def _reconsider(self, request: SessionRequest) -> None:
        """Evaluate a subscription for a caller who has proved anew who they are."""
        self._context.pacer.restart()
        store, ref = self._context.store, request.ref
        waiting = self._waiting(ref)
        try:
            with contained():
                moved = self._context.resolver.reconsider(
                    ref, request.caller, self._context.position
                )
        except Refusal as refusal:
            code = code_of_end(refusal)
        except Overtaken:
            raise
        except Exception as problem:
            known = store.viewers.viewer_of(ref)
            if known is None:
                raise
            code = self._refusal(problem, known.binding, known.params()).code
        else:
            if moved is not None:
                move(self._context, [ref], moved.live, waiting)
            return
        store.release(ref)
        self._context.outbound.add([ref], Ended(code=code))

    def _waiting(self, ref: SubscriptionRef) -> list[Opening]:
        """Return how a subscription waits for a first answer, if it does."""
        viewer = self._context.store.viewers.viewer_of(ref)
        return [] if viewer is None else [o for o in viewer.live.openings if o.ref == ref]

    def _unsubscribe(self, ref: SubscriptionRef, message: Unsubscribe) -> None:
        binding = registry.find(message.event)
        with refusing(given=True), guarded(self._context.alias):
            _, wire = validate(binding.params, message.params)
        event = Unsubscribed(params=canonical(wire), takes_params=bool(binding.params))
        self._context.outbound.add([ref], event)

    def _await_write(self, ref: SubscriptionRef, token: str) -> None:
        """Have a client wait until it holds a write. Without a change log this process knows of its
        own alone."""
        if self._context.source.durable or read(token).is_ours:
            self._context.store.awaiting.add(ref)
            return
        detail = "this server does not see every write: it has no change log"
        rejected = Rejected(code=Code.UNAVAILABLE, detail=detail)
        self._context.outbound.add([ref], rejected)

    def _catch_up(self, ref: SubscriptionRef, version: int) -> None:
        viewer = self._context.store.viewers.viewer_of(ref)
        if viewer is None or ref not in viewer.live.audience:
            return
        live = viewer.live
        if live.superseded:  # its rows are not this subscriber's any more; the new ones are to come
            live.release([ref])
            move(self._context, [ref], live, ())
            return
        delta = live.rows.view.since(version)
        if delta is None:
            frames = sync_frames(live, round_page_size(None))
        else:
            frames = delta_frames(live, delta)
        self._context.outbound.add([ref], Answered(frames=frames, version=live.rows.view.version))
        if live.stale:
            self._context.outbound.add([ref], Staled(frame=stale_frame(live)))

    def _viewer_of(self, request: SnapshotRequest | ReadRequest) -> Viewer:
        if isinstance(request, ReadRequest):
            return self._viewer_of_instance(request.instance, Form.MODELS)
        viewer, _ = self._context.resolver.resolve(
            request.binding,
            request.caller,
            request.params,
            self._context.position,
            trusted=request.trusted,
        )
        return viewer

    def _viewer_of_instance(self, instance: Binding[Any], form: Form) -> Viewer:
        return self._context.resolver.resolve_instance(instance, form, self._context.position)

    def _read(self, request: SnapshotRequest | ReadRequest) -> None:
        """Have a view answer a request for its rows, once they are the present ones."""
        if request.has_left:
            return
        try:
            with contained():
                viewer = self._viewer_of(request)
                self._renewal.renew(viewer)
        except Refusal as problem:
            request.fail(problem)
        except Overtaken:
            raise
        except Exception as problem:
            request.fail(self._refusal(problem, request.binding, request.params))
        else:
            if viewer.live.rests():
                request.fail(viewer.live.refuses() or Unavailable())
            else:
                viewer.live.await_rows([Reading(request, self._context.position, viewer)])
