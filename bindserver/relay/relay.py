"""Hints between processes, through the channel layer: quick when it works, never wrong when not.

Every process that writes numbers what it sends. A process that serves hears them all, its own too:
a number that is missing, or an echo that does not come, means that hints may have been lost, and
then every view is compared with the database. So a lost message costs time and nothing else.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Any, Protocol
from weakref import WeakSet

from channels import DEFAULT_CHANNEL_LAYER
from channels.layers import channel_layers
from django.conf import settings

from bindserver.cycle.inbox import CommandKind
from bindserver.engine.changes import Change
from bindserver.forks import on_fork
from bindserver.relay.connection import RelayConnection, SendQueue
from bindserver.supervision import Supervised

logger = logging.getLogger("bindserver.relay")

IN_MEMORY = "channels.layers.InMemoryChannelLayer"
RECONNECT_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
CLOSE_SECONDS = 1.0
"""How long the end of the process waits for the last hints to be sent."""


def reaches_others() -> bool:
    """Return whether the project's channel layer leads to other processes.

    A layer of the project's own is taken to do so, whatever its name: a relay that reaches nobody
    costs little, and one that is not started loses hints.
    """
    layers = getattr(settings, "CHANNEL_LAYERS", None) or {}
    backend = layers.get(DEFAULT_CHANNEL_LAYER, {}).get("BACKEND")
    return bool(backend) and backend != IN_MEMORY


def make_layer() -> Any:
    """Make a channel layer of one's own, whose connections belong to nobody else's loop."""
    return channel_layers.make_backend(DEFAULT_CHANNEL_LAYER)


class RelayReceiver(Protocol):
    """Whoever hears what other processes say: a hub."""

    def hint(self, alias: str, changes: tuple[Change, ...]) -> None:
        """Take a hint of a write."""

    def compare(self, alias: str | None = None) -> None:
        """Compare everything: hints may have been lost."""

    def command(self, command: CommandKind, events: Collection[str] | None = None) -> None:
        """Have something done with views."""


class Relay:
    """This process's end of the relay: one thread with an event loop of its own, when needed.

    Args:
        receiver: hears what others say.
        layer: makes a channel layer.
    """

    def __init__(self, receiver: RelayReceiver, layer: Callable[[], Any] = make_layer) -> None:
        self._receiver = receiver
        self._make_layer = layer
        self.forget()
        _relays.add(self)

    def forget(self) -> None:
        """Begin anew, as a forked process must: threads and loops stayed with its parent."""
        self._lock = threading.Lock()
        self._thread: Supervised | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: RelayConnection | None = None
        self._listening = False
        self._stopping = False
        self._failures = 0
        self._failing: tuple[float, str] | None = None
        self.known: Future[None] = Future()
        self._queue = SendQueue(secrets.token_hex(8))

    def publish(self, alias: str, changes: Collection[Change]) -> None:
        """Have hints sent to all other processes, soon; returns at once and never raises."""
        if self._stopping or not changes or not reaches_others():
            return
        self._queue.put(alias, changes)
        self._start()
        self._tell(RelayConnection.ring)

    def listen(self) -> None:
        """Hear what other processes say, from now on."""
        if self._listening or self._stopping or not reaches_others():
            return
        self._listening = True
        self._start()
        self._tell(RelayConnection.listen)

    @property
    def is_listening(self) -> bool:
        """Whether it hears what other processes say, or tries to."""
        return self._listening and not self._stopping

    def trouble(self) -> str:
        """Return what is wrong with the channel layer, in words for probes: of an error its kind
        alone, since its text quotes addresses."""
        failing = self._failing
        if failing is not None:
            since, kind = failing
            return f"out of reach since {time.monotonic() - since:.0f} s: {kind}"
        return "" if self.known.done() else "it has not answered yet"

    def flush(self) -> None:
        """Wait, for a moment at most, until what waits is sent."""
        if self._thread is not None:
            self._queue.wait_until_sent(CLOSE_SECONDS)

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Send what waits, for at most so long, and end the thread."""
        thread = self._thread
        if thread is None or not thread.is_alive:
            return
        if not self._queue.wait_until_sent(seconds):
            logger.warning("bindserver: the last hints of this process could not be sent")
        self._stopping = True
        thread.stop()
        self._tell(RelayConnection.end)
        thread.join(seconds)

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            thread = Supervised("bindserver-relay", "relay", self._run, recover=self._recover)
            try:
                thread.start()
            except RuntimeError as problem:  # the interpreter is about to end
                logger.warning("bindserver: a hint cannot be sent any more: %s", problem)
                return
            self._thread = thread
            atexit.register(self.close)

    def _tell(self, what: Callable[[RelayConnection], None]) -> None:
        """Say something to the present connection; a new one asks by itself when it begins."""
        loop, connection = self._loop, self._connection
        if loop is not None and connection is not None:
            with contextlib.suppress(RuntimeError):  # its loop was closed just now
                loop.call_soon_threadsafe(what, connection)

    # The thread.

    def _run(self) -> None:
        """Live one life after the other; each has a loop and connections of its own."""
        complaints = _Complaints(threading.get_ident(), self._break)
        complaining = logging.getLogger("channels_redis.pubsub")
        complaining.addFilter(complaints)
        try:
            self._live_on()
        finally:
            complaining.removeFilter(complaints)

    def _recover(self) -> None:
        """Called when the thread has failed, before it begins anew."""
        self._loop = self._connection = None

    def _break(self, problem: BaseException) -> None:
        """Called when the present connection is broken."""
        if self._connection is not None:
            self._connection.end(problem)

    def _live_on(self) -> None:
        while not self._stopping:
            try:
                with asyncio.Runner(loop_factory=_Loop) as runner:
                    runner.run(self._live())
            except Exception as problem:
                self._note(problem)
            self._loop = self._connection = None
            if not self._stopping:
                delay = RECONNECT_SECONDS[min(self._failures, len(RECONNECT_SECONDS)) - 1]
                _pause(delay, lambda: self._stopping)

    async def _live(self) -> None:
        connection = RelayConnection(self._make_layer(), self._queue, self._receiver, self._worked)
        self._connection, self._loop = connection, asyncio.get_running_loop()
        if self._listening:
            connection.listen()
        if self._stopping:
            connection.end()
        await connection.run()

    def _worked(self) -> None:
        if self._failures:
            logger.warning("bindserver: the channel layer is back")
        self._failures = 0
        self._failing = None
        self._know()

    def _know(self) -> None:
        if not self.known.done():
            self.known.set_result(None)

    def _note(self, problem: Exception) -> None:
        self._failures += 1
        since = time.monotonic() if self._failing is None else self._failing[0]
        self._failing = since, type(problem).__name__
        self._know()
        if self._failures == 1:
            logger.error(
                "bindserver: the channel layer is out of reach (%s: %s); until it is back no "
                "commands reach other processes, and where signals are followed their writes are "
                "seen by comparing; a change log goes on",
                type(problem).__name__,
                problem,
            )


class _Complaints(logging.Filter):
    """Takes what `channels_redis` logs of our connections, each second, with a traceback.

    It is the only way to learn at once that the connection we hear by was broken, and is mended
    without a word about what was missed. We tell of it ourselves, once.

    Args:
        thread: the one whose complaints are taken.
        take: takes an exception that was logged.
    """

    def __init__(self, thread: int, take: Callable[[BaseException], None]) -> None:
        super().__init__()
        self._thread = thread
        self._take = take

    def filter(self, record: logging.LogRecord) -> bool:
        """Let pass what other threads log."""
        if record.thread != self._thread or not record.exc_info:
            return True
        problem = record.exc_info[1]
        if problem is not None:
            logger.debug("bindserver: channels_redis: %s (%r)", record.getMessage(), problem)
            self._take(problem)
        return False


class _Loop(asyncio.SelectorEventLoop):
    """Looks names up in its own thread: at the end of a process there are no others to be had."""

    async def getaddrinfo(self, host: Any, port: Any, **kwargs: Any) -> Any:
        return socket.getaddrinfo(host, port, **kwargs)


def _pause(seconds: float, ended: Callable[[], bool]) -> None:
    """Sleep, unless it is over meanwhile."""
    step = 0.05
    event = threading.Event()
    while seconds > 0 and not ended():
        event.wait(min(step, seconds))
        seconds -= step


_relays: WeakSet[Relay] = WeakSet()


def listening() -> list[Relay]:
    """Return the relays of this process that hear what others say."""
    return [relay for relay in list(_relays) if relay.is_listening]


def _forget_all() -> None:
    for relay in list(_relays):
        relay.forget()


on_fork(_forget_all)
