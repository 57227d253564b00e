"""Requests that wait for their snapshots: how many may, and what each lets go of meanwhile.

Most snapshots are answered at once. A request that is not takes a place, of which there are so
many in all and for each client, and waits without a database connection. Under ASGI it waits on the
event loop, without a thread. Under WSGI, and in a viewset, it keeps its thread; there are fewer
places for those.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Hashable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

from asgiref.sync import AsyncToSync, SyncToAsync, sync_to_async
from django.db import connections
from rest_framework import exceptions, status
from rest_framework.request import Request

from bindserver.conf import conf
from bindserver.cycle.inbox import Caller, Snapshot
from bindserver.cycle.owners import address_of, owner_of
from bindserver.database.sessions import was_told
from bindserver.forks import on_fork

AT_ONCE_SECONDS = 0.1
"""A request that is answered within so long needs no place: one slow binding keeps all places
taken, and must not keep others from being served."""

RETRY_SECONDS = 2
"""When a client that found no place may ask again."""

TELL_SECONDS = 60.0
"""The log is told of refused requests so often at most."""

logger = logging.getLogger("bindserver.http")

Client = Hashable | None
"""Who asks, to whom places are counted; None where that cannot be told."""


class NoPlace(exceptions.APIException):
    """Too many requests wait for snapshots already.

    Attributes:
        wait: after how many seconds to ask again; DRF makes `Retry-After` of it.
    """

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "busy"
    wait = RETRY_SECONDS


class WaitingPlaces:
    """The places of those who wait in one way. Any thread may take one.

    Args:
        what: those who wait, in the words of an answer.
        in_all: the setting that says how many there are.
        for_one: the setting that says how many of them one client may have; None for half.
    """

    def __init__(self, what: str, in_all: str, for_one: str | None) -> None:
        self._what = what
        self._in_all = in_all
        self._for_one = for_one
        self.forget()

    def forget(self) -> None:
        """Begin with all places free."""
        self._lock = threading.Lock()
        self._taken: Counter[Client] = Counter()
        self._told_at = -TELL_SECONDS
        self._untold = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._taken.total()

    @contextmanager
    def place(self, client: Client) -> Iterator[None]:
        """Have a place as long as the block takes.

        Raises:
            NoPlace: there is none for the client.
        """
        self._take(client)
        try:
            yield
        finally:
            with self._lock:
                self._taken[client] -= 1
                if not self._taken[client]:
                    del self._taken[client]

    def _take(self, client: Client) -> None:
        with self._lock:
            refusal = self._refusal(client)
            if refusal is None:
                self._taken[client] += 1
                return
        self._tell(refusal)
        raise NoPlace(f"{refusal}; try again later")

    def _refusal(self, client: Client) -> str | None:
        """Return why a client gets no place; None if it does."""
        most = int(getattr(conf, self._in_all))
        if self._taken.total() >= most:
            return f"too many requests {self._what}: BINDSERVER['{self._in_all}'] is {most}"
        if client is None:
            return None
        if self._for_one is None:
            share, said = max(1, most // 2), f"half of BINDSERVER['{self._in_all}']"
        else:
            share = int(getattr(conf, self._for_one))
            said = f"BINDSERVER['{self._for_one}']"
        if self._taken[client] >= share:
            return f"too many requests of this client {self._what}: {said} is {share}"
        return None

    def _tell(self, refusal: str) -> None:
        """Log that requests are refused, not each time."""
        with self._lock:
            self._untold += 1
            if time.monotonic() < self._told_at + TELL_SECONDS:
                return
            self._told_at, untold = time.monotonic(), self._untold
            self._untold = 0
        logger.warning("bindserver: %d snapshots over HTTP were refused: %s", untold, refusal)


snapshots = WaitingPlaces(
    "wait for snapshots", "MAX_WAITING_SNAPSHOTS", "MAX_WAITING_SNAPSHOTS_PER_CLIENT"
)
"""The places of all that wait in this process."""

threads = WaitingPlaces("hold a thread while they wait for snapshots", "MAX_WAITING_THREADS", None)
"""The places of those that keep a thread."""

on_fork(snapshots.forget)
on_fork(threads.forget)


@contextmanager
def _place(client: Client, *, in_thread: bool) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(snapshots.place(client))
        if in_thread:
            stack.enter_context(threads.place(client))
        yield


def client_of(request: Request) -> Client:
    """Return whose place a request takes: the user's, or that of the address that it came from;
    None where there is none, as behind a UNIX socket."""
    address = request.META.get("REMOTE_ADDR")
    return owner_of(Caller(user=request.user, address=address_of(address) if address else None))


def wait(answer: Future[Snapshot], client: Client) -> Snapshot:
    """Wait for a snapshot, in this thread.

    Raises:
        NoPlace: it is not answered at once, and too many wait.
        Refusal: the caller is not to have it.
        TimeoutError: it is not here in time.
    """
    patience = conf.SNAPSHOT_SECONDS
    try:
        try:
            return answer.result(timeout=min(AT_ONCE_SECONDS, patience))
        except TimeoutError:
            pass
        with _place(client, in_thread=True):
            if not give_back_connections():
                _tell_of_kept_connections()
            return answer.result(timeout=max(0.0, patience - AT_ONCE_SECONDS))
    finally:
        answer.cancel()  # the cycle need not read for whoever has left


@cache
def _tell_of_kept_connections() -> None:
    """Log, once, that requests hold a connection while they wait."""
    logger.warning(
        "bindserver: a viewset's request waits for its snapshot with a database connection, which "
        "is in a transaction, or was told something: under ATOMIC_REQUESTS, mark the view with "
        "transaction.non_atomic_requests"
    )


async def wait_on_loop(answer: Future[Snapshot], client: Client) -> Snapshot:
    """Wait for a snapshot, with no thread and no connection. It may be cancelled.

    Raises:
        NoPlace: it is not answered at once, and too many wait.
        Refusal: the caller is not to have it.
        TimeoutError: it is not here in time.
    """
    patience = conf.SNAPSHOT_SECONDS
    waiting = asyncio.wrap_future(answer)
    waiting.add_done_callback(_look)
    try:
        await asyncio.wait({waiting}, timeout=min(AT_ONCE_SECONDS, patience))
        if not waiting.done():
            with _place(client, in_thread=_is_below_sync_code()):
                await let_go_of_thread()
                await asyncio.wait({waiting}, timeout=max(0.0, patience - AT_ONCE_SECONDS))
        if not waiting.done():
            raise TimeoutError
        return waiting.result()
    finally:
        answer.cancel()


def _look(waiting: asyncio.Future[Any]) -> None:
    """Look at what went wrong, or asyncio logs that nobody has, where the client has left."""
    if not waiting.cancelled():
        waiting.exception()


async def let_go_of_thread() -> None:
    """Give back the database connections of this request's thread, and end the thread.

    Django has each request over ASGI keep a thread for its synchronous code: asgiref makes an
    executor for the request's `ThreadSensitiveContext` at the first call, and ends it with the
    request. One that is ended sooner is made again at the next call. Below synchronous middleware
    the thread is that one's, and is held whatever we do.
    """
    context = SyncToAsync.thread_sensitive_context.get(None)
    if context is None:
        return
    given_back = await sync_to_async(give_back_connections)()
    if not given_back or _is_below_sync_code():
        return
    executor: Any = SyncToAsync.context_to_thread_executor.pop(context, None)
    if executor is not None:
        executor.shutdown(wait=False)


def _is_below_sync_code() -> bool:
    """Return whether a thread is blocked by synchronous code that has called the present one, as
    asgiref itself tells."""
    return getattr(AsyncToSync.executors, "current", None) is not None


def has_own_thread() -> bool:
    """Return whether the thread that is at work for this request is for no other one."""
    return SyncToAsync.thread_sensitive_context.get(None) is not None


def give_back_connections() -> bool:
    """Close this thread's database connections, or return them to their pools; return whether none
    is left.

    Those stay that Django would not open again as they are: in a transaction, or told something
    that changes what queries mean.
    """
    none_left = True
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        if connection.in_atomic_block or not connection.autocommit or was_told(connection):
            none_left = False
        else:
            connection.close()
    return none_left
