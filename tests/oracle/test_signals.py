"""The oracle without a log: against honest servers on one Redis, and each planted fault."""

from __future__ import annotations

import os

import pytest

from tests.faults.oracle_relay import RELAY_FAULTS
from tests.oracle.running import FAULT_SECONDS, SEVERAL, figure, run
from tests.oracle.several import PROFILES

SIGNALS_SECONDS = float(os.environ.get("ORACLE_SIGNALS_SECONDS", "6"))
FEWEST_RESTS = 2
HOW = {"gaps_not_noticed": "lossy", "beats_not_sent": "lossy"}
"""The profile under which a fault of the relay shows; others show where nothing else goes wrong."""

pytestmark = pytest.mark.oracle


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
