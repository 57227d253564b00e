"""What Python code asks of a binding: its rows, as they are now."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from django.db.models import Model

from bindserver.bindings.model_rows import ModelRows
from bindserver.exceptions import BindingError

M = TypeVar("M", bound=Model)


class Reader(Protocol):
    """Answers what Python code asks of bindings."""

    def read(self, binding: Any) -> ModelRows[Any]:
        """Return the rows as they are now."""

    async def aread(self, binding: Any) -> ModelRows[Any]:
        """Return the rows as they are now, without holding the event loop."""

    def refresh(self, binding: Any) -> None:
        """Have the binding's views read anew."""

    def clear(self, binding: Any) -> None:
        """Have the binding's views forgotten."""


class LiveRows(Generic[M]):
    """A binding's rows in Python: a live cache, which reads only what changed since."""

    _wired: ClassVar[Reader | None] = None

    def all(self) -> ModelRows[M]:
        """Return the rows, in order, as they are in the database now.

        They come from memory, brought up to date by what changed since. Inside a transaction that
        has written, in a `TestCase`, and with a database in memory they are queried on the
        caller's own connection. The instances are the caller's: changing one changes no other's.

        Raises:
            TooManyRows: there are more than `max_rows`.
            Exception: whatever the query raises.
        """
        return self._reader().read(self)

    async def aall(self) -> ModelRows[M]:
        """Return what `all` does, without holding the event loop."""
        return await self._reader().aread(self)

    def get(self, pk: Any) -> M:
        """Return the row with a primary key.

        Raises:
            DoesNotExist: the model's own; the binding has no such row.
        """
        return self.all().get(pk)

    async def aget(self, pk: Any) -> M:
        """Return what `get` does, without holding the event loop."""
        return (await self.aall()).get(pk)

    def keys(self) -> list[Any]:
        """Return the primary keys of the rows, in order."""
        return self.all().keys()

    async def akeys(self) -> list[Any]:
        """Return what `keys` does, without holding the event loop."""
        return (await self.aall()).keys()

    def __iter__(self) -> Iterator[M]:
        return iter(self.all())

    async def __aiter__(self) -> AsyncIterator[M]:
        for row in await self.aall():
            yield row

    def __len__(self) -> int:
        return len(self.all())

    def __bool__(self) -> bool:
        return True  # it is a declaration: asking whether there is one must not read its rows

    def __contains__(self, item: object) -> bool:
        return item in self.all()

    @property
    def version(self) -> str:
        """A text that is equal for equal rows, in every process and after every restart."""
        return self.all().version

    @property
    def last_modified(self) -> datetime.datetime:
        """When this process last saw the rows change."""
        return self.all().last_modified

    def refresh(self) -> ModelRows[M]:
        """Read all rows of all this binding's views anew, and send subscribers what differed."""
        self._reader().refresh(self)
        return self.all()

    async def arefresh(self) -> ModelRows[M]:
        """Do what `refresh` does, without holding the event loop."""
        self._reader().refresh(self)
        return await self.aall()

    def clear(self) -> None:
        """Forget the rows of all this binding's views in this process. They are read again when
        they are next wanted; subscribers are sent all anew."""
        self._reader().clear(self)

    async def aclear(self) -> None:
        """Do what `clear` does."""
        self._reader().clear(self)

    def _reader(self) -> Reader:
        if LiveRows._wired is None:
            raise BindingError('Add "bindserver" to INSTALLED_APPS.')
        return LiveRows._wired
