"""The oracle with a log, on each database: against honest servers, and each planted fault."""

from __future__ import annotations

import os

import pytest

from tests.faults.oracle import FAULTS
from tests.faults.oracle_databases import DATABASE_FAULTS
from tests.faults.oracle_shapes import SHAPE_FAULTS
from tests.oracle.running import FAULT_SECONDS, SEVERAL, figure, run

HONEST_SECONDS = float(os.environ.get("ORACLE_SECONDS", "25"))
FEWEST = int(20 * HONEST_SECONDS)
"""So many comparisons an honest run makes, on the busiest machine too."""
FEWEST_BEFORE_A_FAULT = 6000
"""A fault may be found after so many; a busy machine takes longer for them."""
SETUPS = {
    "sqlite": ("--servers", "1"),
    "postgresql": ("--servers", "2", "--redis"),
    "mysql": ("--servers", "2"),
}
"""The databases, with the processes and what carries hints among them."""
NOT_ON_SQLITE = {"id_over_last", "holes_not_inherited", "overtaking_not_noticed"}
"""Transactions that commit in another order than they write, and tables that are no part of a
snapshot, are to be had elsewhere only."""
ON_SQLITE = sorted({*FAULTS, *SHAPE_FAULTS, *DATABASE_FAULTS} - NOT_ON_SQLITE)
ELSEWHERE = [
    *((d, f) for d in SEVERAL for f in ("id_over_last", "rows_outside_snapshot")),
    *((d, "deletes_forgotten_on_resume") for d in SEVERAL),
    *((d, f) for d in SEVERAL for f in ("tick_lost", "window_s_edge_missed", "moved_row_kept")),
    ("mysql", "holes_not_inherited"),
    ("postgresql", "install_not_told"),
]
WINDOWS = "window,window beside a slot"
PATHS = {
    "loader_position_late": ("--profile", "loader"),
    "old_load_answers": ("--profile", "loader"),
    "dear_views_forgotten": ("--profile", "lanes"),
    "mark_let_through_early": ("--profile", "lanes"),
    "dear_views_answered_early": ("--profile", "lanes", "--often", "reconnect,subscribe"),
    "arguments_left_out": ("--often", "subscribe"),
    "owners_forgotten": ("--kinds", "read when asked,slot on a joined table"),
    "slow_reader_skipped": ("--profile", "narrow"),
    "frame_past_outbox": ("--often", "slow_reader", "--kinds", "plain"),
    "window_s_edge_missed": ("--kinds", WINDOWS, "--often", "write"),
    "window_not_filled_up": ("--kinds", WINDOWS, "--often", "write"),
    "first_values_asked_again": ("--kinds", "plain,slot", "--often", "write"),
    **dict.fromkeys(
        ("tick_lost", "nearer_moment_missed", "second_column_forgotten"),
        ("--kinds", "moved by the time"),
    ),
    "epoch_not_checked": ("--often", "rebuild,purge"),
    "triggers_not_watched": ("--often", "rebuild"),
    "install_not_told": ("--often", "rebuild"),
    "deletes_forgotten_on_resume": ("--often", "reconnect"),
    "holes_not_inherited": ("--often", "kill_meanwhile"),
}
"""The settings, steps and views by which a fault's path is taken most."""

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("database", sorted(SETUPS))
def test_every_replica_is_the_select_of_a_committed_state(database: str) -> None:
    how = ("--database", database, "--comparisons", str(FEWEST))
    code, output = run(HONEST_SECONDS, *how, *SETUPS[database])
    assert code == 0, output
    assert figure("differences", output) == 0
    assert figure("comparisons", output) >= FEWEST


@pytest.mark.parametrize(
    ("database", "fault"), [*(("sqlite", fault) for fault in ON_SQLITE), *ELSEWHERE]
)
def test_a_planted_fault_is_found(database: str, fault: str) -> None:
    how = ["--database", database, "--seed", "1", *PATHS.get(fault, ())]
    how += ["--comparisons", str(FEWEST_BEFORE_A_FAULT)]
    code, output = run(FAULT_SECONDS, *how, "--fault", fault)
    assert code == 1, output
    assert figure("differences", output) > 0
