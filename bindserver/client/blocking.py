"""The client for code that does not await: the same, on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self, TypeVar

from bindserver.client.client import Client, Token
from bindserver.client.subscription import Change, Problem, Row, Status, Subscription
from bindserver.engine.changes import Key

T = TypeVar("T")


class BlockingClient:
    """A client of one server, for scripts, commands and tests.

        with BlockingClient("ws://127.0.0.1:8000/ws/") as client:
            for change in client.subscribe("products"):
                print(change.action, change.payload)

    Args:
        url: the WebSocket's address.
        token: proves who we are; or a function that is asked for one, on the client's thread.
        headers: further headers of the handshake, such as a cookie's.

    Raises:
        ValueError: the url is no WebSocket's address.
    """

    def __init__(
        self, url: str, *, token: Token | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self._client = Client(url, token=token, headers=headers)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._end = asyncio.Event()

    def __enter__(self) -> Self:
        started: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(started)), name="bindserver-client", daemon=True
        )
        self._thread.start()
        self._loop = started.result()
        return self

    async def _serve(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        self._end = asyncio.Event()
        async with self._client:
            started.set_result(asyncio.get_running_loop())
            await self._end.wait()

    def __exit__(self, *problem: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection, and all that is subscribed."""
        with self._lock:  # whatever was wanted before has its answer; nothing comes after
            thread, loop = self._thread, self._loop
            if loop is not None:
                self._loop = None
                loop.call_soon_threadsafe(self._end.set)
        if thread is not None:
            thread.join()

    def subscribe(
        self,
        event: str,
        params: Mapping[str, Any] | None = None,
        *,
        page_size: int | None = None,
    ) -> BlockingSubscription:
        """Subscribe to a binding: see `Client.subscribe`.

        Raises:
            RuntimeError: the client is not open.
            ValueError: no binding can have such an event.
            TypeError: the params cannot be JSON.
        """

        async def made() -> Subscription:
            return self._client.subscribe(event, params, page_size=page_size)

        return BlockingSubscription(self, self.run(made()))

    def seen(self, token: str, timeout: float | None = None) -> None:
        """Return when this client's subscriptions hold a write: see `Client.seen`.

        Args:
            token: names the write.
            timeout: for how many seconds to wait at most; None for any time.

        Raises:
            NotSeen: the token is none, or that is not known within the server's time.
            TimeoutError: it takes longer.
        """

        async def seen() -> None:
            async with asyncio.timeout(timeout):
                await self._client.seen(token)

        self.run(seen())

    @property
    def error(self) -> Problem | None:
        """Why there is no connection, or none that serves us; None while all is well."""
        return self._client.error

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine comes to on the client's thread.

        Raises:
            RuntimeError: the client is not open, or this is its thread.
        """
        future = self._begun(work)
        if future is None:
            work.close()
            raise RuntimeError('open the client first: "with BlockingClient(url) as client:"')
        return _result(future)

    def run_on(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the same of what has an answer when the client is closed, too.

        Raises:
            RuntimeError: this is the client's thread.
        """
        future = self._begun(work)
        if future is not None:
            return _result(future)
        if self._thread is not None:
            self._thread.join()  # it may still be closing
        with ThreadPoolExecutor(1) as apart:  # there may be a loop in this one, as in a notebook
            return apart.submit(asyncio.run, work).result()

    def call(self, function: Callable[[], T]) -> T:
        """Return what a function returns on the client's thread: no row changes meanwhile."""

        async def called() -> T:
            return function()

        return self.run_on(called())

    def soon(self, function: Callable[[], object]) -> None:
        """Have a function called on the client's thread, if there still is one."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(function)

    def _begun(self, work: Coroutine[Any, Any, T]) -> Future[T] | None:
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("the client's own thread, where it asks for a token, cannot wait")
        with self._lock:
            loop = self._loop
            return None if loop is None else asyncio.run_coroutine_threadsafe(work, loop)


def _result(future: Future[T]) -> T:
    try:
        return future.result()
    except BaseException:
        future.cancel()  # Ctrl-C: nobody waits any more
        raise


class BlockingSubscription:
    """One subscription. `BlockingClient.subscribe` makes it: see `Subscription`."""

    def __init__(self, client: BlockingClient, subscription: Subscription) -> None:
        self.event = subscription.event
        self._client = client
        self._subscription = subscription

    @property
    def rows(self) -> list[Row]:
        """The rows in the binding's order; none before the first answer."""
        return self._client.call(lambda: self._subscription.rows)

    def get(self, key: Key) -> Row | None:
        """Return the row with a key, None if there is none."""
        return self._client.call(lambda: self._subscription.get(key))

    @property
    def key(self) -> str | None:
        """The name of the row field that holds the key; None before the first answer."""
        return self._subscription.key

    @property
    def status(self) -> Status:
        """What the rows are: "connecting", "live", "stale" or "closed"."""
        return self._client.call(lambda: self._subscription.status)

    @property
    def error(self) -> Problem | None:
        """Why there are no rows, or no new ones; None while all is well."""
        return self._subscription.error

    def ready(self, timeout: float | None = None) -> list[Row]:
        """Return the rows as soon as they are the server's.

        Args:
            timeout: for how many seconds to wait at most; None for any time.

        Raises:
            SubscriptionEnded: there will be none.
            TimeoutError: it takes longer; `error` says what is the matter.
        """

        async def ready() -> list[Row]:
            async with asyncio.timeout(timeout):
                return await self._subscription.ready()

        return self._client.run_on(ready())

    def __iter__(self) -> Iterator[Change]:
        return self

    def __next__(self) -> Change:
        """Return the next change; it waits for that.

        Raises:
            SubscriptionEnded: the server has ended it.
        """
        change = self.next()
        if change is None:
            raise StopIteration
        return change

    def next(self, timeout: float | None = None) -> Change | None:
        """Return the next change, None if it was closed here.

        Args:
            timeout: for how many seconds to wait at most; None for any time.

        Raises:
            SubscriptionEnded: the server has ended it.
            TimeoutError: there is none in time.
        """
        taken: list[Change] = []
        try:
            return self._client.run_on(self._next(timeout, taken))
        except BaseException:
            # As of Ctrl-C, when one may just have been taken: who goes on must not miss it.
            self._client.soon(lambda: self._put_back(taken))
            raise

    async def _next(self, timeout: float | None, taken: list[Change]) -> Change | None:
        # The time is up here, where changes come, so that none is taken and thrown away.
        try:
            async with asyncio.timeout(timeout):
                taken.append(await anext(self._subscription))
        except StopAsyncIteration:  # a future cannot hand it on
            return None
        return taken[0]

    def _put_back(self, taken: list[Change]) -> None:
        for change in taken:
            self._subscription.put_back(change)

    def close(self) -> None:
        """Want the rows no more. The last ones stay."""
        self._client.call(self._subscription.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()
