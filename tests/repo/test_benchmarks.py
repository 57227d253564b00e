"""Benchmarks run, and print what they promise; their figures are for people to read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.lines import LINES, Target
from benchmarks.many_views import PARTS
from tests.support.server import ROOT


def run(module: str, *arguments: str) -> str:
    """Run a benchmark, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_kind_of_binding_has_a_line_in_the_table_of_queries() -> None:
    printed = run("queries", "--rows", "60", "--views", "6", "--changes", "1")
    head, _, *rows = [line.strip("| ").split(" | ") for line in printed.splitlines()]
    names = [cells[0].partition(":")[0] for cells in rows]
    assert [name for name in names if not name.endswith(", one by one")] == [
        line.name for line in LINES
    ]
    assert {len(cells) for cells in rows} == {len(head)}
    assert rows[0][1:3] == ["0", "0"], "the row that marks a change is not counted"


def test_each_part_of_many_views_prints_what_it_measures() -> None:
    sizes = ("--ways", "--subscribers", "--returning", "--memory")
    few = [argument for size in sizes for argument in (size, "6")]
    printed = run("many_views", "--views", "3", "6", "--changes", "4", *few).splitlines()
    told = [line.partition(":")[0] for line in printed if not line.startswith(" ")]
    assert list(dict.fromkeys(told)) == list(PARTS)


def test_a_comparison_goes_on_without_peers_that_are_not_here(tmp_path: Path) -> None:
    plot = tmp_path / "bench.svg"
    printed = run("peers", "ws", "--clients", "5", "--seconds", "0.5", "--plot", str(plot))
    rows = [line.split(" | ")[0] for line in printed.splitlines() if line.startswith("| ")]
    assert rows[:4] == ["| server", "| ---", "| a loop of send in C", "| bindserver"]
    assert "ws on Node.js" in printed
    assert "bindserver</text>" in plot.read_text()


def test_a_target_is_reached_by_what_costs_no_more() -> None:
    target = Target(statements=5, milliseconds=10)
    assert str(target) == "5 statements, 10 ms"
    assert target.is_reached(5, 10)
    assert not target.is_reached(6, 1)
    assert not target.is_reached(1, 11)
    assert not Target(statements=0, words="no read").is_reached(1, 0)


def test_looking_again_has_a_cost_that_is_printed() -> None:
    printed = run("revalidation", "--connections", "3", "--every", "0.5", "--seconds", "1")
    assert printed.startswith("sqlite, 3 connections, each looked at every 0.5 s: ")
    assert printed.endswith(" ms a look\n")
