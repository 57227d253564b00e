"""A database's files, of which the system tells: who waits for a commit is woken.

A thread waits for writes to the file, its `-wal` and its `-journal`. It hears of a commit before
anybody can see it: the log is written and synced first, and its index last. So after each write
there are looks, at once and again, with longer and longer rests between them.

Where the system does not tell, commits are looked for as ever; so they are where a look now and
then has found one that nobody has told of.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bindserver.capture.sqlite.inotify import FolderWatch, Unwatchable

logger = logging.getLogger("bindserver.capture")

FIRST_REST_SECONDS, LAST_REST_SECONDS = 0.0001, 0.01
"""The rests between looks after a write: each is twice the one before."""

LOOKS = 22
"""How many such looks there are, which takes 160 ms at least. Mostly the first one sees the commit;
the slowest of those that were synced to a disk took 95 ms."""

ANNOUNCED_SECONDS = 5.0
"""A commit is announced if anything was written so long before it was seen: disks may be slow."""

REST_SECONDS = 0.005
"""How long not to hear after a write: there are looks meanwhile, and many writes cost little more
than one."""

DISTRUST_SECONDS = 60.0
"""How long to look for commits as ever, after one that was not announced."""

RETRY_SECONDS = 60.0
"""How long to leave alone what cannot be watched."""

STOP_SECONDS = 1.0


class FileNotices:
    """Sees to it that a database's files are watched, on the cycle's thread.

    Args:
        alias: the database.
        path: its file.
        ring: called, from another thread, when something was written.
    """

    def __init__(self, alias: str, path: Path, ring: Callable[[], None]) -> None:
        self._alias = alias
        self._path = path
        self._ring = ring
        self._watcher: Watcher | None = None
        self._retry_at = self._trust_at = 0.0
        self._told = ""
        self._written_at, self._looks = 0.0, 0

    def heard(self) -> bool:
        watcher = self._watcher
        return watcher is not None and not watcher.ended and time.monotonic() >= self._trust_at

    def again(self) -> float:
        if self._watcher is None:
            return float("inf")
        if self._watcher.written_at != self._written_at:
            self._written_at, self._looks = self._watcher.written_at, 0
        if self._looks >= LOOKS:
            return float("inf")
        self._looks += 1
        rest: float = FIRST_REST_SECONDS * 2 ** (self._looks - 1)
        return min(rest, LAST_REST_SECONDS)

    def found(self) -> None:
        if not self.heard() or self._watcher is None or self._watcher.hears():
            return
        self._trust_at = time.monotonic() + DISTRUST_SECONDS
        logger.warning(
            "bindserver: the system has not told of a commit to %r; it is looked for them every "
            "LOG_POLL_SECONDS for a minute",
            self._alias,
        )

    def tend(self) -> None:
        now = time.monotonic()
        if (self._watcher is None or self._watcher.ended) and now >= self._retry_at:
            self._retry_at = now + RETRY_SECONDS
            self._drop()
            try:
                self._watcher = Watcher(self._alias, self._path, self._ring)
            except Unwatchable as problem:
                self._tell(str(problem))
            else:
                self._watcher.start()

    def _tell(self, why: str) -> None:
        """Tell the log why files are not watched, once for each reason."""
        if why != self._told:
            self._told = why
            logger.info("bindserver: the files of %r are not watched: %s", self._alias, why)

    def close(self) -> None:
        watcher = self._watcher
        self._drop()
        if watcher is not None:
            watcher.join()

    def _drop(self) -> None:
        # Without waiting: the thread may be about to ring.
        if self._watcher is not None:
            self._watcher.stop()
        self._watcher = None


class Watcher:
    """A thread that waits for writes to a database's files, until it is stopped or they are gone.

    Args:
        alias: the database.
        path: its file.
        ring: see `FileNotices`.

    Attributes:
        written_at: when it last heard of a write, or began, on the monotonic clock.
        ended: whether it hears no more.

    Raises:
        Unwatchable: the system cannot tell of them.
    """

    def __init__(self, alias: str, path: Path, ring: Callable[[], None]) -> None:
        self.written_at = time.monotonic()  # what was written just before is not told
        self.ended = False
        self._alias = alias
        self._names = {path.name, f"{path.name}-wal", f"{path.name}-journal"}
        self._ring = ring
        self._folder = FolderWatch(path.parent)
        self._near, self._far = socket.socketpair()
        self._thread = threading.Thread(
            target=self._run, name=f"bindserver-files-{alias}", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def hears(self) -> bool:
        """Return whether anything was written not long ago, or is about to be heard of."""
        # In this order: the thread notes the time before it reads.
        return self._folder.waits() or time.monotonic() - self.written_at < ANNOUNCED_SECONDS

    def stop(self) -> None:
        """Have the thread end."""
        self._far.close()

    def join(self) -> None:
        """Wait until it has."""
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            self._wait()
        except (Unwatchable, OSError) as problem:
            logger.info("bindserver: the files of %r are watched no more: %s", self._alias, problem)
        except BaseException:  # commits are looked for instead, until somebody watches again
            logger.exception("bindserver: the thread that watches %r has failed", self._alias)
        finally:
            self.ended = True
            self._folder.close()
            self._near.close()
            self._ring()

    def _wait(self) -> None:
        waiting = select.poll()
        waiting.register(self._folder, select.POLLIN)
        waiting.register(self._near, select.POLLIN)
        while True:
            ready = {number for number, _ in waiting.poll()}
            if self._near.fileno() in ready:
                return
            before, self.written_at = self.written_at, time.monotonic()
            names = self._folder.read()
            if names is not None and not names & self._names:
                self.written_at = before
                continue
            self._ring()
            time.sleep(REST_SECONDS)
