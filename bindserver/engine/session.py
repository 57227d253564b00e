"""One client's conversation: messages and deltas in, effects and frames out.

    client's text  --receive-->  Ask / Release / Prove / Close   (effects, for the transport)
    hub's events   --hear-->     the outbox
    the writer     --next_frame-->  the text to write, and CatchUp when the client is up again

While there is nothing but deltas of one subscription, these go past all that, by the `line`.

`subscription` draws the states that each subscription goes through.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

from bindserver.engine import events, protocol
from bindserver.engine.awaited import AwaitedWrites
from bindserver.engine.commits import CommitGroups
from bindserver.engine.effects import (
    Ask,
    AwaitWrite,
    CatchUp,
    Close,
    Effect,
    Prove,
    Reconsider,
    Release,
)
from bindserver.engine.frames import Frame
from bindserver.engine.intake import Intake, Rejection
from bindserver.engine.limits import Limits
from bindserver.engine.line import Line
from bindserver.engine.outbox import Outbox
from bindserver.engine.parsing import Malformed
from bindserver.engine.protocol import Closing, Code, Ref
from bindserver.engine.subscription import Subscription, SubscriptionState


class Session:
    """The conversation with one client.

    Args:
        limits: what the client may use up.

    Attributes:
        line: the straight way to the client; it is open between `open_line` and whatever is said
            or heard next.
    """

    __slots__ = (
        "_asked", "_awaited", "_closed", "_commits", "_intake", "_limits", "_next_number",
        "_on_line", "_outbox", "_subscriptions", "line",
    )  # fmt: skip

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._outbox = Outbox(limits.outbox_bytes)
        self._intake = Intake(limits)
        self._asked: dict[int, protocol.Subscribe | protocol.Unsubscribe] = {}
        self._subscriptions: dict[int, Subscription] = {}
        self._next_number = 1
        self._commits = CommitGroups(self._outbox, self._subscriptions)
        self._awaited: AwaitedWrites | None = None  # few clients wait for any
        self._closed = False
        self.line = Line()
        self._on_line: Subscription | None = None

    @property
    def subscriptions(self) -> Mapping[int, Subscription]:
        """The subscriptions by number."""
        return self._subscriptions

    @property
    def waiting(self) -> int:
        """How many bytes wait in the outbox's queue."""
        return self._outbox.waiting

    @property
    def rate_limited(self) -> int:
        """How many messages were refused, as there were too many."""
        return self._intake.rate_limited

    @property
    def is_lazy(self) -> bool:
        """Whether the client skips states of a subscription, as it does not keep up; from any
        thread."""
        subscriptions = list(self._subscriptions.values())
        return any(sub.state is SubscriptionState.LAZY for sub in subscriptions)

    # What the client says.

    def receive(
        self, text: str, now: float, heard: protocol.Message | Malformed | None = None
    ) -> Iterator[Effect]:
        """Take one text message.

        Args:
            text: the message.
            now: a clock that only rises, in seconds.
            heard: what `intake.read` has made of it, where that was done elsewhere.
        """
        self._close_line()
        if self._closed:
            return
        match self._intake.take(text, now, heard):
            case Rejection(told=told, closing=closing):
                if told is not None:
                    yield from self._tell(told)
                if closing is not None and not self._closed:
                    yield self._close(*closing)
            case message:
                yield from self._on_message(message)

    def receive_binary(self) -> Iterator[Effect]:
        """Take a binary message: the contract has none."""
        self._close_line()
        if not self._closed:
            yield self._close(Closing.UNSUPPORTED, "text messages only")

    def _on_message(self, message: protocol.Message) -> Iterator[Effect]:
        match message:
            case protocol.Subscribe() | protocol.Unsubscribe():
                yield from self.ask(message)
            case protocol.Authenticate(token=token, ref=ref):
                yield Prove(token=token, ref=ref)
            case protocol.Hello(want=want):
                self._commits.want(want)
            case protocol.Await():
                yield from self._await(message)
            case protocol.Ping(data=data):
                yield from self._tell(protocol.pong(data))
            case protocol.Ignored():
                pass

    def _await(self, message: protocol.Await) -> Iterator[Effect]:
        if self._awaited is None:
            self._awaited = AwaitedWrites(self._subscriptions)
        if len(self._awaited) >= self._limits.subscriptions:
            detail = f"at most {self._limits.subscriptions} writes are waited for"
            yield from self._tell_unseen(Code.UNAVAILABLE, detail, message.ref)
            return
        number = self._next_number
        self._next_number += 1
        self._awaited.add(number, message.ref)
        yield AwaitWrite(number=number, token=message.token)

    def limit_wait(self, number: int, forget: Callable[[], object]) -> None:
        """Take what ends the time limit of a write that is waited for: see `AwaitWrite`."""
        if self._awaited is not None and number in self._awaited:
            self._awaited.limit(number, forget)

    def _tell_unseen(self, code: Code, detail: str, ref: Ref) -> Iterator[Effect]:
        yield from self._tell(protocol.error(code, detail, event="$await", ref=ref))

    def ask(self, message: protocol.Subscribe | protocol.Unsubscribe) -> Iterator[Effect]:
        """Take a message that has been read already."""
        if self._waiting_like(message) >= 2 * self._limits.subscriptions:
            yield from self._tell(
                protocol.error(
                    Code.TOO_MANY_SUBSCRIPTIONS,
                    "too many requests wait for an answer",
                    event=message.event,
                    ref=message.ref,
                    params=message.params or None,
                )
            )
            return
        number = self._next_number
        self._next_number += 1
        self._asked[number] = message
        yield Ask(number=number, message=message)

    def _waiting_like(self, message: protocol.Subscribe | protocol.Unsubscribe) -> int:
        """Count what a message adds to. Asks and leaves are counted apart: a client may leave all
        that it holds and ask for as much again, and not wait for an answer in between."""
        waiting = sum(isinstance(asked, type(message)) for asked in self._asked.values())
        opening = isinstance(message, protocol.Subscribe)
        return waiting + opening * len(self._subscriptions)

    # What the hub says.

    def hear(self, number: int, event: events.Event) -> Iterator[Effect]:
        """Take an event about the subscription or question `number`.

        Returns:
            What is to be done; nothing has happened until it is iterated.
        """
        self._close_line()
        match event:
            case events.Published():
                self._publish(number, event)
            case events.Answered():
                self._answer(number, event)
            case events.Accepted():
                yield from self._accept(number, event)
            case events.Unsubscribed():
                yield from self._unsubscribe(number, event)
            case events.Rejected(code=code, detail=detail):
                yield from self._reject(number, code, detail)
            case events.Seen():
                yield from self._arrive(number)
            case events.Staled(frame=frame):
                yield from self._mark_stale(number, frame)
            case events.Ended(code=code):
                yield from self._end(number, code)
        # `Arrived` counts where the turn settles, and says nothing itself.

    def _reject(self, number: int, code: Code, detail: str) -> Iterator[Effect]:
        """Tell that a message cannot be served. A subscription that it asked for, and that has been
        accepted and not answered yet, ends, and says so."""
        message = self._asked.pop(number, None)
        if message is None:
            if self._awaited is not None and number in self._awaited:
                ref = self._awaited.forget(number)
                yield Release(number=number)
                yield from self._tell_unseen(code, detail, ref)
                return
            yield from self._reject_late(number, code, detail)
            return
        yield from self._tell(
            protocol.error(
                code, detail, event=message.event, ref=message.ref, params=message.params or None
            )
        )

    def _reject_late(self, number: int, code: Code, detail: str) -> Iterator[Effect]:
        subscription = self._subscriptions.get(number)
        if subscription is None:
            return
        params = None if subscription.params is None else json.loads(subscription.params)
        yield from self._tell(
            protocol.error(
                code, detail, event=subscription.event, ref=subscription.ref, params=params
            )
        )
        yield from self._end(number, code)

    def _accept(self, number: int, accepted: events.Accepted) -> Iterator[Effect]:
        message = self._asked.pop(number, None)
        if message is None:
            yield Release(number=number)
            return
        shown = accepted.params if accepted.takes_params else None
        older = self._number_of(message.event, shown)
        if older is None and len(self._subscriptions) >= self._limits.subscriptions:
            yield Release(number=number)
            yield from self._tell(
                protocol.error(
                    Code.TOO_MANY_SUBSCRIPTIONS,
                    f"at most {self._limits.subscriptions} subscriptions for one connection",
                    event=message.event,
                    ref=message.ref,
                    params=message.params or None,
                )
            )
            return
        if older is not None:
            yield from self._forget(older)
        self._subscriptions[number] = Subscription(
            number=number,
            event=message.event,
            params=shown,
            ref=message.ref,
            again=older is not None,
        )
        yield from self._tell(
            protocol.subscribed(
                event=message.event,
                params=accepted.params,
                key=accepted.key,
                ordered=accepted.ordered,
                ref=message.ref,
            )
        )

    def _unsubscribe(self, number: int, unsubscribed: events.Unsubscribed) -> Iterator[Effect]:
        message = self._asked.pop(number, None)
        if message is None:
            return
        shown = unsubscribed.params if unsubscribed.takes_params else None
        current = self._number_of(message.event, shown)
        if current is not None:
            yield from self._forget(current)
        else:
            self._intake.count_idle_leave()
        yield from self._tell(
            protocol.disconnected(event=message.event, params=shown, ref=message.ref)
        )
        yield from self._mark_commit()

    def _number_of(self, event: str, params: str | None) -> int | None:
        """Return the number of the subscription to an event with these params, if there is one."""
        for number, subscription in self._subscriptions.items():
            if (subscription.event, subscription.params) == (event, params):
                return number
        return None

    def _answer(self, number: int, answered: events.Answered) -> None:
        subscription = self._subscriptions.get(number)
        if subscription is None:
            return
        subscription.state = SubscriptionState.PAGING
        subscription.version = answered.version
        subscription.behind = subscription.catching = False
        subscription.stale = None
        self._commits.answer(number, answered.frames)

    def _publish(self, number: int, published: events.Published) -> None:
        subscription = self._subscriptions.get(number)
        if subscription is None or subscription.state is SubscriptionState.OPENING:
            return
        subscription.stale = None
        self._commits.publish(subscription, published.frames, published.version)

    def pass_by(self, number: int, version: int) -> bool:
        """Take note that a delta's frame is written at once, past the outbox.

        Args:
            number: the subscription's.
            version: where the frame brings it.

        Returns:
            Whether it may be: what was said before has been written, and nothing belongs in front.
            Else nothing has happened, and the delta is to be heard as other events are.
        """
        self._close_line()
        subscription = self._subscriptions.get(number)
        if subscription is None or subscription.state is not SubscriptionState.LIVE:
            return False
        if self._outbox or not self._commits.pass_by(number):
            return False
        subscription.version = version
        subscription.stale = None
        return True

    def settle_quietly(self) -> bool:
        """Take a committed state, as `committed` does, where there is nothing to say about it;
        return whether that is so."""
        return not self._has_arrived() and self._commits.settle_quietly()

    def _mark_stale(self, number: int, frame: Frame) -> Iterator[Effect]:
        subscription = self._subscriptions.get(number)
        if subscription is None:
            return
        self._commits.let_pass(number)
        if subscription.state is SubscriptionState.PAGING:
            subscription.stale = frame
        else:
            yield from self._tell_frame(frame)

    def committed(self, state: str) -> Iterator[Effect]:
        """Called when all frames of one committed state have been given."""
        self._close_line()
        self._commits.settle(state)
        yield from self._mark_commit()

    def _mark_commit(self) -> Iterator[Effect]:
        if (state := self._commits.end()) is not None:
            yield from self._tell(protocol.commit(state))
        yield from self._tell_seen()

    def _arrive(self, number: int) -> Iterator[Effect]:
        if self._awaited is not None:
            self._awaited.arrive(number)
            yield from self._tell_seen()

    def _tell_seen(self) -> Iterator[Effect]:
        """Tell which writes the client holds, behind the frames that brought them."""
        if self._awaited is not None and not self._commits.is_midway:
            for ref in self._awaited.seen():
                yield from self._tell(protocol.seen(ref))

    def _has_arrived(self) -> bool:
        """Return whether a write that the client waits for is there, and it has not been told."""
        return self._awaited is not None and self._awaited.any_arrived()

    def _end(self, number: int, code: Code) -> Iterator[Effect]:
        subscription = self._subscriptions.get(number)
        if subscription is None:
            return
        yield from self._forget(number)
        yield from self._tell(
            protocol.disconnected(event=subscription.event, params=subscription.params, code=code)
        )
        yield from self._mark_commit()

    # The straight way.

    def open_line(self) -> None:
        """Have deltas go straight to the client, if it has a single subscription, and nothing else
        is to be said. Called when all is written, and the socket takes more."""
        if self._closed or len(self._subscriptions) != 1 or self._outbox:
            return
        (subscription,) = self._subscriptions.values()
        if subscription.state is SubscriptionState.LIVE and self._commits.rests():
            self._on_line = subscription
            self.line.version = subscription.version
            self.line.carries = subscription.number

    def _close_line(self) -> None:
        """Have all go through the session, where what is said now is put in order."""
        subscription, self._on_line = self._on_line, None
        if subscription is not None:
            self.line.stop()
            subscription.version = self.line.version

    # Who the client is.

    def authenticated(self, expires: int | None, ref: Ref) -> Iterator[Effect]:
        """Take the proof that the client is who it says, for `expires` seconds."""
        self._close_line()
        yield from self._tell(protocol.authenticated(expires, ref))

    def not_authenticated(
        self, detail: str, ref: Ref, code: Code = Code.UNAUTHENTICATED
    ) -> Iterator[Effect]:
        """Called when the client's proof is none, or cannot be looked at."""
        self._close_line()
        if code is Code.UNAUTHENTICATED:
            self._intake.count_failed_proof()
        yield from self._tell(protocol.error(code, detail, event="$auth", ref=ref))

    def reconsider(self) -> Iterator[Effect]:
        """Have all subscriptions evaluated again, and those that are being opened."""
        self._close_line()
        for number, message in list(self._asked.items()):
            if isinstance(message, protocol.Subscribe):
                yield Reconsider(number=number, event=message.event)
        for number, subscription in list(self._subscriptions.items()):
            yield Reconsider(number=number, event=subscription.event)

    def end_all(self, code: Code) -> Iterator[Effect]:
        """End every subscription, and those that are being opened."""
        self._close_line()
        for number in list(self._asked):
            yield from self._reject(number, code, "the connection has another user now")
        for number in list(self._subscriptions):
            yield from self._end(number, code)

    # What is written.

    def has_work(self) -> bool:
        """Return whether anything waits to be written, or to be asked for once all is written."""
        return bool(self._outbox or self._commits) or any(
            sub.state is SubscriptionState.LAZY and not sub.catching
            for sub in self._subscriptions.values()
        )

    def next_frame(self) -> Iterator[Frame | Effect]:
        """Yield the next frame to write, if any, and the effects of having written the ones before.

        The iterator ends after one frame; nothing yielded means that all is written.
        """
        self._close_line()
        self._commits.hand_over()  # the rest of the state is late
        while True:
            item = self._outbox.pop()
            if isinstance(item, Frame):
                yield item
                return
            if item is None:
                yield from self._drained()
                return
            yield from self._paged(item)

    def _paged(self, number: int) -> Iterator[Effect]:
        subscription = self._subscriptions.get(number)
        if subscription is None or subscription.state is not SubscriptionState.PAGING:
            return
        if subscription.stale is not None:
            yield from self._tell_frame(subscription.stale)
            subscription.stale = None
        if subscription.behind:
            yield self._catch_up(subscription)
        else:
            subscription.state = SubscriptionState.LIVE
            yield from self._mark_commit()

    def _drained(self) -> Iterator[Effect]:
        for subscription in list(self._subscriptions.values()):
            if subscription.state is SubscriptionState.LAZY and not subscription.catching:
                yield self._catch_up(subscription)

    def _catch_up(self, subscription: Subscription) -> Effect:
        """Ask for the net change; what comes until it is here is a part of a later one."""
        subscription.state = SubscriptionState.LAZY
        subscription.catching = True
        return CatchUp(
            number=subscription.number, event=subscription.event, version=subscription.version
        )

    def gone(self) -> Iterator[Effect]:
        """Called when the connection is no more."""
        self._close_line()
        self._closed = True
        self._outbox.clear()
        for number, message in self._asked.items():
            if isinstance(message, protocol.Subscribe):
                yield Release(number=number)  # it need not even be looked at any more
        self._asked.clear()
        for number in () if self._awaited is None else self._awaited.forget_all():
            yield Release(number=number)
        for number in list(self._subscriptions):
            yield from self._forget(number)

    def _forget(self, number: int) -> Iterator[Effect]:
        del self._subscriptions[number]
        self._commits.forget(number)
        self._outbox.forget(number)
        yield Release(number=number)

    def _tell(self, text: str) -> Iterator[Effect]:
        yield from self._tell_frame(Frame.of(text))

    def _tell_frame(self, frame: Frame) -> Iterator[Effect]:
        """Queue what must not be lost: a client that leaves no room for it is too slow."""
        if self._closed:
            return
        if not self._outbox.tell(frame):
            yield self._close(Closing.TOO_SLOW, "the client does not read what it asked for")

    def _close(self, code: Closing, reason: str) -> Close:
        self._closed = True
        return Close(code=code, reason=reason)
