"""A connection to a binding server that comes back by itself, and what is subscribed over it.

One task dials, reads, and dials again. Beside it, while there is a socket, one says what is due at
a pace that the server takes, and one proves who we are, where there is a token.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, Self

from bindserver.client.backoff import comes_back, reconnect_wait, retry_wait
from bindserver.client.conversation import Conversation, problem_of
from bindserver.client.pace import Pace
from bindserver.client.subscription import Problem, Subscription
from bindserver.engine.protocol import Closing, Code, dump

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
        self._conversation = Conversation(
            has_proof=token is not None,
            renew=lambda: self._renew.set(),
            proved=self._authenticated,
        )
        self._proof: tuple[int, asyncio.Future[float | None]] | None = None
        self._renew = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.error = None
        self._renew = asyncio.Event()
        self._conversation.open()
        self._task = asyncio.get_running_loop().create_task(self._live(), name="bindserver-client")
        return self

    async def __aexit__(self, *problem: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection, and all that is subscribed."""
        self._conversation.close(Problem("closed", "closed by the client", passing=False))
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
        self._demand()
        if not event or event.startswith("$"):
            raise ValueError(f"{event!r} is no binding's event")
        return self._conversation.subscribe(event, params or {}, page_size, self.error)

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
        self._demand()
        await self._conversation.seen(token)

    def _demand(self) -> None:
        if self._task is None:
            raise RuntimeError('open the client first: "async with Client(url) as client:"')

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
            self.error = Problem("unreachable", f"{what}: {reason or f'closed with {code}'}")
            self._conversation.lose(code, self.error)
            logger.warning("%s; the next attempt is in %.1f s", self.error, seconds)
            attempt += 1
            await asyncio.sleep(seconds)

    async def _converse(self, socket: ClientConnection) -> tuple[int, str]:
        """Serve a connection until its end; return its close code and reason."""
        self.is_live, self.error = True, None
        self._conversation.pace = Pace(asyncio.get_running_loop().time)
        tasks = (self._speak(socket), self._prove(socket))
        beside = [asyncio.create_task(_beside(task, socket)) for task in tasks]
        try:
            async with socket:
                try:
                    async for message in _messages(socket):
                        self._conversation.take(message)
                except asyncio.CancelledError:
                    await socket.close()  # in order: left by an exception it would be told a fault
                    raise
        finally:
            self.is_live = self._conversation.may_ask = False
            for task in beside:
                task.cancel()
            ends = await asyncio.gather(*beside, return_exceptions=True)
        for fault in ends:
            if isinstance(fault, Exception):
                raise fault
        return socket.close_code or ABNORMAL, socket.close_reason or ""

    def _give_up(self, problem: Problem) -> None:
        self.error = problem
        logger.error("%s; there is no further attempt to connect to %s", problem, self._url)
        self._conversation.give_up(problem)

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
                self._conversation.fail_unserved(self.error)
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
            ref = self._conversation.mark()
            proof: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
            self._proof = (ref, proof)
            await socket.send(dump("$auth", {"token": token, "ref": ref}))
            return await proof

    def _let_ask(self) -> None:
        self._conversation.may_ask = True
        self._conversation.work.set()

    # What we say.

    async def _speak(self, socket: ClientConnection) -> None:
        """Say what is due: who leaves makes room for who comes."""
        conversation = self._conversation
        while True:
            await conversation.work.wait()
            conversation.work.clear()
            while (text := conversation.next_text()) is not None:
                await socket.send(text)
                await asyncio.sleep(conversation.pace.wait())

    def _authenticated(self, data: dict[str, Any]) -> None:
        ref, proof = self._proof or (0, None)
        if proof is None or proof.done() or data.get("ref", ref) != ref:
            return  # it answers an attempt that was given up
        if data.get("action") == "error":
            proof.set_exception(PermissionError(str(problem_of(data))))
        else:
            proof.set_result(data.get("expires"))


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
