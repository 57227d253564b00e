"""From deltas to the text of the frames that all subscribers of a view share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from bindserver.engine.changes import Key
from bindserver.engine.deflate import deflate
from bindserver.engine.ring import Delta, Put

PAGE_SIZES = (100, 500, 1000, 5000)
"""The rows per page that what a client asks for is rounded to."""
DEFAULT_PAGE_SIZE = 1000
PAGE_BYTES = 256 * 1024
"""A page ends at so many bytes, however few its rows."""


BREATH_BYTES = 32 * 1024
"""After a message of more than this, other clients have their turn. One of no more keeps what it is
on the wire: very many clients may get it."""

DATA = ',"data":'
"""What stands between a message's event and its data; quotes in the event's name are escaped."""


class Shared(NamedTuple):
    """What a frame says to all subscribers of a view.

    Attributes:
        event: the binding's name on the wire.
        params: the canonical params as JSON text; None for a binding that takes none.
        action: what it does to a copy of the view.
        cursor: names the state that it brings a client to; None where pages follow, or rows may be
            old.
    """

    event: str
    params: str | None
    action: str
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Frame:
    """One message, encoded once for all who get it.

    Attributes:
        text: the message, as a WebSocket carries it.
        size: its length in bytes.
        shared: what it says to all subscribers of a view; None for what one client is told.
    """

    text: str
    size: int
    shared: Shared | None = None
    _wire: bytes | None = field(default=None, init=False, repr=False, compare=False)
    _packed: bytes | None = field(default=None, init=False, repr=False, compare=False)
    _lines: tuple[bool, bytes] | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, text: str, shared: Shared | None = None) -> Frame:
        return cls(text, byte_length(text), shared)

    @property
    def is_text(self) -> bool:
        """Whether it can be written: half of a surrogate pair has no UTF-8."""
        try:
            return bool(self.wire)
        except UnicodeEncodeError:
            return False

    @property
    def wire(self) -> bytes:
        """The message as a server writes it: one unmasked text frame of RFC 6455, section 5.2.

        Raises:
            UnicodeEncodeError: it has half of a surrogate pair, which no such frame can carry.
        """
        if self._wire is not None:
            return self._wire
        payload = self.text.encode()
        wire = b"\x81" + _length(len(payload)) + payload
        if len(payload) <= BREATH_BYTES:
            object.__setattr__(self, "_wire", wire)
        return wire

    @property
    def packed(self) -> bytes:
        """The message as a server writes it to whoever takes compressed ones: a frame with RSV1
        (RFC 7692, section 6), or `wire` where that would be no longer. It is kept, however big: to
        compress a page of a `sync` takes milliseconds, and very many clients may get it.

        Raises:
            UnicodeEncodeError: as `wire`.
        """
        if self._packed is not None:
            return self._packed
        payload = deflate(self.text.encode())
        packed = self.wire if payload is None else b"\xc1" + _length(len(payload)) + payload
        object.__setattr__(self, "_packed", packed)
        return packed

    @property
    def takes_long_to_pack(self) -> bool:
        """Whether `packed` is yet to be made, and would hold others up."""
        return self._packed is None and self.size > BREATH_BYTES

    @property
    def weight(self) -> int:
        """About how many bytes it takes in memory."""
        return self.size + len(self._packed or b"")

    def form(self, *, packed: bool) -> bytes:
        """Return the message as it is written to whoever takes compressed ones, or does not."""
        return self.packed if packed else self.wire

    def lines(self, *, named: bool) -> bytes:
        """Return a shared message as an event stream has it (WHATWG HTML, section 9.2): the action
        as the event's name, and its `data`; all but the id, which may be the client's own.

        Args:
            named: whether the binding's event is told in the data.

        Raises:
            UnicodeEncodeError: it has half of a surrogate pair, which no stream can carry.
        """
        if self._lines is not None and self._lines[0] is named:
            return self._lines[1]
        assert self.shared is not None
        data = self.text[self.text.index(DATA) + len(DATA) : -1]
        if named:
            data = f'{{"event":{json.dumps(self.shared.event)},{data[1:]}'
        # A line's end is a space between two tokens of JSON; here it would end the data.
        data = data.replace("\r", " ").replace("\n", " ")
        lines = f"event: {self.shared.action}\ndata: {data}\n".encode()
        if len(lines) <= BREATH_BYTES:
            object.__setattr__(self, "_lines", (named, lines))
        return lines


def _length(size: int) -> bytes:
    """Return a payload's length as the header of a frame has it."""
    if size < 126:
        return bytes([size])
    if size < 65536:
        return b"\x7e" + size.to_bytes(2, "big")
    return b"\x7f" + size.to_bytes(8, "big")


def byte_length(text: str) -> int:
    """Return how many bytes a text takes on the wire."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def round_page_size(asked: int | None) -> int:
    """Return the page size nearest to the one that the client asked for."""
    if asked is None:
        return DEFAULT_PAGE_SIZE
    return min(PAGE_SIZES, key=lambda size: abs(size - asked))


def key_text(key: Key | None) -> str:
    """Return a key as JSON."""
    return "null" if key is None else json.dumps(key)


class FrameEncoder:
    """Writes the frames of one view.

    Args:
        event: the binding's name on the wire.
        params: the canonical params as JSON text; None for a binding that takes none.
        key: the name of the row field that holds the key.
    """

    __slots__ = ("_canonical", "_event", "_head", "_key", "_params")

    def __init__(self, *, event: str, params: str | None, key: str) -> None:
        self._event, self._canonical = event, params
        self._head, self._key = _words_of(event, key)
        self._params = "" if params is None else f',"params":{params}'

    def sync(self, rows: Sequence[str], cursor: str, page_size: int) -> tuple[Frame, ...]:
        """Return the whole queryset, in pages where it is large."""
        return self._pages("sync", rows, cursor, page_size)

    def renewed(self, frames: Sequence[Frame], cursor: str) -> tuple[Frame, ...]:
        """Return a `sync`'s frames with another cursor, for rows that are still the same."""
        body, _, _ = frames[-1].text.rpartition(f'{self._params},"cursor":"')
        last = Frame.of(f"{body}{self._tail(cursor)}", self._shared("sync", cursor))
        return (*frames[:-1], last)

    def delta(self, delta: Delta, cursor: str) -> tuple[Frame, ...]:
        """Return a delta's frames: a single action, or a batch in one page or several.

        An empty delta yields `ok`.
        """
        changes = [self._delete(key) for key in delta.deletes]
        changes.extend(self._put(put) for put in delta.puts)
        if not changes:
            return (self._frame("ok", "", cursor),)
        if len(changes) == 1:
            return (self._frame(*changes[0], cursor),)
        listed = [f'{{"action":"{action}"{body}}}' for action, body in changes]
        return self._pages("batch", listed, cursor, DEFAULT_PAGE_SIZE)

    def stale(self) -> Frame:
        """Return the frame that says that rows may be old until the next one."""
        return self._frame("stale", "", None)

    def _delete(self, key: Key) -> tuple[str, str]:
        return "delete", f',"payload":{{{self._key}:{key_text(key)}}}'

    def _put(self, put: Put) -> tuple[str, str]:
        after = f',"after":{key_text(put.after)}' if put.placed else ""
        return "create" if put.created else "update", f',"payload":{put.text}{after}'

    def _tail(self, cursor: str | None) -> str:
        named = "" if cursor is None else f',"cursor":"{cursor}"'
        return f"{self._params}{named}}}}}"

    def _frame(self, action: str, body: str, cursor: str | None) -> Frame:
        text = f'{self._head}"{action}"{body}{self._tail(cursor)}'
        return Frame.of(text, self._shared(action, cursor))

    def _shared(self, action: str, cursor: str | None) -> Shared:
        return Shared(self._event, self._canonical, action, cursor)

    def _pages(
        self, action: str, items: Sequence[str], cursor: str, page_size: int
    ) -> tuple[Frame, ...]:
        """Return the items in pages; only the last one names the state that they lead to."""
        pages = list(split(items, page_size)) or [()]
        if len(pages) == 1:
            return (self._frame(action, f',"payload":[{",".join(pages[0])}]', cursor),)
        return tuple(
            self._frame(
                action,
                f',"page":{number},"pages":{len(pages)},"payload":[{",".join(page)}]',
                cursor if number == len(pages) else None,
            )
            for number, page in enumerate(pages, start=1)
        )


@lru_cache(maxsize=1000)
def _words_of(event: str, key: str) -> tuple[str, str]:
    """Return what all frames of an event begin with, and the name of its key as JSON: one text for
    all views of it."""
    return f'{{"event":{json.dumps(event)},"data":{{"action":', json.dumps(key)


def split(items: Sequence[str], page_size: int) -> Iterable[Sequence[str]]:
    """Yield `items` in pages of at most `page_size`, and of about `PAGE_BYTES` at most."""
    start = size = 0
    for index, item in enumerate(items):
        length = byte_length(item)
        if index > start and (index - start >= page_size or size + length > PAGE_BYTES):
            yield items[start:index]
            start, size = index, 0
        size += length
    if start < len(items):
        yield items[start:]


def changes_in(frame: Frame, pages: list[Any]) -> Iterator[tuple[str, Any]]:
    """Yield what a shared frame says, change by change; the pages of a sync as one.

    Args:
        frame: the frame.
        pages: keeps the rows of a sync until its last page; one list for each subscription.
    """
    data = json.loads(frame.text)["data"]
    action: str = data["action"]
    payload: Any = data.get("payload")
    if action == "batch":
        for change in payload:
            yield change["action"], change["payload"]
    elif action == "sync":
        if data.get("page", 1) == 1:
            pages.clear()
        pages.extend(payload)
        if data.get("page", 1) == data.get("pages", 1):
            yield action, list(pages)
    elif action in ("create", "update", "delete"):
        yield action, payload
