"""A database that tells of commits by itself: whoever waits is rung for, and need not look.

On PostgreSQL, where NOTIFY is installed, a thread listens on a connection of its own. Whether what
is told arrives there depends on what stands in between, and so it has to be proved: a word sent by
the ordinary connection must be heard. Nothing depends on it but how often the log is looked at.
"""

from __future__ import annotations

import logging
import secrets
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.postgresql.notifying import CHANNEL, Notifying
from bindserver.database.snapshot import connect, open_connection
from bindserver.forks import working

logger = logging.getLogger("bindserver.capture")

PROOF_SECONDS = 10.0
"""How often to prove anew that what is told is heard."""

ANSWER_SECONDS = 1.0
"""How long such a word may take."""

RETRY_SECONDS = 60.0
"""How long to leave a database alone where listening did not work; a connection that worked and
was lost is opened again at once."""

STOP_SECONDS = 1.0


class Pooled(Exception):
    """Somebody stands between us and the database, who gives connections to many."""


class ListenNotices:
    """Sees to it that somebody listens, on the cycle's thread.

    Args:
        connection: the cycle's own.
        ring: called, from another thread, when something was committed, or no more is heard.
    """

    def __init__(self, connection: BaseDatabaseWrapper, ring: Callable[[], None]) -> None:
        self._notifying = Notifying(connection)
        self._alias = connection.alias
        self._ring = ring
        self._listener: ListeningConnection | None = None
        self._retry_at = 0.0
        self._asked_at = 0.0
        self._asked = ""
        self._proved = False

    def heard(self) -> bool:
        listener = self._listener
        return listener is not None and listener.listens and (self._proved or self._answered())

    def again(self) -> float:
        return float("inf")  # what is told is visible

    def found(self) -> None:
        """Nothing: that what is told arrives is proved otherwise."""

    def _answered(self) -> bool:
        listener = self._listener
        return listener is not None and bool(self._asked) and listener.word == self._asked

    def tend(self) -> None:
        now, listener = time.monotonic(), self._listener
        self._proved |= self._answered()
        if not self._notifying.is_on():
            self._drop()
        elif listener is None or listener.ended:
            if self._proved or now >= self._retry_at:
                self._listen(now)
        elif listener.listens:
            self._prove(listener, now)

    def _prove(self, listener: ListeningConnection, now: float) -> None:
        if self._asked and not self._answered():
            if now >= self._asked_at + ANSWER_SECONDS:
                logger.warning("bindserver: notifications of %r do not arrive", self._alias)
                self._drop()
        elif not self._asked or now >= self._asked_at + PROOF_SECONDS:
            self._asked, self._asked_at = secrets.token_hex(8), now
            self._notifying.tell(listener.channel, self._asked)

    def _listen(self, now: float) -> None:
        self._drop()
        self._retry_at = now + RETRY_SECONDS
        self._listener = ListeningConnection(self._alias, self._ring)
        self._listener.start()

    def close(self) -> None:
        listener = self._listener
        self._drop()
        if listener is not None:
            listener.join()

    def _drop(self) -> None:
        # Without waiting: the thread may be about to ring, and whoever is here hold the bell.
        if self._listener is not None:
            self._listener.stop()
        self._listener, self._asked, self._proved = None, "", False


class ListeningConnection:
    """A thread that listens on a connection of its own, until it is lost.

    Args:
        alias: the database.
        ring: see `ListenNotices`.

    Attributes:
        channel: on which it hears words that are meant for it alone.
        word: the last of those.
        listens: whether it hears by now.
        ended: whether it is over.
    """

    def __init__(self, alias: str, ring: Callable[[], None]) -> None:
        self.channel = f"bindserver_{secrets.token_hex(8)}"
        self.word = ""
        self.listens = self.ended = False
        self._alias = alias
        self._ring = ring
        self._stopping = False
        self._near, self._far = socket.socketpair()
        self._thread = threading.Thread(
            target=self._run, name=f"bindserver-listener-{alias}", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Have the thread end."""
        self._stopping = True
        self._far.close()

    def join(self) -> None:
        """Wait until it has; one that is still connecting is left to itself."""
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        connection: Any = None
        try:
            with working:
                connection = open_connection(self._alias)
            with working, connection.wrap_database_errors:
                connect(connection)
                self._begin(connection.connection)
            self.listens = True
            self._ring()
            self._wait(connection)
        except (Error, Pooled) as problem:
            if not self._stopping:
                logger.info("bindserver: %r is not listened to: %s", self._alias, problem)
        except BaseException:  # the log is looked at instead, until somebody listens again
            logger.exception("bindserver: the thread that listens to %r has failed", self._alias)
        finally:
            self.listens, self.ended = False, True
            if connection is not None:
                connection.close()
            self._near.close()
            self._ring()

    def _begin(self, session: Any) -> None:
        """Listen, on a psycopg connection.

        Raises:
            Pooled: what listens there would be a session that is somebody else's soon.
        """
        told = session.execute("SELECT pg_backend_pid()").fetchone()[0]
        if told != session.pgconn.backend_pid:
            raise Pooled("a pooler stands in between, so the log is looked at instead")
        session.execute(f"LISTEN {CHANNEL}; LISTEN {self.channel}")

    def _wait(self, connection: Any) -> None:
        libpq = connection.connection.pgconn
        with selectors.DefaultSelector() as selector:
            selector.register(libpq.socket, selectors.EVENT_READ)
            selector.register(self._near, selectors.EVENT_READ)
            while not self._stopping:
                with working, connection.wrap_database_errors:
                    libpq.consume_input()
                    heard = self._take(libpq)
                if heard:
                    self._ring()
                selector.select()

    def _take(self, libpq: Any) -> bool:
        """Take what has arrived; return whether anything has."""
        heard = False
        while (notice := libpq.notifies()) is not None:
            heard = True
            if notice.relname.decode() == self.channel:
                self.word = notice.extra.decode()
        return heard
