"""What the cycle asks about changes. The modules can stand for one another."""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.hint_source import HintSource
from bindserver.capture.log import has_log, log_of
from bindserver.capture.log_source import LogSource
from bindserver.capture.source import Source
from bindserver.conf import conf
from bindserver.exceptions import CaptureError

__all__ = ["HintSource", "LogSource", "Source", "source_of"]


def source_of(connection: BaseDatabaseWrapper) -> Source:
    """Return the source for a database, as CAPTURE says: "auto" takes the log where there is one.

    Raises:
        CaptureError: the log is asked for and not installed.
    """
    wanted = conf.CAPTURE
    if wanted == "signals":
        return HintSource(connection)
    if has_log(connection):
        return LogSource(connection, log_of(connection))
    if wanted == "log":
        raise CaptureError(
            f"BINDSERVER['CAPTURE'] is 'log', but database {connection.alias!r} has no change log. "
            "Run `manage.py bindings capture install`."
        )
    return HintSource(connection, awaits_log=True)
