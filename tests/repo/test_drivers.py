"""Unit tests need Python alone: no driver of a database, no Redis, no browser."""

from __future__ import annotations

import subprocess
import sys

from tests.support.server import ROOT

SOMEWHERE_ELSE = ("MySQLdb", "psycopg", "redis", "channels_redis", "playwright")
"""What only tests outside `tests/unit` may import."""


def test_unit_tests_are_collected_without_any_driver() -> None:
    code = f"import sys; sys.modules |= dict.fromkeys({SOMEWHERE_ELSE}); import pytest; "
    code += "sys.exit(pytest.main(['--collect-only', '-q', '-p', 'no:playwright', 'tests/unit']))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout
