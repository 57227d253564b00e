"""Tests of one's own bindings: subscribers without a server, on the test's own connection.

The names are imported when they are first used: pytest loads our plugin, and so this package,
before Django has its settings.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bindserver.testing.cases import LiveTestCase, LiveTestMixin
    from bindserver.testing.live import Live
    from bindserver.testing.server import LiveServer, serving
    from bindserver.testing.subscriber import Refused, Subscriber

__all__ = [
    "Live",
    "LiveServer",
    "LiveTestCase",
    "LiveTestMixin",
    "Refused",
    "Subscriber",
    "serving",
]

_PLACES = {
    "Live": "live",
    "LiveServer": "server",
    "LiveTestCase": "cases",
    "LiveTestMixin": "cases",
    "Refused": "subscriber",
    "Subscriber": "subscriber",
    "serving": "server",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
