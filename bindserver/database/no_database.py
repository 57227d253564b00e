"""No database for a while: code that asks one is told so, and nobody connects."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

from bindserver.exceptions import BindserverError


class AsksDatabase(BindserverError):
    """Code asks a database where it must not."""


def _refuse(*_: Any, **__: Any) -> Any:
    raise AsksDatabase("a database was asked")


@contextmanager
def unasked() -> Iterator[None]:
    """Have whatever this thread asks of any database raise `AsksDatabase`."""
    usual = {alias: connections[alias] for alias in connections}
    try:
        for alias, known in usual.items():
            wrapper: Any = type(known)(copy.copy(known.settings_dict), alias)
            wrapper.connect = wrapper.cursor = wrapper.chunked_cursor = _refuse
            connections[alias] = wrapper
        yield
    finally:
        for alias, known in usual.items():
            connections[alias] = known
