"""docs/security.md: every limit with its default, and each advisory held by a test or a version."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from bindserver.conf import DEFAULTS
from tests.repo.test_docs import section, table, text_of
from tests.unit.checks.test_versions import demands

ROOT = Path(__file__).resolve().parents[2]
PAGE = "docs/security.md"
NO_LIMITS = {
    "AUDIT_SHARE",
    "COMPARE_SECONDS",
    "FIRST_ROWS_SECONDS",
    "LOG_POLL_SECONDS",
    "RELAY_BEAT_SECONDS",
}
"""Numbers that say how often something is done, or told, and bound nobody."""

LIMITS = {
    name: value
    for name, value in DEFAULTS.items()
    if isinstance(value, (int, float)) and not isinstance(value, bool) and name not in NO_LIMITS
}


def advisories() -> dict[str, list[str]]:
    rows = table(section(PAGE, "## Advisories"))
    return {name: cells for name, cells in rows.items() if name != "advisory"}


def test_every_limit_stands_there_with_its_default() -> None:
    rows = table(section(PAGE, "## Limits"))
    told = {
        name: ast.literal_eval(cells[0].strip("`"))
        for name, cells in rows.items()
        if name != "limit"
    }
    assert told == LIMITS


def test_each_advisory_is_named_as_those_who_keep_them_do() -> None:
    assert len(advisories()) > 30
    for name in advisories():
        assert re.fullmatch(r"CVE-\d{4}-\d{4,7}|GHSA(-[23456789cfghjmpqrvwx]{4}){3}", name)


@pytest.mark.parametrize("name", advisories())
def test_each_advisory_is_held_by_a_test_or_by_a_version(name: str) -> None:
    what, here, held = advisories()[name]
    assert what
    assert here
    [held] = re.findall(r"`([^`]+)`", held)
    if held.startswith("tests/"):
        path, *parts = held.split("::")
        source = (ROOT / path).read_text()
        for part in parts:
            assert re.search(rf"^\s*(async def|def|class) {part}\b", source, re.MULTILINE), held
    else:
        package, _, version = held.partition(">=")
        assert re.match(rf">={re.escape(version)}(,|$)", demands()[package]), demands()[package]


def test_the_way_to_report_is_said_at_the_top() -> None:
    assert "](docs/security.md)" in text_of("SECURITY.md")
    assert "](SECURITY.md)" in text_of("README.md")
    assert "](../SECURITY.md)" in text_of(PAGE)
