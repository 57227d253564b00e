"""An address that stays while what is behind it changes, as one that failover software keeps."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading

from tests.support.server import free_port


class Forwarder:
    """Hands every connection on to a port of this machine.

    Args:
        target: the port.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._open: set[socket.socket] = set()
        self._silent: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def point(self, target: int) -> None:
        """Hand connections on to another port from now on; those that are open are ended."""
        self._target = target
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def silence(self) -> None:
        """Carry nothing any more on the connections that are open, as if their host were gone."""
        self._silent |= self._open

    def close(self) -> None:
        """Take no more connections, and end those that there are."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.point(0)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            self._open |= {near, far}
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        with selectors.DefaultSelector() as selector, near, far:
            selector.register(near, selectors.EVENT_READ, far)
            selector.register(far, selectors.EVENT_READ, near)
            with contextlib.suppress(OSError):
                while self._carry_some(selector):
                    pass
        self._open -= {near, far}
        self._silent -= {near, far}

    def _carry_some(self, selector: selectors.BaseSelector) -> bool:
        for key, _ in selector.select():
            end = key.fileobj
            assert isinstance(end, socket.socket)
            data = end.recv(65536)
            if not data:
                return False
            if end not in self._silent:
                key.data.sendall(data)
        return True
