"""A connection to a binding server that comes back by itself, and what is subscribed over it.

One task dials, reads, and dials again. Beside it, while there is a socket, one says what is due at
a pace that the server takes, and one proves who we are, where there is a token.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Self

from bindserver.client.backoff import comes_back, reconnect_wait, retry_wait
from bindserver.client.feed import Feed, Stage
from bindserver.client.pace import Pace
from bindserver.client.subscription import Problem, Subscription
from bindserver.engine.protocol import Closing, Code, canonical, dump

try:
    from websockets.asyncio.client import ClientConnection, connect
    from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
    from websockets.typing import Subprotocol
    from websockets.uri import parse_uri
except ImportError as problem:
    raise ImportError(
        'bindserver.client needs the "websockets" package: pip install "bindserver[client]"'
    ) from problem

logger = logging.getLogger("bindserver.client")

SUBPROTOCOL = Subprotocol("bindserver.v1")
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
ABNORMAL = 1006

OPEN_SECONDS = 15.0
"""How long a connection may take to open."""

ANSWER_SECONDS = 15.0
"""How long the server may take to answer a token, and a function to give one."""

STABLE_SECONDS = 5.0
"""A connection that has lasted so long begins the waits anew."""

PART = 0.75
"""Which part of a proof's time is used."""

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


Token = str | Callable[[], str | Awaitable[str]]


class Client:
    """A client of one server.

    Args:
        url: the WebSocket's address, such as "wss://shop.example/ws/".
        token: proves who we are; or a function, of either kind, that is asked for one at each
            connection and before the last one ends.
        headers: further headers of the handshake, such as a cookie's.

    Attributes:
        is_live: whether there is a connection.
        error: why there is none, or none that serves us; None while all is well.

    Raises:
        ValueError: the url is no WebSocket's address.
    """

    def __init__(
        self, url: str, *, token: Token | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        try:
            parse_uri(url)
        except InvalidURI as problem:
            raise ValueError(f"{url!r} is no address such as ws://host/ws/") from problem
        self.is_live = False
        self.error: Problem | None = None
        self._url = url
        self._token = token
        self._headers = dict(headers or {})
        self._feeds: list[Feed] = []
        self._leaving: dict[int, Feed] = {}
        self._leaves: list[Feed] = []
        self._awaited: list[Awaited] = []
        self._ref = 0
        self._may_ask = False
        self._work = asyncio.Event()
        self._proof: tuple[int, asyncio.Future[float | None]] | None = None
        self._renew = asyncio.Event()
        self._pace = Pace(lambda: 0.0)
        self._later: dict[Feed, asyncio.TimerHandle] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.error = None
        self._leaves.clear()
        self._leaving.clear()
        self._work, self._renew = asyncio.Event(), asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._live(), name="bindserver-client")
        return self

    async def __aexit__(self, *problem: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection, and all that is subscribed."""
        for feed in list(self._feeds):
            for holder in list(feed.holders):
                holder.close()
        self._fail_awaited(Problem("closed", "closed by the client", passing=False))
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def subscribe(
        self,
        event: str,
        params: Mapping[str, Any] | None = None,
        *,
        page_size: int | None = None,
    ) -> Subscription:
        """Subscribe to a binding. Without a connection it is remembered for the next one; equal
        subscriptions are one to the server.

        Args:
            event: the binding's event.
            params: arguments for a binding that takes any.
            page_size: about how many rows a page of a large answer should have.

        Raises:
            RuntimeError: the client is not open.
            ValueError: no binding can have such an event.
            TypeError: the params cannot be JSON.
        """
        if self._task is None:
            raise RuntimeError('open the client first: "async with Client(url) as client:"')
        if not event or event.startswith("$"):
            raise ValueError(f"{event!r} is no binding's event")
        given = dict(params or {})
        text = canonical(given)
        feed = next((feed for feed in self._feeds if feed.matches(event, text)), None)
        if feed is None:
            feed = Feed(event, json.loads(text), page_size)
            if self.error is not None:
                feed.fail(self.error)
            self._feeds.append(feed)
            self._work.set()
        return Subscription(feed, self._release)

    async def seen(self, token: str) -> None:
        """Return when this client's subscriptions hold a write.

        Args:
            token: names the write: the answer's header `Bindserver-Commit`, or what
                `bindserver.commit_token` has returned.

        Raises:
            RuntimeError: the client is not open.
            NotSeen: the token is none, that is not known within the server's time, or the client
                has been closed.
        """
        if self._task is None:
            raise RuntimeError('open the client first: "async with Client(url) as client:"')
        awaited = Awaited(token, asyncio.get_running_loop().create_future())
        self._awaited.append(awaited)
        self._work.set()
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
            self._work.set()

    def _forget(self, feed: Feed) -> None:
        self._feeds.remove(feed)
        if (later := self._later.pop(feed, None)) is not None:
            later.cancel()

    # One connection after another.

    async def _live(self) -> None:
        try:
            await self._dial_again_and_again()
        except Exception as problem:  # a fault of ours: whoever waits must learn of it
            logger.exception("the client has failed")
            self._give_up(Problem(Code.INTERNAL, repr(problem), passing=False))

    async def _dial_again_and_again(self) -> None:
        loop = asyncio.get_running_loop()
        attempt = 0
        while True:
            try:
                socket = await connect(
                    self._url,
                    subprotocols=[SUBPROTOCOL],
                    additional_headers=self._headers,
                    open_timeout=OPEN_SECONDS,
                    max_size=MAX_MESSAGE_BYTES,
                )
            except (OSError, InvalidHandshake, TimeoutError) as problem:
                code, reason = ABNORMAL, str(problem) or type(problem).__name__
                what = f"cannot connect to {self._url}"
            else:
                since, what = loop.time(), f"lost connection to {self._url}"
                code, reason = await self._converse(socket)
                if loop.time() - since >= STABLE_SECONDS:
                    attempt = 0
            if not comes_back(code, has_proof=self._token is not None):
                known = Code.UNAUTHENTICATED if code == Closing.UNAUTHENTICATED else Code.FORBIDDEN
                return self._give_up(Problem(known, reason, passing=False))
            seconds = reconnect_wait(code, attempt, random.random)
            self._lose(code, Problem("unreachable", f"{what}: {reason or f'closed with {code}'}"))
            logger.warning("%s; the next attempt is in %.1f s", self.error, seconds)
            attempt += 1
            await asyncio.sleep(seconds)

    async def _converse(self, socket: ClientConnection) -> tuple[int, str]:
        """Serve a connection until its end; return its close code and reason."""
        self.is_live, self.error = True, None
        self._pace = Pace(asyncio.get_running_loop().time)
        tasks = (self._speak(socket), self._prove(socket))
        beside = [asyncio.create_task(_beside(task, socket)) for task in tasks]
        try:
            async with socket:
                async for message in _messages(socket):
                    self._take(message)
        finally:
            self.is_live = self._may_ask = False
            for task in beside:
                task.cancel()
            ends = await asyncio.gather(*beside, return_exceptions=True)
        for fault in ends:
            if isinstance(fault, Exception):
                raise fault
        return socket.close_code or ABNORMAL, socket.close_reason or ""

    def _lose(self, code: int, problem: Problem) -> None:
        self.error = problem
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

    def _give_up(self, problem: Problem) -> None:
        self.error = problem
        logger.error("%s; there is no further attempt to connect to %s", problem, self._url)
        self._fail_awaited(problem)
        for feed in self._feeds:
            feed.fail(problem)

    def _fail_awaited(self, problem: Problem) -> None:
        for awaited in self._awaited:
            if not awaited.seen.done():
                awaited.seen.set_exception(NotSeen(problem))

    # Who we are.

    async def _prove(self, socket: ClientConnection) -> None:
        """Show a token, and another one before it ends or when the server wants it."""
        loop, failures = asyncio.get_running_loop(), 0
        while self._token is not None:
            self._renew.clear()
            try:
                expires = await self._shown(socket)
            except ConnectionClosed:
                raise
            except Exception as problem:  # a function of the caller's may raise anything
                self.error = Problem(Code.UNAUTHENTICATED, str(problem) or type(problem).__name__)
                logger.warning("the server is not shown who we are: %s", self.error.detail)
                for feed in self._feeds:
                    if feed.stage is not Stage.ACCEPTED:
                        feed.fail(self.error)
                await asyncio.sleep(retry_wait(failures, random.random))
                failures += 1
                continue
            since, self.error = loop.time(), None
            self._let_ask()
            try:
                async with asyncio.timeout(None if expires is None else max(1.0, expires * PART)):
                    await self._renew.wait()
            except TimeoutError:
                failures = 0
                continue
            # It was accepted, and is good for nothing: another one may be as well.
            if loop.time() - since >= STABLE_SECONDS:
                failures = 0
            await asyncio.sleep(retry_wait(failures, random.random))
            failures += 1
        self._let_ask()

    async def _shown(self, socket: ClientConnection) -> float | None:
        """Show a token; return for how many seconds it holds, None for no end."""
        async with asyncio.timeout(ANSWER_SECONDS):
            token = self._token() if callable(self._token) else self._token
            if inspect.isawaitable(token):
                token = await token
            ref = self._mark()
            proof: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
            self._proof = (ref, proof)
            await socket.send(dump("$auth", {"token": token, "ref": ref}))
            return await proof

    def _let_ask(self) -> None:
        self._may_ask = True
        self._work.set()

    # What we say.

    async def _speak(self, socket: ClientConnection) -> None:
        """Say what is due: who leaves makes room for who comes."""
        while True:
            await self._work.wait()
            self._work.clear()
            while (text := self._next_text()) is not None:
                await socket.send(text)
                await asyncio.sleep(self._pace.wait())

    def _next_text(self) -> str | None:
        if self._leaves:
            feed = self._leaves.pop(0)
            ref = self._mark()
            self._leaving[ref] = feed
            return feed.leave(ref)
        for feed in self._feeds if self._may_ask else ():
            if feed.stage is Stage.DUE and feed not in self._later:
                return feed.ask(self._mark())
        for awaited in self._awaited if self._may_ask else ():
            if awaited.ref == 0:
                awaited.ref = self._mark()
                return dump("$await", {"token": awaited.token, "ref": awaited.ref})
        return None

    def _mark(self) -> int:
        self._ref += 1
        return self._ref

    def _ask_later(self, feed: Feed) -> None:
        seconds = retry_wait(feed.failures, random.random)
        feed.failures += 1
        loop = asyncio.get_running_loop()
        self._later[feed] = loop.call_later(seconds, self._ask_now, feed)

    def _ask_now(self, feed: Feed) -> None:
        self._later.pop(feed, None)
        self._work.set()

    # What we hear.

    def _take(self, text: str | bytes) -> None:
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
            self._authenticated(data)
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

    def _authenticated(self, data: dict[str, Any]) -> None:
        ref, proof = self._proof or (0, None)
        if proof is None or proof.done() or data.get("ref", ref) != ref:
            return  # it answers an attempt that was given up
        if data.get("action") == "error":
            proof.set_exception(PermissionError(str(_problem(data))))
        else:
            proof.set_result(data.get("expires"))

    def _seen(self, data: dict[str, Any]) -> None:
        awaited = next((one for one in self._awaited if one.ref == data.get("ref")), None)
        if awaited is None or awaited.seen.done():
            return
        if data.get("action") != "error":
            awaited.seen.set_result(None)
            return
        problem = _problem(data)
        if problem.code == Code.RATE_LIMITED:
            self._pace.slow_down()
            awaited.ref = 0
            self._work.set()
        else:
            awaited.seen.set_exception(NotSeen(problem))

    def _refused(self, data: dict[str, Any]) -> None:
        problem = _problem(data)
        ref: Any = data.get("ref")
        if problem.code == Code.RATE_LIMITED:
            self._pace.slow_down()
        if (left := self._leaving.pop(ref, None)) is not None:
            if problem.code in PASSING:
                self._leaves.append(left)
                self._work.set()
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
            self._work.set()
        else:
            self._fail(feed, problem)
            if feed.stage is Stage.ENDED and feed.settled is not None:
                # A refusal changes nothing else: the stream that was there before goes on.
                self._leaves.append(feed)
                self._work.set()

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
            self._work.set()
        else:
            self._fail(feed, Problem(data.get("code") or "closed", "ended by the server"))

    def _fail(self, feed: Feed, problem: Problem) -> None:
        """Take a refusal, or an end: what may pass is tried again."""
        room = problem.code == Code.TOO_MANY_SUBSCRIPTIONS and bool(self._leaving or self._leaves)
        again = problem.code in OF_PROOFS and self._token is not None
        passing = problem.code in PASSING or room or again
        feed.fail(Problem(problem.code, problem.detail, passing))
        if again:
            self._may_ask = False
            self._renew.set()
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


async def _beside(work: Coroutine[Any, Any, None], socket: ClientConnection) -> None:
    """Do what goes on beside reading. A fault of ours ends the connection: nobody would notice."""
    try:
        await work
    except ConnectionClosed:
        pass  # who reads tells it
    except Exception:
        socket.transport.abort()  # awaiting a close would be cancelled, and the fault be lost
        raise


async def _messages(socket: ClientConnection) -> AsyncIterator[str | bytes]:
    """Yield what comes until the connection's end, whatever ends it."""
    try:
        async for message in socket:
            yield message
    except ConnectionClosed:
        return


def _problem(data: dict[str, Any]) -> Problem:
    payload = data.get("payload") or {}
    return Problem(payload.get("code") or Code.INTERNAL, payload.get("detail") or "")
