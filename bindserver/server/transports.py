"""Transports that let go of clients which do not take what is written to them.

To close a transport is to close it once all that was written has been sent. A client that reads
nothing would keep its socket, what waits for it, and whoever has written that, for as long as it
likes.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from bindserver.conf import conf
from bindserver.server.deadline import Deadline

LEAST_BYTES = 256 * 1024
"""So much must be taken in SLOW_CLIENT_SECONDS, or all that is left: about a page of a `sync`."""

UNSENT_BYTES = 128 * 1024
"""So much may the system keep that it has not sent yet, beside what the client's window holds. It
would take 4 MB by itself, of which nobody here knew."""


class PatientTransport:
    """A transport whose client is given up where it is waited for in vain.

    Args:
        transport: the socket's own; what is not said here is its.
        loop: its event loop.
    """

    __slots__ = ("_looking", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._looking: Deadline | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """Close when all is sent, or it is not taken."""
        self._transport.close()
        self.watch()

    def watch(self) -> None:
        """See from now on that the client takes what waits, until all is taken or `rest`."""
        if self._looking is None:
            self._look_later()

    def rest(self) -> None:
        """Look no more, as enough was taken; unless the transport is closing."""
        if self._looking is not None and not self._transport.is_closing():
            self._looking.cancel()
            self._looking = None

    def _look_later(self) -> None:
        self._looking = None
        if left := self._transport.get_write_buffer_size():
            self._looking = Deadline(self._loop, conf.SLOW_CLIENT_SECONDS, self._look, left)

    def _look(self, left: int) -> None:
        """Give the client up if it has taken too little.

        Args:
            left: what waited when this was last looked at.
        """
        if self._transport.get_write_buffer_size() > left - min(left, LEAST_BYTES):
            self._looking = None
            self._transport.abort()
        else:
            self._look_later()


def patient(transport: Any, loop: asyncio.AbstractEventLoop) -> PatientTransport:
    """Return a transport as a patient one, if it is none yet; what a client leaves waits in its
    buffer, where it is seen, and not in the system's."""
    if isinstance(transport, PatientTransport):
        return transport
    sock, option = transport.get_extra_info("socket"), getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None and sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, option, UNSENT_BYTES)
    return PatientTransport(transport, loop)
