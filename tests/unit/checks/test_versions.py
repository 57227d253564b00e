"""Versions that are known to be bad are told, and this project asks for none of them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from bindserver.checks import versions
from bindserver.checks.versions import FLOORS, Floor, old_packages

ROOT = Path(__file__).resolve().parents[3]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SERIES = Floor("django", ("5.2.18", "6.0.9", "6.1.2"), "it is old")


@pytest.mark.parametrize("installed", ["4.2.30", "5.2", "5.2.17", "6.0.8", "6.1", "6.1.1"])
def test_a_version_below_its_series_floor_is_refused(installed: str) -> None:
    assert SERIES.refuses(installed)


@pytest.mark.parametrize(
    "installed", ["5.2.18", "5.2.19", "6.0.9", "6.0.10", "6.1.2", "6.2", "7.0"]
)
def test_others_are_not(installed: str) -> None:
    assert not SERIES.refuses(installed)


@pytest.mark.parametrize("floor", FLOORS, ids=lambda floor: floor.package)
def test_each_old_package_is_told_by_name(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(package: str) -> str:
        return "0.0.1" if package == floor.package else "9999"

    monkeypatch.setattr(versions, "version", installed)
    [message] = old_packages()
    assert message.id == "bindserver.W107"
    assert floor.package in message.msg
    assert floor.versions[0] in str(message.hint)


def test_what_is_installed_here_is_not_old() -> None:
    assert list(old_packages()) == []


def demands() -> dict[str, str]:
    """Return what `pyproject.toml` demands of each package, extras and tools included."""
    lists = [PYPROJECT["project"]["dependencies"]]
    lists += PYPROJECT["project"]["optional-dependencies"].values()
    lists += PYPROJECT["dependency-groups"].values()
    found = {}
    for text in (text for some in lists for text in some):
        read = re.fullmatch(r"([\w-]+)(?:\[[\w,]+\])?([^;]*)(?:;.*)?", text)
        assert read, text
        found[read[1]] = read[2].replace(" ", "")
    return found


@pytest.mark.parametrize("floor", FLOORS, ids=lambda floor: floor.package)
def test_whoever_installs_this_project_gets_no_old_package(floor: Floor) -> None:
    demand = demands()[floor.package]
    lowest = re.match(r">=([\d.]+)", demand)
    assert lowest, demand
    assert not floor.refuses(lowest[1])
    for safe in floor.versions[1:]:  # all of its series below are excluded, one by one
        series, _, last = safe.rpartition(".")
        for number in range(int(last)):
            name = series if number == 0 else f"{series}.{number}"
            assert re.search(rf"!={re.escape(name)}(,|$)", demand), f"{name}: {demand}"
