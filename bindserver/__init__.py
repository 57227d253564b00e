"""Live querysets for Django: every subscriber holds an always-correct copy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bindserver import asgi as asgi
    from bindserver.binding import Binding
    from bindserver.capture.signals import written
    from bindserver.querysets import LiveManager, LiveQuerySet, LiveQuerySetMixin
    from bindserver.views import BoundWebsocketView, WebsocketBinding
    from bindserver.viewsets import BoundModelViewSet

__all__ = [
    "Binding",
    "BoundModelViewSet",
    "BoundWebsocketView",
    "LiveManager",
    "LiveQuerySet",
    "LiveQuerySetMixin",
    "WebsocketBinding",
    "__version__",
    "written",
]
__version__ = "0.1.0"

HOMES = {
    "Binding": "bindserver.binding",
    "LiveManager": "bindserver.querysets",
    "LiveQuerySet": "bindserver.querysets",
    "LiveQuerySetMixin": "bindserver.querysets",
    "written": "bindserver.capture.signals",
    "BoundModelViewSet": "bindserver.viewsets",
    "BoundWebsocketView": "bindserver.views",
    "WebsocketBinding": "bindserver.views",
}
"""Where each public name lives."""


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that the engine needs no Django."""
    if name == "asgi":  # so that `import bindserver` is enough for bindserver.asgi.wrap
        return import_module("bindserver.asgi")
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
