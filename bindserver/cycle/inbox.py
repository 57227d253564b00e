"""What a hub is asked, and what it answers: the words between transports and the cycle.

Requests may be handed in from any thread. Events come back in order on the listener's event loop;
a snapshot's answer comes as a future.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from bindserver.bindings.binding import Binding
from bindserver.bindings.model_rows import ModelRows
from bindserver.bindings.registry import BindingClass
from bindserver.engine.changes import Change
from bindserver.engine.effects import HubEffect
from bindserver.engine.events import Event
from bindserver.engine.line import Line
from bindserver.queries.identity import IdentityEncoder, digest
from bindserver.queries.values import NOBODY


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: a user, and how they proved it.

    Attributes:
        address: from where, as `cycle.owners.address_of` has it, for the budget alone: whoever asks
            alike shares a view, wherever they are. None for code of the server's own.
    """

    user: Any = None
    auth: Any = None
    address: str | None = field(default=None, compare=False)

    def identity(self) -> str:
        """Return what makes two callers one and the same to a binding: all that is known of them.

        A user and what proves them count with all that is loaded of them, such as the scopes that
        middleware hangs on a user; what cannot be told by its content is told by itself.
        """
        return digest(self.encoded(IdentityEncoder()))

    def encoded(self, encoder: IdentityEncoder) -> list[Any]:
        """Return the same as plain data."""
        user = NOBODY if self.user is None else encoder.encode(self.user, "user")
        return [user, encoder.encode(self.auth, "auth")]


class Listener(Protocol):
    """Whoever hears events, on its own loop."""

    loop: asyncio.AbstractEventLoop

    def hear(self, number: int, event: Event) -> None:
        """Take an event about the subscription or question `number`."""

    def fail(self) -> None:
        """Give up: hearing an event raised, so nothing after it can be right."""

    def settle(self, state: str) -> None:
        """Called when all events of one committed state have been heard."""


class SubscriptionRef(NamedTuple):
    """One subscription of one listener.

    Attributes:
        listener: hears what happens to it.
        number: the listener's name for it.
        line: the straight way to the client, where there is one.
    """

    listener: Listener
    number: int
    line: Line | None = None


# Requests.


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """Do what a session wants done about one of its subscriptions, or tell what it asks.

    Attributes:
        listener: hears the answer.
        caller: who asks.
        effect: what is wanted.
        instance: the binding itself, for a subscriber of our own; else the effect names its event.
        line: the straight way to the listener's client; the same in all requests of one listener.
    """

    listener: Listener
    caller: Caller
    effect: HubEffect
    instance: Binding[Any] | None = None
    line: Line | None = None

    @property
    def ref(self) -> SubscriptionRef:
        """The subscription or question that this is about."""
        return SubscriptionRef(self.listener, self.effect.number, self.line)


Rows = TypeVar("Rows")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading(Generic[Rows]):
    """A request for rows as they are now, answered once."""

    answer: Future[Rows] = field(default_factory=Future)

    @property
    def has_left(self) -> bool:
        """Whether whoever asked has cancelled the answer."""
        return self.answer.cancelled()

    def give(self, rows: Rows) -> None:
        """Answer, unless nobody waits any more."""
        if not self.answer.done() and self.answer.set_running_or_notify_cancel():
            self.answer.set_result(rows)

    def fail(self, problem: Exception) -> None:
        """Say why there is no answer, unless nobody waits any more."""
        if not self.answer.done() and self.answer.set_running_or_notify_cancel():
            self.answer.set_exception(problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRequest(_Reading["Snapshot"]):
    """Give a binding's rows as JSON.

    Attributes:
        trusted: whether the binding's permissions have been asked already.
    """

    binding: BindingClass
    caller: Caller
    params: Mapping[str, Any]
    trusted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRequest(_Reading[ModelRows[Any]]):
    """Give a binding's rows as model instances."""

    instance: Binding[Any]

    @property
    def caller(self) -> Caller:
        """Who asks: code of the server's own."""
        return Caller()

    @property
    def binding(self) -> BindingClass:
        """The binding's class."""
        return type(self.instance)

    @property
    def params(self) -> Mapping[str, Any]:
        """The params, as they came."""
        return self.instance.wire_params


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Look at what was written; None when that is not known, and all must be compared."""

    changes: tuple[Change, ...] | None = ()


class CommandKind(Enum):
    """What an operator may have done with a binding's views.

    SYNC: read anew, and send subscribers all rows. BUMP: read anew, and send what differed.
    CLEAR: forget the rows, read at the next need, and send subscribers all rows.
    """

    SYNC = "sync"
    BUMP = "bump"
    CLEAR = "clear"


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewCommand:
    """Do something with all views of these events, and of this class of bindings; None for any."""

    command: CommandKind
    events: frozenset[str] | None = None
    binding: BindingClass | None = None

    def means(self, event: str | None, binding: BindingClass) -> bool:
        """Return whether a view of a binding is meant."""
        return (self.events is None or event in self.events) and (
            self.binding is None or binding is self.binding
        )


Request = SessionRequest | SnapshotRequest | ReadRequest | Hint | ViewCommand


# Answers.


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A view's rows in one committed state.

    Attributes:
        rows: the rows' JSON texts, by their keys, in order.
        key: the name of the row field that holds the key.
        cursor: to go on from exactly here.
        digest: equal for equal rows, in every process.
        modified: when this process last saw the rows change, in seconds since 1970.
        dicts: whether they are rows of columns, and no model instances.
    """

    rows: Mapping[int | str, str]
    key: str
    cursor: str
    digest: str
    modified: float
    dicts: bool = False
