"""The oracle as an app: its bindings, and windows that hold few rows more than they show,
and sockets that hold little."""

from __future__ import annotations

from django.apps import AppConfig

from bindserver.queries import windows
from bindserver.server import transports

AHEAD = 2
"""There are too few rows for the usual look-ahead: it would hold them all."""

UNSENT_BYTES = 4096
"""Who stops reading is felt after a few changes, and not after hundreds."""


class Drawn(AppConfig):
    """Declares the bindings of the oracle's own."""

    name = "tests.oracle"
    label = "oracle"

    def ready(self) -> None:
        windows.AHEAD = windows.BEHIND = AHEAD
        transports.UNSENT_BYTES = UNSENT_BYTES
