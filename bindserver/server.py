"""The runner: uvicorn, as a binding server wants it."""

from __future__ import annotations

import gc
import os
import sys

import uvicorn
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from bindserver.conf import conf
from bindserver.exceptions import BindserverError
from bindserver.hub import hub
from bindserver.registry import registry
from bindserver.sources import source_of

SWITCH_SECONDS = 0.001
"""How long a computing thread may keep the interpreter from the event loop."""


def application_path() -> str:
    """Return where the project's ASGI application is, in uvicorn's words.

    Raises:
        ImproperlyConfigured: the project names none.
    """
    path = getattr(settings, "ASGI_APPLICATION", None)
    if not path:
        raise ImproperlyConfigured("Set ASGI_APPLICATION = 'yourproject.asgi.application'.")
    module, _, name = path.rpartition(".")
    return f"{module}:{name}"


def describe_captures() -> list[str]:
    """Return a line for each database that bindings read: which capture is on, and what would
    better it."""
    lines = []
    for alias in sorted({binding.using or "default" for binding in registry.all()}):
        try:
            name = source_of(connections[alias]).name
        except BindserverError as problem:
            lines.append(f"{alias}: {problem}")
            continue
        finally:
            connections[alias].close()
        if name == "log":
            lines.append(f"{alias}: change log, every committed write is seen")
        else:
            lines.append(
                f"{alias}: signals, ORM writes of this process at once and all others within "
                f"{conf.COMPARE_SECONDS:g} s; `manage.py bindings capture install` sees every write"
            )
    return lines


def serve(host: str, port: int) -> None:
    """Serve the project's ASGI application until interrupted.

    Args:
        host: the address to listen on.
        port: the port, 0 for a free one.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    config = uvicorn.Config(
        application_path(),
        host=host,
        port=port,
        ws="websockets-sansio",
        ws_max_size=int(conf.MAX_MESSAGE_BYTES),
        ws_per_message_deflate=False,
        lifespan="off",
        log_level=os.environ.get("LOG_LEVEL", "info").lower(),
        timeout_graceful_shutdown=5,
    )
    config.load()
    # What is loaded now stays: the collector need not walk through it again and again.
    gc.collect()
    gc.freeze()
    try:
        uvicorn.Server(config).run()
    finally:
        hub.stop()
