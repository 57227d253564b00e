"""One client's conversation: messages and deltas in, effects and frames out.

    client's text  --receive-->  Ask / Release / Prove / Close   (effects, for the transport)
    hub's answers  --accepted, refused, answered, publish, stale, ended-->  the outbox
    the writer     --next_frame-->  the text to write, and CatchUp when the client is up again

`subscription` draws the states that each subscription goes through.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from bindserver.engine import protocol
from bindserver.engine.commits import CommitGroups
from bindserver.engine.effects import Ask, CatchUp, Close, Effect, Prove, Reconsider, Release
from bindserver.engine.frames import Frame
from bindserver.engine.intake import Intake, Rejection
from bindserver.engine.limits import Limits
from bindserver.engine.outbox import Outbox
from bindserver.engine.protocol import Closing, Code, Ref
from bindserver.engine.subscription import Subscription, SubscriptionState


class Session:
    """The conversation with one client.

    Args:
        limits: what the client may use up.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._outbox = Outbox(limits.outbox_bytes)
        self._intake = Intake(limits)
        self._asked: dict[int, protocol.Subscribe | protocol.Unsubscribe] = {}
        self._subscriptions: dict[int, Subscription] = {}
        self._numbers: dict[tuple[str, str | None], int] = {}
        self._next_number = 1
        self._commits = CommitGroups(self._outbox, self._subscriptions)
        self._closed = False

    @property
    def subscriptions(self) -> Mapping[int, Subscription]:
        """The subscriptions by number."""
        return self._subscriptions

    @property
    def waiting(self) -> int:
        """How many bytes wait in the outbox's queue."""
        return self._outbox.waiting

    # What the client says.

    def receive(self, text: str, now: float) -> Iterator[Effect]:
        """Take one text message.

        Args:
            text: the message.
            now: a clock that only rises, in seconds.
        """
        if self._closed:
            return
        match self._intake.take(text, now):
            case Rejection(told=told, closing=closing):
                if told is not None:
                    yield from self._tell(told)
                if closing is not None and not self._closed:
                    yield self._close(*closing)
            case message:
                yield from self._on_message(message)

    def receive_binary(self) -> Iterator[Effect]:
        """Take a binary message: the contract has none."""
        if not self._closed:
            yield self._close(Closing.UNSUPPORTED, "text messages only")

    def _on_message(self, message: protocol.Message) -> Iterator[Effect]:
        match message:
            case protocol.Subscribe() | protocol.Unsubscribe():
                yield from self._ask(message)
            case protocol.Authenticate(token=token, ref=ref):
                yield Prove(token=token, ref=ref)
            case protocol.Hello(want=want):
                self._commits.want(want)
            case protocol.Ping(data=data):
                yield from self._tell(protocol.pong(data))
            case protocol.Ignored():
                pass

    def _ask(self, message: protocol.Subscribe | protocol.Unsubscribe) -> Iterator[Effect]:
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

    # What the hub answers.

    def refused(self, number: int, code: Code, detail: str) -> Iterator[Effect]:
        """Take the hub's word that the message it was asked about cannot be served.

        What it was asked for may have been accepted and not answered yet: that ends, and says so.
        """
        message = self._asked.pop(number, None)
        if message is None:
            yield from self._refused_late(number, code, detail)
            return
        yield from self._tell(
            protocol.error(
                code, detail, event=message.event, ref=message.ref, params=message.params or None
            )
        )

    def _refused_late(self, number: int, code: Code, detail: str) -> Iterator[Effect]:
        subscription = self._subscriptions.get(number)
        if subscription is None:
            return
        params = None if subscription.params is None else json.loads(subscription.params)
        yield from self._tell(
            protocol.error(
                code, detail, event=subscription.event, ref=subscription.ref, params=params
            )
        )
        yield from self.ended(number, code)

    def accepted(
        self, number: int, *, params: str, takes_params: bool, key: str, ordered: bool
    ) -> Iterator[Effect]:
        """Take the hub's word that the subscription stands; its answer follows.

        Args:
            number: the Ask's number, from now on the subscription's.
            params: the canonical params as JSON text.
            takes_params: whether the binding takes any.
            key: the name of the row field that holds the key.
            ordered: whether rows have places.
        """
        message = self._asked.pop(number, None)
        if message is None:
            yield Release(subscription=number)
            return
        shown = params if takes_params else None
        older = self._numbers.get((message.event, shown))
        if older is None and len(self._subscriptions) >= self._limits.subscriptions:
            yield Release(subscription=number)
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
        self._numbers[message.event, shown] = number
        yield from self._tell(
            protocol.subscribed(
                event=message.event, params=params, key=key, ordered=ordered, ref=message.ref
            )
        )

    def unsubscribed(self, number: int, *, params: str, takes_params: bool) -> Iterator[Effect]:
        """Take the canonical params of an Unsubscribe, and end the subscription."""
        message = self._asked.pop(number, None)
        if message is None:
            return
        shown = params if takes_params else None
        current = self._numbers.get((message.event, shown))
        if current is not None:
            yield from self._forget(current)
        else:
            self._intake.count_idle_leave()
        yield from self._tell(
            protocol.disconnected(event=message.event, params=shown, ref=message.ref)
        )
        yield from self._mark_commit()

    def answered(self, number: int, frames: tuple[Frame, ...], version: int) -> None:
        """Take an answer to the subscription: it brings the client to `version`."""
        subscription = self._subscriptions.get(number)
        if subscription is None:
            return
        subscription.state = SubscriptionState.PAGING
        subscription.version = version
        subscription.behind = subscription.catching = False
        subscription.stale = None
        self._commits.answer(number, frames)

    # What happens to views.

    def publish(self, number: int, frames: tuple[Frame, ...], version: int) -> None:
        """Take a delta's frames, which bring the view to `version`."""
        subscription = self._subscriptions.get(number)
        if subscription is None or subscription.state is SubscriptionState.OPENING:
            return
        subscription.stale = None
        self._commits.publish(subscription, frames, version)

    def stale(self, number: int, frame: Frame) -> Iterator[Effect]:
        """Called when the rows may be old until the next frame."""
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
        self._commits.settle(state)
        yield from self._mark_commit()

    def _mark_commit(self) -> Iterator[Effect]:
        if (state := self._commits.end()) is not None:
            yield from self._tell(protocol.commit(state))

    def ended(self, number: int, code: Code) -> Iterator[Effect]:
        """Take the server's word that the subscription has ended."""
        subscription = self._subscriptions.get(number)
        if subscription is None:
            return
        yield from self._forget(number)
        yield from self._tell(
            protocol.disconnected(event=subscription.event, params=subscription.params, code=code)
        )
        yield from self._mark_commit()

    # Who the client is.

    def authenticated(self, expires: int | None, ref: Ref) -> Iterator[Effect]:
        """Take the proof that the client is who it says, for `expires` seconds."""
        yield from self._tell(protocol.authenticated(expires, ref))

    def not_authenticated(
        self, detail: str, ref: Ref, code: Code = Code.UNAUTHENTICATED
    ) -> Iterator[Effect]:
        """Called when the client's proof is none, or cannot be looked at."""
        if code is Code.UNAUTHENTICATED:
            self._intake.count_failed_proof()
        yield from self._tell(protocol.error(code, detail, event="$auth", ref=ref))

    def reconsider(self) -> Iterator[Effect]:
        """Have all subscriptions evaluated again, and those that are being opened."""
        for number, message in list(self._asked.items()):
            if isinstance(message, protocol.Subscribe):
                yield Reconsider(subscription=number, event=message.event)
        for number, subscription in list(self._subscriptions.items()):
            yield Reconsider(subscription=number, event=subscription.event)

    def end_all(self, code: Code) -> Iterator[Effect]:
        """End every subscription, and those that are being opened."""
        for number in list(self._asked):
            yield from self.refused(number, code, "the connection has another user now")
        for number in list(self._subscriptions):
            yield from self.ended(number, code)

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
        return CatchUp(subscription=subscription.number, version=subscription.version)

    def gone(self) -> Iterator[Effect]:
        """Called when the connection is no more."""
        self._closed = True
        self._asked.clear()
        self._outbox.clear()
        for number in list(self._subscriptions):
            yield from self._forget(number)

    def _forget(self, number: int) -> Iterator[Effect]:
        subscription = self._subscriptions.pop(number)
        del self._numbers[subscription.event, subscription.params]
        self._commits.forget(number)
        self._outbox.forget(number)
        yield Release(subscription=number)

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
