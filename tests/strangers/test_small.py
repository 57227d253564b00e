"""The strangers' runner, tried with Django's own apps, and with faults that it must find."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.faults.strangers import FAULTS
from tests.strangers import audience
from tests.strangers.project import Project
from tests.strangers.run import run
from tests.strangers.tally import DOORS


def small(folder: Path, fault: str | None = None) -> Project:
    url = f"sqlite:///{folder / 'db.sqlite3'}"
    return Project("small", Path(sys.executable), folder, url, fault)


async def test_every_state_equals_the_database(tmp_path: Path) -> None:
    tally = await run(small(tmp_path))
    assert tally.problems() == []
    assert tally.actions == 8
    assert tally.doors == dict.fromkeys(DOORS, 10 * 3 * 3)


@pytest.mark.parametrize("fault", sorted(FAULTS))
async def test_a_planted_fault_is_found(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audience, "PATIENCE_SECONDS", 3)
    tally = await run(small(tmp_path, fault))
    # What is lost first depends on how many changes a turn has seen at once.
    assert {"groups", "own groups"} & tally.differences.keys()
    assert any("over WebSocket" in w for words in tally.differences.values() for w in words)
    assert tally.problems()
