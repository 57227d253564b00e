"""Feeds: what subscribers follow as they follow bindings, and what no queryset gives."""

from __future__ import annotations

from typing import Protocol

from bindserver.cycle.inbox import SessionRequest


class Feed(Protocol):
    """Rows of one event that are in no database, such as what this process knows of itself."""

    def take(self, request: SessionRequest) -> None:
        """Do what a session wants, soon; its listener hears what comes of it.

        Called from event loops, so it must not block. Releases are of any subscription: those of
        others are to be passed over.
        """
