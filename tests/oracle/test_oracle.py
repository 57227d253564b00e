"""The oracle, for a minute against the honest server, and against each planted fault."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.oracle.faults import FAULTS
from tests.oracle.relay_faults import RELAY_FAULTS
from tests.oracle.several import PROFILES
from tests.support.server import ROOT

HONEST_SECONDS = float(os.environ.get("ORACLE_SECONDS", "60"))
FAULT_SECONDS = 60
"""A fault must be found within this time; most are in two seconds."""
FEWEST_PER_SECOND = 50
SIGNALS_SECONDS = float(os.environ.get("ORACLE_SIGNALS_SECONDS", "6"))
FEWEST_RESTS = 2
PATHS = {"loader_position_late": "loader", "slow_reader_skipped": "narrow"}
"""The settings under which a fault's path is taken most."""

pytestmark = pytest.mark.oracle


def run(seconds: float, *more: str) -> tuple[int, str]:
    """Run the oracle as its command does; return its exit code and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.oracle", "--seconds", str(seconds), *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds + 120,
    )
    print(done.stdout)
    return done.returncode, done.stdout + done.stderr


HOW = {"gaps_not_noticed": "lossy", "beats_not_sent": "lossy"}
"""The profile under which a fault of the relay shows; others show where nothing else goes wrong."""


def figure(name: str, output: str) -> int:
    """Return a figure of the report."""
    found = re.search(rf"^{name}: (\d+)", output, re.MULTILINE)
    assert found, output
    return int(found[1])


def test_every_replica_is_the_select_of_a_committed_state() -> None:
    code, output = run(HONEST_SECONDS)
    assert code == 0, output
    assert figure("differences", output) == 0
    assert figure("comparisons", output) > FEWEST_PER_SECOND * HONEST_SECONDS


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_planted_fault_is_found(fault: str) -> None:
    profile = ["--profile", PATHS[fault]] if fault in PATHS else []
    code, output = run(FAULT_SECONDS, "--seed", "1", "--fault", fault, *profile)
    assert code == 1, output
    assert figure("differences", output) > 0


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_several_processes_under_signals_come_to_the_table_s_rows(profile: str) -> None:
    code, output = run(SIGNALS_SECONDS, "--signals", "--profile", profile)
    assert code == 0, output
    assert figure("differences", output) == 0
    assert figure("rests", output) >= FEWEST_RESTS


@pytest.mark.parametrize("fault", sorted(RELAY_FAULTS))
def test_a_planted_fault_of_the_relay_is_found(fault: str) -> None:
    how = ["--profile", HOW.get(fault, "calm"), "--patience", "6"]
    code, output = run(FAULT_SECONDS, "--signals", "--seed", "1", "--fault", fault, *how)
    assert code == 1, output
    assert figure("differences", output) > 0
