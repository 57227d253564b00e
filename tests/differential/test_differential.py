"""A part of the comparison with DRF, on each database; and each planted fault, which it finds."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.faults.differential import FAULTS
from tests.oracle.running import figure
from tests.support.server import ROOT

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "160"))
FAULT_EXAMPLES = 600
"""A fault must be found among so many; most are among the first hundred."""
PATIENCE_SECONDS = 1800
"""Ends what hangs, on the busiest machine."""

pytestmark = pytest.mark.oracle


def run(*given: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.differential", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("database", ["sqlite", "postgresql", "mysql"])
def test_subscribers_hold_what_drf_answers(database: str) -> None:
    code, output = run("--database", database, "--examples", str(EXAMPLES))
    assert code == 0, output
    assert figure("differences", output) == 0
    assert figure("comparisons", output) > 5 * EXAMPLES
    assert figure("without an answer of DRF's", output) < EXAMPLES / 10


def test_each_planted_fault_is_found() -> None:
    code, output = run("--faults", "all", "--examples", str(FAULT_EXAMPLES), "--seed", "1")
    assert code == 0, output
    assert output.count(": found after") == len(FAULTS)
