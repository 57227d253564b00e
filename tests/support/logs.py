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
        if record.name == "bindserver" and record.levelno >= level
    ]
