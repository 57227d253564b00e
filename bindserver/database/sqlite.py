"""SQLite: one file, whose readers see a snapshot as soon as they have read anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from weakref import WeakKeyDictionary

from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.database.base import Usual
from bindserver.database.pacing import Pacer

PROGRESS_STEPS = 10_000


class SQLite(Usual):
    """An SQLite database. Reads begin DEFERRED, or each would lock writers out."""

    def __init__(self) -> None:
        super().__init__()
        self._files: WeakKeyDictionary[BaseDatabaseWrapper, _File] = WeakKeyDictionary()

    def adapt(self, settings: dict[str, Any]) -> None:
        settings.setdefault("OPTIONS", {})["transaction_mode"] = "DEFERRED"
        name = str(settings["NAME"])
        if name != ":memory:" and not name.startswith("file:"):
            # A file that has been moved away is missed, not made anew.
            settings["NAME"] = f"{Path(name).absolute().as_uri()}?mode=rw"

    def connect(self, connection: BaseDatabaseWrapper) -> None:
        file = self._file_of(connection)
        if connection.connection is None and file is not None:
            file.identity = file.look()
        connection.ensure_connection()
        if file is not None and file.look() != file.identity:
            raise OperationalError("the database's file has been moved or replaced")

    def ask(self, connection: BaseDatabaseWrapper) -> None:
        # A plain SELECT 1 is answered without a look at the file.
        self._ask(connection, "SELECT 1 FROM sqlite_master")

    @contextmanager
    def reading(self, connection: BaseDatabaseWrapper, pacer: Pacer) -> Iterator[None]:
        raw: Any = connection.connection
        with connection.wrap_database_errors:
            raw.execute("PRAGMA query_only = ON")
        raw.set_progress_handler(pacer.expired, PROGRESS_STEPS)
        try:
            with transaction.atomic(using=connection.alias):
                yield
        finally:
            raw.set_progress_handler(None, 0)
            raw.execute("PRAGMA query_only = OFF")

    def _file_of(self, connection: BaseDatabaseWrapper) -> _File | None:
        name = str(connection.settings_dict["NAME"])
        if not (name.startswith("file:") and name.endswith("?mode=rw")):
            return None  # not a connection of ours, or a database in memory
        if connection not in self._files:
            self._files[connection] = _File(Path(unquote(urlsplit(name).path)))
        return self._files[connection]


class _File:
    """A database's file: on Unix a connection goes on with a file that is no longer there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.identity: tuple[int, int] | None = None

    def look(self) -> tuple[int, int] | None:
        """Return what tells this file from any other, None when there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino
