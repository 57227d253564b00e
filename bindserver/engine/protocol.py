"""The wire contract's words: codes, what clients say, and what one client is told, written.

What clients say is read in `parsing`. The frames that all subscribers of a view share are written
in `frames`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from bindserver.engine.changes import Key

SUBPROTOCOL = "bindserver.v1"
MAX_EVENT_LENGTH = 128
SAFE_INTEGER = 2**53 - 1
RESERVED_EVENTS = frozenset(
    {
        "connect",
        "connect_error",
        "connecting",
        "disconnect",
        "disconnecting",
        "error",
        "newListener",
        "ping",
        "pong",
        "reconnect",
        "reconnect_attempt",
        "reconnect_error",
        "reconnect_failed",
        "removeListener",
        "status",
    }
)
"""Names that Socket.IO and the JavaScript client keep for themselves: no binding's event."""


class Code(StrEnum):
    """Why a message could not be served, or why a subscription ended."""

    MALFORMED = "malformed"
    UNKNOWN_EVENT = "unknown_event"
    INVALID_PARAMS = "invalid_params"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    REVOKED = "revoked"
    EXPIRED = "expired"
    TOO_MANY_SUBSCRIPTIONS = "too_many_subscriptions"
    RATE_LIMITED = "rate_limited"
    TOO_LARGE = "too_large"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class Closing(IntEnum):
    """WebSocket close codes."""

    GOING_AWAY = 1001
    UNSUPPORTED = 1003
    TOO_BIG = 1009
    RESTART = 1012
    TRY_LATER = 1013
    TOO_MANY_MALFORMED = 4400
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    TOO_SLOW = 4408
    TOO_MANY_MESSAGES = 4429


Ref = str | int | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """The client wants an event, from the start or from a state that it knows."""

    event: str
    params: Mapping[str, Any]
    cursor: str | None = None
    held: tuple[Key, ...] | None = None
    page_size: int | None = None
    ref: Ref = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    """The client wants no more of an event."""

    event: str
    params: Mapping[str, Any]
    ref: Ref = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticate:
    """The client shows who it is; without a token, by the session of its connection."""

    token: str | None
    ref: Ref = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The client asks for extras."""

    want: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Await:
    """The client wants to hear when it holds a write."""

    token: str
    ref: Ref = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """The client wants its data back."""

    data: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """An event of the protocol's own that we do not know."""


Message = Subscribe | Unsubscribe | Authenticate | Hello | Await | Ping | Ignored


def canonical(params: Mapping[str, Any]) -> str:
    """Return params as the JSON text by which two subscriptions are one: names sorted, compact."""
    return json.dumps(params, sort_keys=True, separators=(",", ":"))


def dump(event: str, data: Any) -> str:
    """Return a private message. What a client sent may come back, so nothing but ASCII is used:
    half a surrogate pair, which JSON can carry, has no UTF-8."""
    return json.dumps({"event": event, "data": data}, separators=(",", ":"))


def subscribed(*, event: str, params: str, key: str, ordered: bool, ref: Ref) -> str:
    """Return the answer that a subscription was accepted."""
    data: dict[str, Any] = {} if ref is None else {"ref": ref}
    data |= {"event": event, "params": json.loads(params), "key": key, "ordered": ordered}
    return dump("$subscribed", data)


def error(
    code: Code,
    detail: str,
    *,
    event: str | None = None,
    ref: Ref = None,
    params: Mapping[str, Any] | None = None,
) -> str:
    """Return the answer that a message could not be served."""
    data: dict[str, Any] = {"action": "error"}
    if ref is not None:
        data["ref"] = ref
    if params is not None:
        data["params"] = params
    data["payload"] = {"code": code, "detail": detail}
    return dump(event or "$error", data)


def disconnected(
    *, event: str, params: str | None, code: Code | None = None, ref: Ref = None
) -> str:
    """Return the word that a subscription has ended; `params` is canonical JSON text."""
    data: dict[str, Any] = {"action": "disconnect"}
    if ref is not None:
        data["ref"] = ref
    if params is not None:
        data["params"] = json.loads(params)
    if code is not None:
        data["code"] = code
    return dump(event, data)


def authenticated(expires: int | None, ref: Ref) -> str:
    """Return the answer that the client is who it says, for so many seconds."""
    data: dict[str, Any] = {} if ref is None else {"ref": ref}
    return dump("$auth", data | {"expires": expires})


def pong(data: Any) -> str:
    """Return the answer to a ping."""
    return dump("$pong", data)


def seen(ref: Ref) -> str:
    """Return the word that the client holds the write that it waits for."""
    return dump("$seen", {} if ref is None else {"ref": ref})


def begin() -> str:
    """Return the mark before the frames of one committed state."""
    return dump("$begin", {})


def commit(state: str) -> str:
    """Return the mark behind the frames of one committed state."""
    return dump("$commit", {"state": state})
