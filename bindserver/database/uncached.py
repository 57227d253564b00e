"""Caches that other packages put between Django's ORM and the database, and how to read past them.

Such a cache answers with rows of another state than the snapshot's. Worse, what is read in a
snapshot that is older by then would be put into it, and the whole project would be told that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from typing import Any

from django.apps import apps
from django.db import connections


@contextmanager
def past_caches() -> Iterator[None]:
    """Have the database itself asked by this thread, whatever the ORM would be answered by."""
    with ExitStack() as stack:
        for package, past in PAST.items():
            if apps.is_installed(package):
                stack.enter_context(past())
        yield


@contextmanager
def _past_cachalot() -> Iterator[None]:
    local: Any = import_module("cachalot.api").LOCAL_STORAGE
    before = getattr(local, "cachalot_enabled", True)
    local.cachalot_enabled = False
    try:
        yield
    finally:
        local.cachalot_enabled = before


@contextmanager
def _past_cacheops() -> Iterator[None]:
    """Say that this thread is in transactions that have written: what these read is not cached."""
    states: Any = import_module("cacheops.transaction").transaction_states
    entered = [states[alias] for alias in connections]
    for state in entered:
        state.begin()
        state.mark_dirty()
    try:
        yield
    finally:
        for state in entered:
            state.rollback()


PAST: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "cachalot": _past_cachalot,
    "cacheops": _past_cacheops,
}
"""How a thread reads past the cache of each package that is known to have one."""
