"""What goes wrong, as one tree.

BindserverError
├── BindingError          a binding is declared wrongly
├── Refusal               what a subscriber asks for cannot be served
│   ├── UnknownEvent
│   ├── Unsound           a system check refuses the binding
│   ├── InvalidParams
│   ├── NoToken           it names no committed write
│   ├── TooManyRows
│   ├── Denied
│   │   ├── Unauthenticated
│   │   ├── Forbidden
│   │   └── NotFound
│   ├── Failed            the binding's own code, or a query of it, raised something
│   └── Unavailable       not now; try again
│       ├── NoRoom        there are too many views, or they take too much memory
│       └── Interrupted   the thread that was about it has failed
├── CaptureError          the change log cannot be installed or read
│   ├── CaptureBusy       not now: somebody holds a lock
│   ├── LogRemoved        it was there, and somebody took it away
│   └── LogInstalled      it is there, where signals were followed
├── QueryTimeout          a query or serializer took longer than it may
├── ShownByRow            the database shows the server some rows only
├── Overtaken             a snapshot shows what is newer than itself
├── DatabaseUnusable      a database cannot be reached, or refuses
└── CannotListen          the server cannot have the address it was told
"""

from __future__ import annotations

from collections.abc import Collection

from bindserver.engine.protocol import Code


class BindserverError(Exception):
    """The base of all errors of ours."""


class BindingError(BindserverError):
    """A binding is declared wrongly; the message says what to write instead."""


class Refusal(BindserverError):
    """What a subscriber asks for cannot be served; `str()` is fit for the subscriber's eyes."""

    code = Code.INTERNAL


class UnknownEvent(Refusal):
    """No binding is published under the event.

    Args:
        event: what was asked for.
        known: the events that there are; subscribers are told in debug mode alone.
        debug: whether this is it.
    """

    code = Code.UNKNOWN_EVENT

    def __init__(self, event: str, known: Collection[str] = (), *, debug: bool = False) -> None:
        told = f"; there are: {', '.join(sorted(known)) or 'none'}" if debug else ""
        super().__init__(f"no binding has the event {event!r}{told}")
        self.event = event


class Unsound(Refusal):
    """The binding is refused by a system check, and so by whoever serves it.

    Args:
        reference: by which the server's log has the reason.
        reason: what is wrong, and what to write; subscribers are told in debug mode alone.
        debug: whether this is it.
    """

    def __init__(self, reference: str, reason: str, *, debug: bool) -> None:
        told = f": {reason}" if debug else ""
        super().__init__(f"the server refuses to serve this binding; reference {reference}{told}")
        self.reason = reason


class InvalidParams(Refusal):
    """The params are not what the binding takes."""

    code = Code.INVALID_PARAMS


class Denied(Refusal):
    """A permission class, or the binding, refuses the subscriber."""


class Unauthenticated(Denied):
    """Nobody is known to ask."""

    code = Code.UNAUTHENTICATED


class Forbidden(Denied):
    """The user may not have it."""

    code = Code.FORBIDDEN


class NotFound(Denied):
    """To this subscriber there is nothing of the kind: the binding says 404."""

    code = Code.UNKNOWN_EVENT


class NoToken(Refusal):
    """A token names no committed write."""

    code = Code.MALFORMED


class TooManyRows(Refusal):
    """The queryset is larger than the binding allows."""

    code = Code.TOO_LARGE

    def __init__(self, limit: int) -> None:
        super().__init__(f"the queryset has more than {limit} rows")
        self.limit = limit


class Failed(Refusal):
    """A binding cannot be read: its own code, or a query of it, raised something.

    Args:
        reference: by which the server's log has it.
        reason: what was raised, where whoever asks may know.
    """

    code = Code.INTERNAL

    def __init__(self, reference: str, reason: str = "") -> None:
        reason = f" ({reason})" if reason else ""
        super().__init__(f"the server failed{reason}; reference {reference}")
        self.reference = reference


class Unavailable(Refusal):
    """The database, or the server, cannot answer now."""

    code = Code.UNAVAILABLE

    def __init__(self, detail: str = "the server cannot answer now; try again later") -> None:
        super().__init__(detail)


class NoRoom(Unavailable):
    """There is no room for another view, or for its rows; the message says which setting bounds
    it."""


class Interrupted(Unavailable):
    """The thread that was about it has failed, and begins anew."""


class CaptureError(BindserverError):
    """The change log cannot be installed or read; the message says why and what to do."""


class CaptureBusy(CaptureError):
    """The change log cannot be installed now: somebody holds a lock on what it needs."""


REMOVED = "the change log was removed"


class LogRemoved(CaptureError):
    """The change log was there, and somebody took it away."""


class LogInstalled(CaptureError):
    """The change log is there, and signals were followed for want of it."""


class QueryTimeout(BindserverError):
    """A query or a serializer took longer than `QUERY_SECONDS`."""


class ShownByRow(BindserverError):
    """The database shows the server's role some rows only of what is to be served; the message says
    of which tables, and what to do."""


class Overtaken(BindserverError):
    """A table was emptied, rewritten or replaced after the snapshot that has read it was taken, and
    before it was read: what was read may be no state at all. Read again in another snapshot."""


class DatabaseUnusable(BindserverError):
    """A database cannot be reached, or refuses; the message says which, why and what to do."""


class CannotListen(BindserverError):
    """The server cannot have the address that it was told to listen on."""
