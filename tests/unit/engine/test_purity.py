"""The engine takes facts and returns values: it can reach nothing else."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bindserver.engine

MODULES = sorted(Path(bindserver.engine.__file__).parent.glob("*.py"))
FORBIDDEN = {"asyncio", "datetime", "os", "random", "secrets", "socket", "threading", "time"}


def imports(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield node.module or ""


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_the_engine_imports_the_standard_library_and_itself_alone(module: Path) -> None:
    for name in imports(module):
        root = name.split(".")[0]
        assert name.startswith("bindserver.engine") or root in sys.stdlib_module_names


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_the_engine_has_no_clock_no_chance_and_no_threads(module: Path) -> None:
    assert not {name.split(".")[0] for name in imports(module)} & FORBIDDEN
