"""The oracle on each database: against honest servers, and against each planted fault."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.oracle.database_faults import DATABASE_FAULTS
from tests.oracle.faults import FAULTS
from tests.oracle.relay_faults import RELAY_FAULTS
from tests.oracle.several import PROFILES
from tests.support.server import ROOT

HONEST_SECONDS = float(os.environ.get("ORACLE_SECONDS", "25"))
FAULT_SECONDS = 60
"""A fault must be found within this time; most are in two seconds."""
FEWEST_PER_SECOND = 20
SIGNALS_SECONDS = float(os.environ.get("ORACLE_SIGNALS_SECONDS", "6"))
FEWEST_RESTS = 2
SETUPS = {
    "sqlite": ("--servers", "1"),
    "postgresql": ("--servers", "2", "--redis"),
    "mysql": ("--servers", "2"),
}
"""The databases, with the processes and what carries hints among them."""
SEVERAL = ("postgresql", "mysql")
NOT_ON_SQLITE = {"id_over_last", "holes_not_inherited", "overtaking_not_noticed"}
"""Transactions that commit in another order than they write, and tables that are no part of a
snapshot, are to be had elsewhere only."""
ON_SQLITE = sorted({*FAULTS, *DATABASE_FAULTS} - NOT_ON_SQLITE)
ELSEWHERE = [
    *((d, f) for d in SEVERAL for f in ("id_over_last", "rows_outside_snapshot")),
    *((d, "deletes_forgotten_on_resume") for d in SEVERAL),
    ("mysql", "holes_not_inherited"),
]
PATHS = {
    "loader_position_late": ("--profile", "loader"),
    "old_load_answers": ("--profile", "loader"),
    "slow_reader_skipped": ("--profile", "narrow"),
    "epoch_not_checked": ("--often", "rebuild,purge"),
    "triggers_not_watched": ("--often", "rebuild"),
    "deletes_forgotten_on_resume": ("--often", "reconnect"),
    "holes_not_inherited": ("--often", "kill_meanwhile"),
}
"""The settings and steps under which a fault's path is taken most."""

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


@pytest.mark.parametrize("database", sorted(SETUPS))
def test_every_replica_is_the_select_of_a_committed_state(database: str) -> None:
    code, output = run(HONEST_SECONDS, "--database", database, *SETUPS[database])
    assert code == 0, output
    assert figure("differences", output) == 0
    assert figure("comparisons", output) > FEWEST_PER_SECOND * HONEST_SECONDS


@pytest.mark.parametrize(
    ("database", "fault"), [*(("sqlite", fault) for fault in ON_SQLITE), *ELSEWHERE]
)
def test_a_planted_fault_is_found(database: str, fault: str) -> None:
    how = ["--database", database, "--seed", "1", *PATHS.get(fault, ())]
    code, output = run(FAULT_SECONDS, *how, "--fault", fault)
    assert code == 1, output
    assert figure("differences", output) > 0


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_several_processes_under_signals_come_to_the_table_s_rows(profile: str) -> None:
    rests = ("--rests", str(FEWEST_RESTS))
    code, output = run(SIGNALS_SECONDS, "--signals", "--profile", profile, *rests)
    assert code == 0, output
    assert figure("differences", output) == 0
    assert figure("rests", output) >= FEWEST_RESTS


@pytest.mark.parametrize(
    ("database", "fault"),
    [
        *(("sqlite", fault) for fault in sorted(RELAY_FAULTS)),
        *((database, "gaps_not_noticed") for database in SEVERAL),
    ],
)
def test_a_planted_fault_of_the_relay_is_found(database: str, fault: str) -> None:
    how = ["--profile", HOW.get(fault, "calm"), "--patience", "6", "--database", database]
    code, output = run(FAULT_SECONDS, "--signals", "--seed", "1", "--fault", fault, *how)
    assert code == 1, output
    assert figure("differences", output) > 0
