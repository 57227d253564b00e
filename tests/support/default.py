"""Another database as this process's "default", whatever its kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dj_database_url
from asgiref.sync import SyncToAsync
from django.db import connections
from django.db.utils import load_backend
from pytest_django import DjangoDbBlocker

from bindserver.hub.hub import hub


@contextmanager
def as_default(url: str, blocker: DjangoDbBlocker) -> Iterator[str]:
    """Have "default" be another database for a while, in every thread."""
    usual = connections["default"]
    shared = connections.settings["default"]  # what threads make connections of their own from
    before, parsed = dict(shared), dj_database_url.parse(url)
    options = shared["OPTIONS"] if parsed["ENGINE"] == shared["ENGINE"] else {}
    with blocker.unblock():
        shared.update(parsed, OPTIONS=options)
        own = load_backend(shared["ENGINE"]).DatabaseWrapper(dict(shared), "default")
        connections["default"] = own
        _forget_elsewhere()
        try:
            yield url
        finally:
            hub.stop()  # it would go on with a database that is not this process's any more
            _forget_elsewhere()
            own.close()
            connections["default"] = usual
            shared.clear()
            shared.update(before)


def _forget_elsewhere() -> None:
    """Let the thread that async code calls Django on connect anew: it keeps its connections."""

    def forget() -> None:
        kept: Any = connections
        if connections.settings and hasattr(kept._connections, "default"):
            connections["default"].close()
            del connections["default"]

    SyncToAsync.single_thread_executor.submit(forget).result()
