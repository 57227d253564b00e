"""Queries are compiled by one thread at a time.

Django's compiler puts into a query the joins that it needs itself, and takes them out when it is
done. That of a subquery is in all querysets that were made from one, and those of a shape are read
by the cycle's thread and by the loader's: each would take away the other's joins.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

compiling = threading.RLock()
"""Held while a query is compiled; a query is in another one, perhaps."""


def compile_alone(connection: BaseDatabaseWrapper) -> None:
    """Have a connection, which is a thread's own, compile while no other such connection does."""
    usual: Any = connection.ops.compiler
    vars(connection.ops)["compiler"] = lambda name: alone(usual(name))


@cache
def alone(kind: Any) -> Any:
    """Return a compiler class that waits for others."""

    def as_sql(self: Any, *args: Any, **kwargs: Any) -> Any:
        with compiling:
            return kind.as_sql(self, *args, **kwargs)

    return type(kind.__name__, (kind,), {"as_sql": as_sql})
