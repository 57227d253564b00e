"""The oracle's command, as tests run it."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.support.server import ROOT

FAULT_SECONDS = 60
"""A fault must be found within this time; most are in two seconds."""
HANGING_SECONDS = 600
"""A run that has had so much more time than it was given does not end, however busy the machine
is."""
SEVERAL = ("postgresql", "mysql")
"""The databases that several programs write to at once."""


def run(seconds: float, *more: str) -> tuple[int, str]:
    """Run the oracle as its command does; return its exit code and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.oracle", "--seconds", str(seconds), *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds + HANGING_SECONDS,
    )
    print(done.stdout)
    return done.returncode, done.stdout + done.stderr


def figure(name: str, output: str) -> int:
    """Return a figure of the report."""
    found = re.search(rf"^{name}: (\d+)", output, re.MULTILINE)
    assert found, output
    return int(found[1])
