"""Several processes behind one address: each writes its numbers to a folder, and reads the others'.

A scrape reaches one of them, and is to tell of all. Nothing waits for another process: what is read
is what it wrote last, a few seconds ago at most.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bindserver.conf import conf
from bindserver.forks import on_fork
from bindserver.logs import Repeats
from bindserver.metrics.access import is_wanted

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_repeats = Repeats(logging.getLogger("bindserver.metrics"))

WRITE_SECONDS = 2.0
"""How often a process writes its numbers."""

GONE_SECONDS = 30.0
"""A process that has not written for so long is over, and counts no more."""


class Sharing:
    """What this process writes and reads."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self.forget()

    def forget(self) -> None:
        """Begin without a thread, as a process must after a fork."""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def use(self, folder: str | None) -> None:
        """Take a folder where no setting names one.

        Args:
            folder: it is there, and empty or other processes' of this server.
        """
        self._folder = None if folder is None else Path(folder)

    @property
    def folder(self) -> Path | None:
        """Where the numbers are shared; None where they are not."""
        return self._folder if conf.METRICS_FOLDER is None else Path(conf.METRICS_FOLDER)

    def begin(self) -> None:
        """Write from now on, if metrics are wanted and shared."""
        if self._thread is not None or self.folder is None or not is_wanted():
            return
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="bindserver-metrics-writer", daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        """Write no more, and take away what was written."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            thread.join()

    def others(self) -> Iterator[Metric]:
        """Yield the metrics of the other processes, as each has written them last."""
        from prometheus_client.parser import text_string_to_metric_families

        if self.folder is None:
            return
        own, oldest = _file_in(self.folder), time.time() - GONE_SECONDS
        for path in sorted(self.folder.glob("*.prom")):
            text = _text_of(path, oldest) if path != own else ""
            yield from text_string_to_metric_families(text)

    def _run(self) -> None:
        folder, stop = self.folder, self._stop
        if folder is None:
            return
        own = _file_in(folder)
        while True:
            try:
                _write(own)
            except Exception as problem:  # the disk is full; serving goes on
                _repeats.note("metrics cannot be written for other workers", problem)
            if stop.wait(WRITE_SECONDS):
                own.unlink(missing_ok=True)
                return


def _file_in(folder: Path) -> Path:
    return folder / f"{os.getpid()}.prom"


def _write(path: Path) -> None:
    """Write this process's numbers; whoever reads finds the ones before or these."""
    from prometheus_client import CollectorRegistry, generate_latest

    from bindserver.metrics.collector import BindserverCollector

    registry = CollectorRegistry()
    registry.register(BindserverCollector())
    new = path.with_suffix(".new")
    new.write_bytes(generate_latest(registry))
    new.replace(path)


def _text_of(path: Path, oldest: float) -> str:
    """Return what a process has written since a time; nothing, if it is over."""
    try:
        return path.read_text() if path.stat().st_mtime >= oldest else ""
    except FileNotFoundError:
        return ""


sharing = Sharing()
"""This process's."""

on_fork(sharing.forget)
