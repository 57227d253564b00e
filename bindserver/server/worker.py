"""What one server process loads. Nothing here needs Django before the project's own module does:
worker processes begin with an empty interpreter."""

from __future__ import annotations

import contextlib
import gc
import sys
from dataclasses import dataclass
from typing import Any

from uvicorn.importer import import_from_string

SWITCH_SECONDS = 0.001
"""How long a computing thread may keep the interpreter from the event loop."""

OPEN_FILES = 65_536
"""So many files a process may have open, where the system lets it: each connection is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Loads the application, and sets the interpreter up for serving it.

    Attributes:
        path: where the application is, as in "shop.asgi:application".
        metrics: the folder by which several processes share their metrics, if they do.
    """

    path: str
    metrics: str | None = None

    def __call__(self) -> Any:
        """Return the ASGI application; called once in each process."""
        sys.setswitchinterval(SWITCH_SECONDS)
        _allow_open_files()
        application = import_from_string(self.path)
        if self.metrics is not None:
            from bindserver.metrics.sharing import sharing

            sharing.use(self.metrics)
        # What is loaded now stays: the collector need not walk through it again and again.
        gc.collect()
        gc.freeze()
        return application


def _allow_open_files() -> None:
    """Use what the system lets this process have: shells and services begin with 1,024."""
    if sys.platform == "win32":
        return  # there is no such limit, nor this module
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # macOS says that there is no limit, and refuses what is past its own.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
