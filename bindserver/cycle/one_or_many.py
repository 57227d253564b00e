"""Collections that have one member mostly: who follows a view, where each has a view of their own.

Python's own take two hundred bytes and more for a single member, and of a hundred thousand views
each has several.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")


class Few(Set[T]):
    """A set in the order in which its members came, which keeps a single one by itself."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: Any = _NOBODY

    def add(self, member: T) -> None:
        """Take a member."""
        held = self._held
        if type(held) is _Several:
            held[member] = None
        elif held is _NOBODY:
            self._held = member
        elif held != member:
            self._held = _Several({held: None, member: None})

    def discard(self, member: T) -> None:
        """Let go of a member, if it is one."""
        held = self._held
        if type(held) is _Several:
            held.pop(member, None)
            if len(held) == 1:
                (self._held,) = held
        elif held == member:
            self._held = _NOBODY

    def clear(self) -> None:
        """Let go of all members."""
        self._held = _NOBODY

    def __contains__(self, member: object) -> bool:
        held = self._held
        return member in held if type(held) is _Several else bool(held == member)

    def __iter__(self) -> Iterator[T]:
        held = self._held
        if type(held) is _Several:
            return iter(held)
        return iter(()) if held is _NOBODY else iter((held,))

    def __len__(self) -> int:
        held = self._held
        return len(held) if type(held) is _Several else int(held is not _NOBODY)

    @classmethod
    def _from_iterable(cls, members: Iterable[S]) -> Few[S]:
        made = Few[S]()
        for member in members:
            made.add(member)
        return made


class _Several(dict[Any, None]):
    """More than one member, in order: a kind of its own, which no member is of."""

    __slots__ = ()


_NOBODY = object()
