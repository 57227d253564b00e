"""What a client says to a server, and what it hears: of the subscriptions that are wanted, those
that are left, and the writes that somebody waits for. It knows of no connection: texts in, texts
out."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bindserver.client.backoff import retry_wait
from bindserver.client.feed import Feed, Stage
from bindserver.client.pace import Pace
from bindserver.client.subscription import Problem, Subscription
from bindserver.engine.protocol import Closing, Code, canonical, dump

logger = logging.getLogger("bindserver.client")

PASSING = frozenset({Code.UNAVAILABLE, Code.RATE_LIMITED, Code.INTERNAL})
"""Refusals that may pass; all others end the subscription."""

OF_PROOFS = frozenset({Code.EXPIRED, Code.UNAUTHENTICATED})
"""Refusals that another proof of who we are may change."""


class NotSeen(Exception):
    """It is not known whether what is subscribed holds a write.

    Attributes:
        code: why, in the wire contract's words: "malformed" for a token that is none,
            "unavailable" where it is not known within the server's time.
        detail: a sentence for people.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.code = problem.code
        self.detail = problem.detail


@dataclass(slots=True)
class Awaited:
    """A write that somebody waits for.

    Attributes:
        token: names it.
        seen: is done when all that is subscribed holds it.
        ref: the mark of the message that says so; 0 where there was none on this connection.
    """

    token: str
    seen: asyncio.Future[None]
    ref: int = 0


class Conversation:
    """One client's, over one connection after another.

    Args:
        has_proof: whether another proof of who we are can be shown.
        renew: has one shown.
        proved: hears the data of `$auth`.

    Attributes:
        work: is set when there may be something to say.
        may_ask: whether the server knows by now who asks.
        pace: how fast we may speak.
    """

    def __init__(
        self,
        *,
        has_proof: bool,
        renew: Callable[[], None],
        proved: Callable[[dict[str, Any]], None],
    ) -> None:
        self.work = asyncio.Event()
        self.may_ask = False
        self.pace = Pace(lambda: 0.0)
        self._has_proof = has_proof
        self._renew = renew
        self._proved = proved
        self._feeds: list[Feed] = []
        self._leaving: dict[int, Feed] = {}
        self._leaves: list[Feed] = []
        self._awaited: list[Awaited] = []
        self._later: dict[Feed, asyncio.TimerHandle] = {}
        self._ref = 0

    # What is wanted.

    def open(self) -> None:
        """Begin, on the loop that runs now."""
        self._leaves.clear()
        self._leaving.clear()
        self.work = asyncio.Event()

    def close(self, problem: Problem) -> None:
        """Want nothing any more."""
        for feed in list(self._feeds):
            for holder in list(feed.holders):
                holder.close()
        self._fail_awaited(problem)

    def subscribe(
        self, event: str, params: Mapping[str, Any], page_size: int | None, error: Problem | None
    ) -> Subscription:
        """Want a subscription; equal ones are one.

        Args:
            event: the binding's event.
            params: its params.
            page_size: about how many rows a page of a large answer should have.
            error: what keeps it from being served for now.

        Raises:
            TypeError: the params cannot be JSON.
        """
        text = canonical(params)
        feed = next((feed for feed in self._feeds if feed.matches(event, text)), None)
        if feed is None:
            feed = Feed(event, json.loads(text), page_size)
            if error is not None:
                feed.fail(error)
            self._feeds.append(feed)
            self.work.set()
        return Subscription(feed, self._release)

    async def seen(self, token: str) -> None:
        """Return when what is subscribed holds a write.

        Raises:
            NotSeen: that is not known.
        """
        awaited = Awaited(token, asyncio.get_running_loop().create_future())
        self._awaited.append(awaited)
        self.work.set()
        try:
            await awaited.seen
        finally:
            self._awaited.remove(awaited)

    def _release(self, holder: Subscription) -> None:
        for feed in self._feeds:
            if holder in feed.holders:
                feed.holders.remove(holder)
                if not feed.holders:
                    self._drop(feed)
                return

    def _drop(self, feed: Feed) -> None:
        """Want a feed no more, and have the server let go of it."""
        self._forget(feed)
        if feed.ref and feed.stage is not Stage.ENDED:
            self._leaves.append(feed)
            self.work.set()

    def _forget(self, feed: Feed) -> None:
        self._feeds.remove(feed)
        if (later := self._later.pop(feed, None)) is not None:
            later.cancel()

    # What becomes of the connection.

    def lose(self, code: int, problem: Problem) -> None:
        """Called when a connection is no more, or none could be had; there is to be another one.

        Args:
            code: its close code.
            problem: what is told to whoever waits.
        """
        for later in self._later.values():
            later.cancel()
        self._later.clear()
        self._leaves.clear()
        self._leaving.clear()
        for awaited in self._awaited:
            awaited.ref = 0
        for feed in self._feeds:
            feed.lose(too_big=code == Closing.TOO_BIG)
            if feed.stage is not Stage.ENDED:
                feed.fail(problem)

    def give_up(self, problem: Problem) -> None:
        """Called when there is to be no further connection."""
        self._fail_awaited(problem)
        for feed in self._feeds:
            feed.fail(problem)

    def _fail_awaited(self, problem: Problem) -> None:
        for awaited in self._awaited:
            if not awaited.seen.done():
                awaited.seen.set_exception(NotSeen(problem))

    def fail_unserved(self, problem: Problem) -> None:
        """Note what keeps all from being served that are not."""
        for feed in self._feeds:
            if feed.stage is not Stage.ACCEPTED:
                feed.fail(problem)

    # What we say.

    def next_text(self) -> str | None:
        """Return what is to be said next; None for nothing."""
        if self._leaves:
            feed = self._leaves.pop(0)
            ref = self.mark()
            self._leaving[ref] = feed
            return feed.leave(ref)
        for feed in self._feeds if self.may_ask else ():
            if feed.stage is Stage.DUE and feed not in self._later:
                return feed.ask(self.mark())
        for awaited in self._awaited if self.may_ask else ():
            if awaited.ref == 0:
                awaited.ref = self.mark()
                return dump("$await", {"token": awaited.token, "ref": awaited.ref})
        return None

    def mark(self) -> int:
        """Return the mark of another message, by which its answer is known."""
        self._ref += 1
        return self._ref

    def _ask_later(self, feed: Feed) -> None:
        seconds = retry_wait(feed.failures, random.random)
        feed.failures += 1
        loop = asyncio.get_running_loop()
        self._later[feed] = loop.call_later(seconds, self._ask_now, feed)

    def _ask_now(self, feed: Feed) -> None:
        self._later.pop(feed, None)
        self.work.set()

    # What we hear.

    def take(self, text: str | bytes) -> None:
        """Take what the server says; what is none of the contract's is passed over, and logged."""
        try:
            message = json.loads(text)
            event, data = message["event"], message.get("data") or {}
            self._hear(event, data)
        except Exception:  # whatever a server may say that is none of the contract's
            logger.exception("a message is none of the contract's")

    def _hear(self, event: str, data: dict[str, Any]) -> None:
        action = data.get("action") if isinstance(data, dict) else None
        if event == "$subscribed":
            self._accepted(data)
        elif event == "$auth":
            self._proved(data)
        elif event in ("$seen", "$await"):
            self._seen(data)
        elif action == "error":
            self._refused(data)
        elif event.startswith("$"):
            pass  # an event of the protocol's that we do not know
        elif action == "disconnect":
            self._ended(event, data)
        else:
            self._shared(event, data)

    def _accepted(self, data: dict[str, Any]) -> None:
        feed = self._asked(data.get("ref"))
        if feed is None:
            return
        text = canonical(data.get("params") or {})
        other = self._settled(feed.event, text)
        feed.accept(data["key"], text)
        if other is not None and other is not feed:
            self._forget(other)
            feed.join(other)

    def _shared(self, event: str, data: dict[str, Any]) -> None:
        feed = self._settled(event, canonical(data.get("params") or {}))
        if feed is None or feed.stage is not Stage.ACCEPTED:
            return
        try:
            feed.take(data)
        except Exception:  # a gap, which only a whole sync closes
            feed.start_over()
            feed.fail(Problem(Code.INTERNAL, "a frame makes no sense"))
            self._ask_later(feed)
            raise

    def _seen(self, data: dict[str, Any]) -> None:
        awaited = next((one for one in self._awaited if one.ref == data.get("ref")), None)
        if awaited is None or awaited.seen.done():
            return
        if data.get("action") != "error":
            awaited.seen.set_result(None)
            return
        problem = problem_of(data)
        if problem.code == Code.RATE_LIMITED:
            self.pace.slow_down()
            awaited.ref = 0
            self.work.set()
        else:
            awaited.seen.set_exception(NotSeen(problem))

    def _refused(self, data: dict[str, Any]) -> None:
        problem = problem_of(data)
        ref: Any = data.get("ref")
        if problem.code == Code.RATE_LIMITED:
            self.pace.slow_down()
        if (left := self._leaving.pop(ref, None)) is not None:
            if problem.code in PASSING:
                self._leaves.append(left)
                self.work.set()
            return
        feed = self._asked(ref)
        if feed is None:
            logger.warning("the server refuses a message: %s", problem)
            if ref is None and problem.code == Code.RATE_LIMITED:
                for each in self._feeds:
                    if each.stage is Stage.ASKED:
                        self._fail(each, problem)
        elif problem.code == Code.TOO_LARGE and feed.named_a_state:
            feed.start_over()
            self.work.set()
        else:
            self._fail(feed, problem)
            if feed.stage is Stage.ENDED and feed.settled is not None:
                # A refusal changes nothing else: the stream that was there before goes on.
                self._leaves.append(feed)
                self.work.set()

    def _ended(self, event: str, data: dict[str, Any]) -> None:
        """Take the end of a stream. If somebody has left whom the server takes for the same as one
        that is wanted, that one is asked for again."""
        ref: Any = data.get("ref")
        left = self._leaving.pop(ref, None)
        feed = self._settled(event, canonical(data.get("params") or {}))
        if feed is None or feed is left or feed.stage is not Stage.ACCEPTED:
            return
        if ref is not None:
            feed.start_over()
            self.work.set()
        else:
            self._fail(feed, Problem(data.get("code") or "closed", "ended by the server"))

    def _fail(self, feed: Feed, problem: Problem) -> None:
        """Take a refusal, or an end: what may pass is tried again."""
        room = problem.code == Code.TOO_MANY_SUBSCRIPTIONS and bool(self._leaving or self._leaves)
        again = problem.code in OF_PROOFS and self._has_proof
        passing = problem.code in PASSING or room or again
        feed.fail(Problem(problem.code, problem.detail, passing))
        if again:
            self.may_ask = False
            self._renew()
        elif passing:
            self._ask_later(feed)
        else:
            self._forget(feed)

    def _asked(self, ref: Any) -> Feed | None:
        """Return the one whose newest ask is answered; an older ask's mark finds nothing."""
        return next((f for f in self._feeds if f.stage is Stage.ASKED and f.ref == ref), None)

    def _settled(self, event: str, text: str) -> Feed | None:
        """Return whose stream a shared frame belongs to."""
        return next((f for f in self._feeds if f.event == event and f.settled == text), None)


def problem_of(data: dict[str, Any]) -> Problem:
    """Return what an error's data say."""
    payload = data.get("payload") or {}
    return Problem(payload.get("code") or Code.INTERNAL, payload.get("detail") or "")
