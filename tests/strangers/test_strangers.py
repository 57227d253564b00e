"""The strangers' comparison itself: red where a fault is planted. `make strangers` runs it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.strangers import audience
from tests.strangers.__main__ import main
from tests.strangers.environments import PINS, prepare
from tests.support.server import ROOT

pytestmark = pytest.mark.skipif(
    "STRANGERS" not in os.environ, reason="it installs apps from PyPI: make strangers"
)


@pytest.mark.parametrize("app", sorted(PINS))
def test_a_planted_fault_is_found(
    app: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audience, "PATIENCE_SECONDS", 3)
    fault = ["--fault", "third_change_dropped"]
    status = main([app, "--database", os.environ.get("STRANGERS_DATABASE", "sqlite"), *fault])
    said = capsys.readouterr().out
    assert status == 1, said
    assert "over WebSocket: " in said


def manage(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Wagtail's project, with a binding that asks too early, on no tables."""
    env = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "tests.strangers.wagtail.settings",
        "PYTHONPATH": str(ROOT),
        "STRANGERS_EAGER": "1",
    }
    python = str(prepare("wagtail"))
    return subprocess.run(
        [python, "manage.py", *arguments], cwd=ROOT, env=env, capture_output=True, text=True
    )


def test_pages_that_are_asked_for_too_early_lock_nobody_out_and_are_named(tmp_path: Path) -> None:
    """Wagtail's `public()` reads what is private while the binding's class is being made."""
    made = manage(tmp_path, "migrate", "--verbosity", "0")
    assert made.returncode == 0, made.stderr
    checked = manage(tmp_path, "check")
    assert checked.returncode == 1
    assert "FrozenBinding" in checked.stderr
    assert "get_queryset" in checked.stderr
