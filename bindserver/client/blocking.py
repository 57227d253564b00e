"""The client for code that does not await: the same, on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
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
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="bindserver-client", daemon=True
        )
        self._thread.start()
        self.run(self._client.__aenter__())
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection, and all that is subscribed."""
        thread, loop = self._thread, self._loop
        if thread is None or loop is None:
            return
        self.run(self._client.close())
        self._thread = self._loop = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

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
        made = self.call(lambda: self._client.subscribe(event, params, page_size=page_size))
        return BlockingSubscription(self, made)

    def seen(self, token: str, timeout: float | None = None) -> None:
        """Return when this client's subscriptions hold a write: see `Client.seen`.

        Args:
            token: names the write.
            timeout: for how many seconds to wait at most; None for any time.

        Raises:
            NotSeen: the token is none, or that is not known within the server's time.
            TimeoutError: it takes longer.
        """
        self.run(self._client.seen(token), timeout)

    @property
    def error(self) -> Problem | None:
        """Why there is no connection, or none that serves us; None while all is well."""
        return self._client.error

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Return what a coroutine comes to on the client's thread.

        Raises:
            RuntimeError: the client is not open.
            TimeoutError: it takes longer.
        """
        if self._loop is None:
            work.close()
            raise RuntimeError('open the client first: "with BlockingClient(url) as client:"')
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except BaseException:
            future.cancel()
            raise

    def call(self, function: Callable[[], T]) -> T:
        """Return what a function returns on the client's thread: no row changes meanwhile."""

        async def called() -> T:
            return function()

        return self.run(called())


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
        return self._client.run(self._subscription.ready(), timeout)

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
        return self._client.run(self._next(), timeout)

    async def _next(self) -> Change | None:
        try:
            return await anext(self._subscription)
        except StopAsyncIteration:  # a future cannot hand it on
            return None

    def close(self) -> None:
        """Want the rows no more. The last ones stay."""
        self._client.call(self._subscription.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()
