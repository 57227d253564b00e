"""Collections that have one member mostly: who follows a view, where each has a view of their own.

Python's own take two hundred bytes and more for a single member, and of a hundred thousand views
each has several.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, KeysView, MutableMapping, Set
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
S = TypeVar("S")
T = TypeVar("T")
V = TypeVar("V")


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


class FewItems(MutableMapping[K, V]):
    """A mapping in the order in which its items came, which keeps a single one by itself."""

    __slots__ = ("_key", "_value")

    def __init__(self) -> None:
        self._key: Any = _NOBODY
        self._value: Any = None

    def __getitem__(self, key: K) -> V:
        value: V
        if self._key is _MANY:
            value = self._value[key]
        elif self._key is _NOBODY or self._key != key:
            raise KeyError(key)
        else:
            value = self._value
        return value

    def __setitem__(self, key: K, value: V) -> None:
        if self._key is _MANY:
            self._value[key] = value
        elif self._key is _NOBODY or self._key == key:
            self._key, self._value = key, value
        else:
            self._key, self._value = _MANY, {self._key: self._value, key: value}

    def __delitem__(self, key: K) -> None:
        if self._key is not _MANY:
            if self._key is _NOBODY or self._key != key:
                raise KeyError(key)
            self._key, self._value = _NOBODY, None
            return
        del self._value[key]
        if len(self._value) == 1:
            ((self._key, self._value),) = self._value.items()

    def __iter__(self) -> Iterator[K]:
        if self._key is _MANY:
            return iter(self._value)
        return iter(()) if self._key is _NOBODY else iter((self._key,))

    def __len__(self) -> int:
        return len(self._value) if self._key is _MANY else int(self._key is not _NOBODY)


class FewBy(Generic[K, T]):
    """Members by what they have in common, in the order in which they came; a single one is kept by
    itself."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[K, Any] = {}

    def __len__(self) -> int:
        """Return by how many keys there are members."""
        return len(self._held)

    def keys(self) -> KeysView[K]:
        """Return the keys by which there are members."""
        return self._held.keys()

    def of(self, key: K) -> Collection[T]:
        """Return the members of a key."""
        held = self._held.get(key, _NOBODY)
        if type(held) is _Several:
            return held.keys()
        return () if held is _NOBODY else (held,)

    def all(self) -> Iterator[T]:
        """Yield all members; none may come or go meanwhile."""
        for held in self._held.values():
            if type(held) is _Several:
                yield from held
            else:
                yield held

    def add(self, key: K, member: T) -> None:
        """Take a member."""
        held = self._held.setdefault(key, member)
        if type(held) is _Several:
            held[member] = None
        elif held != member:
            self._held[key] = _Several({held: None, member: None})

    def drop(self, key: K) -> None:
        """Let go of all members of a key."""
        self._held.pop(key, None)

    def discard(self, key: K, member: T) -> None:
        """Let go of a member, if it is one."""
        held = self._held.get(key, _NOBODY)
        if type(held) is _Several:
            held.pop(member, None)
            if len(held) == 1:
                (self._held[key],) = held
        elif held == member:
            del self._held[key]


class _Several(dict[Any, None]):
    """More than one member, in order: a kind of its own, which no member is of."""

    __slots__ = ()


_NOBODY, _MANY = object(), object()
