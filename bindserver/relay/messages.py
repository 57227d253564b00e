"""What processes say to each other through the channel layer, and who has said how much."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bindserver.cycle.inbox import CommandKind
from bindserver.engine.changes import Change

HINTS, BEAT, COMMAND = "bindserver.hints", "bindserver.beat", "bindserver.command"
MAX_SENDERS = 10_000
"""So many senders are remembered; one that was forgotten counts as unknown."""
WIDEST = 2**63 - 1
"""The widest integer that every serializer of channel layers takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """Something was written, in one database."""

    sender: str
    number: int
    alias: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """The sender is there, and has come to this number."""

    sender: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandMessage:
    """An operator wants something done; `reply` is the channel on which to say so."""

    sender: str
    number: int
    command: CommandKind
    events: frozenset[str] | None
    reply: str


RelayMessage = Hints | Beat | CommandMessage


def dump(message: RelayMessage) -> dict[str, Any]:
    """Return a message as plain values."""
    plain: dict[str, Any] = {"sender": message.sender, "number": message.number}
    match message:
        case Hints():
            changes = [[change.table, _plain_keys(change)] for change in message.changes]
            return {"type": HINTS, **plain, "alias": message.alias, "changes": changes}
        case CommandMessage():
            events = None if message.events is None else sorted(message.events)
            told = {"command": message.command.value, "events": events, "reply": message.reply}
            return {"type": COMMAND, **plain, **told}
    return {"type": BEAT, **plain}


def load(raw: Mapping[str, Any]) -> RelayMessage | None:
    """Return the message in what a channel layer brought, None if there is none that we
    understand."""
    try:
        sender, number = str(raw["sender"]), int(raw["number"])
        match raw["type"]:
            case "bindserver.hints":
                changes = tuple(_change(table, keys) for table, keys in raw["changes"])
                alias = str(raw["alias"])
                return Hints(sender=sender, number=number, alias=alias, changes=changes)
            case "bindserver.command":
                events = raw["events"]
                return CommandMessage(
                    sender=sender,
                    number=number,
                    command=CommandKind(raw["command"]),
                    events=None if events is None else frozenset(events),
                    reply=str(raw["reply"]),
                )
            case "bindserver.beat":
                return Beat(sender=sender, number=number)
    except (KeyError, TypeError, ValueError):
        pass  # of another version, or not ours: the caller deals with None
    return None


def split(changes: Iterable[Change], most: int) -> Iterator[tuple[Change, ...]]:
    """Yield changes in parts of at most about `most` keys, so that no message is large."""
    part: list[Change] = []
    weight = 0
    for change in changes:
        weight += 1 + len(change.pks or ())
        if part and weight > most:
            yield tuple(part)
            part, weight = [], 1 + len(change.pks or ())
        part.append(change)
    if part:
        yield tuple(part)


def _plain_keys(change: Change) -> list[int | str] | None:
    """Return a change's keys as integers and texts; a field's `to_python` reads them again."""
    if change.pks is None or any(isinstance(key, bytes | memoryview) for key in change.pks):
        return None
    return [
        int(key) if isinstance(key, int) and abs(key) <= WIDEST else str(key) for key in change.pks
    ]


def _change(table: str, keys: list[int | str] | None) -> Change:
    return Change(table=str(table), pks=None if keys is None else frozenset(keys))


class GapDetector:
    """Up to which number each sender has been heard."""

    def __init__(self) -> None:
        self._numbers: OrderedDict[str, int] = OrderedDict()

    def follows(self, sender: str, number: int) -> bool:
        """Note a number; return whether nothing of that sender is missing before it.

        An older number, late or for the second time, is nothing that was missed. A sender that
        nobody knows begins at 1.
        """
        known = self._numbers.pop(sender, 0)
        self._numbers[sender] = max(known, number)
        if len(self._numbers) > MAX_SENDERS:
            self._numbers.popitem(last=False)
        return number <= known + 1
