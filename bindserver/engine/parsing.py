"""What clients say, parsed: each message is one of the wire contract's, or malformed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from bindserver.engine.changes import Key
from bindserver.engine.protocol import (
    MAX_EVENT_LENGTH,
    SAFE_INTEGER,
    Authenticate,
    Await,
    Hello,
    Ignored,
    Message,
    Ping,
    Ref,
    Subscribe,
    Unsubscribe,
)

MAX_REF_LENGTH = 128
MAX_DEPTH = 64


class Malformed(ValueError):
    """The message is none of the contract's.

    Attributes:
        event: the event that it named, None when it named none.
        ref: its mark, where that could be read.
        params: its params, where these could be read.
    """

    def __init__(
        self, detail: str, *, event: str | None = None, data: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail)
        self.event = event
        fields = data or {}
        self.ref: Ref = fields.get("ref") if _is_ref(fields.get("ref")) else None
        params = fields.get("params")
        self.params: Mapping[str, Any] | None = params if isinstance(params, dict) else None


def parse(text: str) -> Message:
    """Return the message that a client's frame says.

    Raises:
        Malformed: it is no JSON object, or its fields are of the wrong type.
    """
    body = _loads(text)
    if not isinstance(body, dict):
        raise Malformed("a message is a JSON object with an event")
    event = body.get("event")
    if not isinstance(event, str) or not event or len(event) > MAX_EVENT_LENGTH:
        raise Malformed(f"event is a string of 1 to {MAX_EVENT_LENGTH} characters")
    if event == "$ping":
        return Ping(data=body.get("data"))
    data = body.get("data")
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise Malformed("data is an object", event=event)
    if event.startswith("$"):
        return _parse_own(event, data)
    return _parse_subscription(event, data)


def _loads(text: str) -> Any:
    try:
        body = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise Malformed("the message is not JSON") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _deeper(body, MAX_DEPTH):
        raise Malformed(f"a message is at most {MAX_DEPTH} levels deep")
    return body


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(digits: str) -> float:
    """Return a number that can be sent back: JSON has no infinity for what is too large."""
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits)
    return number


def _deeper(value: Any, depth: int) -> bool:
    """Return whether lists and objects are nested more than `depth` times.

    What can be read may still be too deep to be written, further down the stack.
    """
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(depth):
        level = [
            item
            for holder in level
            for item in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(item, (dict, list))
        ]
    return bool(level)


def _parse_own(event: str, data: Mapping[str, Any]) -> Message:
    if event == "$auth":
        token = data.get("token")
        if token is not None and not isinstance(token, str):
            raise Malformed("token is a string", event=event, data=data)
        return Authenticate(token=token, ref=_ref(event, data))
    if event == "$hello":
        want = data.get("want", [])
        if not isinstance(want, list) or not all(isinstance(item, str) for item in want):
            raise Malformed("want is a list of strings", event=event, data=data)
        return Hello(want=frozenset(want))
    if event == "$await":
        token = data.get("token")
        if not isinstance(token, str):
            raise Malformed("token is a string", event=event, data=data)
        return Await(token=token, ref=_ref(event, data))
    return Ignored()


def _parse_subscription(event: str, data: Mapping[str, Any]) -> Message:
    params = data.get("params")
    if params is not None and not isinstance(params, dict):
        raise Malformed("params is an object", event=event, data=data)
    disconnect = data.get("disconnect", False)
    if not isinstance(disconnect, bool):
        raise Malformed("disconnect is true or false", event=event, data=data)
    ref = _ref(event, data)
    if disconnect:
        return Unsubscribe(event=event, params=params or {}, ref=ref)
    cursor = data.get("cursor")
    if cursor is not None and not isinstance(cursor, str):
        raise Malformed("cursor is a string", event=event, data=data)
    return Subscribe(
        event=event,
        params=params or {},
        cursor=cursor,
        held=_held(event, data),
        page_size=_page_size(event, data),
        ref=ref,
    )


def _held(event: str, data: Mapping[str, Any]) -> tuple[Key, ...] | None:
    held = data.get("held")
    if held is None:
        return None
    if not isinstance(held, list) or not all(is_key(key) for key in held):
        raise Malformed("held is a list of strings and integers", event=event, data=data)
    return tuple(held)


def _page_size(event: str, data: Mapping[str, Any]) -> int | None:
    size = data.get("page_size")
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise Malformed("page_size is a positive integer", event=event, data=data)
    return size


def _ref(event: str, data: Mapping[str, Any]) -> Ref:
    ref = data.get("ref")
    if not _is_ref(ref):
        raise Malformed(
            f"ref is a number or a string of at most {MAX_REF_LENGTH} characters",
            event=event,
            data=data,
        )
    return ref


def _is_ref(value: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        return len(value) <= MAX_REF_LENGTH
    if isinstance(value, int):
        return abs(value) <= SAFE_INTEGER
    return value is None or isinstance(value, float)


def is_key(value: object) -> bool:
    """Return whether `value` can be a key on the wire."""
    if isinstance(value, bool):
        return False
    return isinstance(value, str) or (isinstance(value, int) and abs(value) <= SAFE_INTEGER)
