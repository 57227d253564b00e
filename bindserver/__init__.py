"""Live querysets for Django: every subscriber holds an always-correct copy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bindserver import asgi as asgi
    from bindserver.authentication import Proof
    from bindserver.bindings.binding import Binding
    from bindserver.capture.querysets import LiveManager, LiveQuerySet, LiveQuerySetMixin
    from bindserver.capture.signals import written
    from bindserver.cycle.commit_tokens import commit_token
    from bindserver.http.given_streams import aevent_stream, event_stream
    from bindserver.http.viewsets import BoundModelViewSet
    from bindserver.websocket.views import BoundWebsocketView, WebsocketBinding

__all__ = [
    "Binding",
    "BoundModelViewSet",
    "BoundWebsocketView",
    "LiveManager",
    "LiveQuerySet",
    "LiveQuerySetMixin",
    "Proof",
    "WebsocketBinding",
    "__version__",
    "aevent_stream",
    "commit_token",
    "event_stream",
    "written",
]
__version__ = "0.1.0"

HOMES = {
    "Binding": "bindserver.bindings.binding",
    "LiveManager": "bindserver.capture.querysets",
    "LiveQuerySet": "bindserver.capture.querysets",
    "LiveQuerySetMixin": "bindserver.capture.querysets",
    "Proof": "bindserver.authentication",
    "written": "bindserver.capture.signals",
    "commit_token": "bindserver.cycle.commit_tokens",
    "aevent_stream": "bindserver.http.given_streams",
    "event_stream": "bindserver.http.given_streams",
    "BoundModelViewSet": "bindserver.http.viewsets",
    "BoundWebsocketView": "bindserver.websocket.views",
    "WebsocketBinding": "bindserver.websocket.views",
}
"""Where each public name lives."""


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that the engine needs no Django."""
    if name == "asgi":  # so that `import bindserver` is enough for bindserver.asgi.wrap
        return import_module("bindserver.asgi")
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
