"""The oracle as an app: its bindings, and windows that hold few rows more than they show."""

from __future__ import annotations

from django.apps import AppConfig

from bindserver.queries import windows

AHEAD = 2
"""There are too few rows for the usual look-ahead: it would hold them all."""


class Drawn(AppConfig):
    """Declares the bindings of the oracle's own."""

    name = "tests.oracle"
    label = "oracle"

    def ready(self) -> None:
        windows.AHEAD = windows.BEHIND = AHEAD
