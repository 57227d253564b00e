"""What bindserver itself has logged."""

from __future__ import annotations

import logging

import pytest


def logged(caplog: pytest.LogCaptureFixture, level: int = logging.NOTSET) -> list[str]:
    """Return our own messages, each with its traceback, from a level on.

    Others log as well, at any time: asyncio what a collected task of an earlier test has left.
    """
    formatter = logging.Formatter()
    return [
        formatter.format(record)
        for record in caplog.records
        if is_ours(record) and record.levelno >= level
    ]


def is_ours(record: logging.LogRecord) -> bool:
    """Return whether one of our loggers has logged it: each room has its own."""
    return record.name.partition(".")[0] == "bindserver"
