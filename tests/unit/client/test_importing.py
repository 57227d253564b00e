"""What the Python client needs, and what it says where that is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str, *missing: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python of its own, in which packages are not installed."""
    hidden = f"import sys; sys.modules.update(dict.fromkeys({missing!r}))"
    command = [sys.executable, "-c", f"{hidden}\n{code}"]
    return subprocess.run(command, capture_output=True, text=True)


def test_it_needs_no_django() -> None:
    done = run("from bindserver.client import BlockingClient, Client, Change", "django", "channels")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["Client", "BlockingClient"])
def test_to_connect_it_needs_a_package_and_names_it(name: str) -> None:
    done = run(f"from bindserver.client import {name}", "websockets")
    assert 'pip install "bindserver[client]"' in done.stderr


def test_a_copy_of_rows_needs_none() -> None:
    code = "from bindserver.client import Change; from bindserver.client.feed import Feed"
    assert run(code, "django", "websockets").returncode == 0


def test_it_has_no_other_names() -> None:
    done = run("import bindserver.client; bindserver.client.Nothing")
    assert "has no attribute 'Nothing'" in done.stderr
