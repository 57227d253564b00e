"""What is in the wheel, and what is not."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest

import bindserver
from tests.support.server import ROOT


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    return set(ZipFile(wheel).namelist())


def test_it_holds_the_whole_package(names: set[str]) -> None:
    folder = ROOT / "bindserver"
    files = {
        str(path.relative_to(ROOT))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"bindserver/py.typed", "bindserver/static/bindserver/io.js"} <= files
    assert files <= names


def test_it_holds_nothing_else(names: set[str]) -> None:
    own = f"bindserver-{bindserver.__version__}.dist-info/"
    assert {name for name in names if not name.startswith(("bindserver/", own))} == set()


def test_it_names_its_licence_and_its_extras(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("/METADATA"))
        told = archive.read(name).decode()
    assert "License-Expression: BSD-2-Clause" in told
    for extra in ("server", "redis", "daphne"):
        assert f"Provides-Extra: {extra}" in told
