"""The straight way to one client: past its session, while there is nothing to be said but deltas.

One change reaches very many clients by their lines, in a loop that looks at one number and writes.
The session opens its line when all that it had to say is written, and closes it as soon as anything
else is said or heard; what stands in the way of the socket stops it from outside.
"""

from __future__ import annotations

from collections.abc import Callable

from bindserver.engine.frames import Frame

NOTHING = 0
"""The number of no subscription."""


def _nowhere(wire: bytes) -> None:
    raise RuntimeError("a client cannot be written to straight")


class Line:
    """Where the deltas of one subscription are written as they come, on the event loop's thread.

    Attributes:
        carries: the number of the subscription; `NOTHING` while all goes through the session.
        version: the view's version that the last delta brought it to.
        packs: whether the client takes compressed messages.
        write: writes whole WebSocket messages, behind all that was written before.
        frames: how many messages the client has been sent, in this way or another.
        bytes: how many bytes these had, as they were written.
    """

    __slots__ = ("bytes", "carries", "frames", "packs", "version", "write")

    def __init__(self) -> None:
        self.carries = NOTHING
        self.version = 0
        self.packs = False
        self.write: Callable[[bytes], object] = _nowhere
        self.frames = self.bytes = 0

    def put(self, frame: Frame) -> None:
        """Write a message, and count it."""
        data = frame.form(packed=self.packs)
        self.write(data)
        self.sent(len(data))

    def sent(self, size: int) -> None:
        """Count a message that was written, of so many bytes."""
        self.frames += 1
        self.bytes += size

    def stop(self) -> None:
        """Carry nothing from now on, as the socket takes no more."""
        self.carries = NOTHING
