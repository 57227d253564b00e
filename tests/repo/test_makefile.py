"""The Makefile: what somebody gives it arrives as it was given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.server import ROOT

URL = "postgresql://me:it's$HOME;x@db/shop?sslmode=require&application_name=a b"
TELL = f"""#!{sys.executable}
import json, os, sys
print(json.dumps([os.environ["DATABASE_URL"], *sys.argv[1:]]))
"""


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A virtual environment in which all is installed, and whose Python tells what it is given."""
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.write_text(TELL)
    python.chmod(0o755)
    for name in (".run", ".run-postgresql"):
        (tmp_path / name).touch()
    return tmp_path


def make(*arguments: str, **variables: str) -> list[str]:
    """Run make; return the address of the database that Python was given, and its arguments."""
    env = {"PATH": os.environ["PATH"], **variables}
    done = subprocess.run(
        ["make", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    told: list[str] = json.loads(done.stdout)
    return told


def test_an_address_keeps_what_the_shell_and_make_read_otherwise(venv: Path) -> None:
    assert make("run", f"VENV={venv}", f"DATABASE_URL={URL}")[0] == URL
    assert make("run", f"VENV={venv}", DATABASE_URL=URL)[0] == URL


def test_host_and_port_are_one_word_each(venv: Path) -> None:
    told = make("run", f"VENV={venv}", "HOST=a b", "PORT=1;2")
    assert told == ["sqlite:///bindserver.sqlite3", "manage.py", "serve_demo",
                    "--host", "a b", "--port", "1;2"]  # fmt: skip


@pytest.mark.parametrize("target", ["fast", "format", "unit-tests"])
def test_what_needs_python_alone_asks_for_nothing_else(target: str, tmp_path: Path) -> None:
    venv = f"VENV={tmp_path / 'venv'}"
    told = subprocess.run(
        ["make", "--dry-run", "--always-make", venv, target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "-m pip install" in told
    assert "mysql" not in told
    assert "need.sh" not in told


def test_hooks_before_a_commit_run_what_make_runs() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    entries = [hook["entry"] for repo in config["repos"] for hook in repo["hooks"]]
    told = (ROOT / "Makefile").read_text()
    for entry in entries:
        command = entry.partition(" --")[0].replace(".venv/bin/", "$(BIN)/")
        assert command in told
