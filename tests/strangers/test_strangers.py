"""The strangers' comparison itself: red where a fault is planted. `make strangers` runs it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.server import ROOT

pytestmark = pytest.mark.skipif(
    "STRANGERS" not in os.environ, reason="it installs apps from PyPI: make strangers"
)


@pytest.mark.parametrize("app", ["oscar", "wagtail", "helpdesk"])
def test_a_planted_fault_is_found(app: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.strangers", app, "--fault", "third_change_dropped"],
        cwd=ROOT,
        env={**os.environ, "STRANGERS_PATIENCE": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "over WebSocket: " in done.stdout, done.stdout + done.stderr
