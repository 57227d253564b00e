"""Run the Python tests with every Python and Django there is here: scripts/matrix.py [CELL ...].

A cell is a Python and a Django, as in "3.12-6.0"; without any, all are run. Each has a virtual
environment in .matrix/, made when it is first needed, and a log beside it. A Python that this
machine lacks is a row of the table that says so. The browser, the oracle and what builds
environments of its own are left out: they say nothing of a Python or a Django.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".matrix"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
DJANGOS = {"5.2": "3.10", "6.0": "3.12", "6.1": "3.12"}
"""Each Django, and the oldest Python that it runs on."""

PLACES = (
    (Path("~/.pyenv/versions"), "{}.*/bin/python"),
    (Path("~/.local/share/uv/python"), "cpython-{}.*/bin/python"),
)
"""Where Pythons are that are not on the path."""

LEFT_OUT = (
    "tests/projects/deploy",
    "tests/projects/tutorial",
    "tests/projects/stranger",
    "tests/repo/test_docs.py",
)
TESTS = ["-m", "not browser and not oracle", *(f"--ignore={path}" for path in LEFT_OUT)]
SUMMARY = re.compile(r"^(?:=+ )?((?:\d+ \w+(?:, )?)+) in [\d.]+s", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One Python with one Django."""

    python: str
    django: str

    @property
    def name(self) -> str:
        return f"{self.python}-{self.django}"

    @property
    def venv(self) -> Path:
        return FOLDER / self.name


def cells() -> Iterator[Cell]:
    """Yield the cells that can be, newest Django last."""
    for django, oldest in DJANGOS.items():
        for python in PYTHONS:
            if _number(python) >= _number(oldest):
                yield Cell(python=python, django=django)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def interpreter(version: str) -> str | None:
    """Return a Python of this version, by asking each that might be one."""
    candidates = [path for path in [shutil.which(f"python{version}")] if path]
    for folder, pattern in PLACES:
        found = folder.expanduser().glob(pattern.format(version))
        candidates += [str(path) for path in sorted(found)]
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    for candidate in candidates:
        done = subprocess.run([candidate, "-c", code], capture_output=True, text=True)
        if done.stdout.strip() == version:
            return candidate
    return None


def prepare(cell: Cell, python: str, log: Path) -> bool:
    """Make a cell's environment, or bring it up to date."""
    pip = [str(cell.venv / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    extras = ".[server,redis,postgresql,mysql,daphne,metrics,tracing,fast]"
    what = [f"django~={cell.django}.0", "-e", extras, "--group", "dev"]
    steps = [[*pip, "install", "--upgrade", "pip>=25.1"], [*pip, "install", *what]]
    if not (cell.venv / "bin/python").exists():
        steps.insert(0, [python, "-m", "venv", str(cell.venv)])
    with log.open("w") as output:
        return all(
            subprocess.run(step, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT).returncode == 0
            for step in steps
        )


def test(cell: Cell, log: Path) -> tuple[bool, str]:
    """Run the tests in a cell; return whether all passed, and pytest's own count."""
    env = {k: v for k, v in os.environ.items() if k not in ("DEBUG", "DATABASE_URL")}
    env["TEST_DATABASE"] = str(FOLDER / f"{cell.name}.sqlite3")
    command = [str(cell.venv / "bin/python"), "-m", "pytest", "-p", "no:cacheprovider", "-v"]
    with log.open("a") as output:
        done = subprocess.run(
            [*command, *TESTS], cwd=ROOT, env=env, stdout=output, stderr=subprocess.STDOUT
        )
    counts = SUMMARY.findall(log.read_text(encoding="utf-8"))
    return done.returncode == 0, counts[-1] if counts else "pytest did not come to its end"


def run(cell: Cell) -> tuple[bool | None, str]:
    """Run a cell; None when there is no such Python here."""
    python = interpreter(cell.python)
    if python is None:
        return None, f"no Python {cell.python} on this machine"
    log = FOLDER / f"{cell.name}.log"
    if not prepare(cell, python, log):
        return False, f"could not be installed, see {log.relative_to(ROOT)}"
    begun = time.monotonic()
    passed, words = test(cell, log)
    return passed, f"{words} in {time.monotonic() - begun:.0f} s"


def main(names: list[str]) -> int:
    """Run the cells, print a row for each, and return how many failed."""
    FOLDER.mkdir(exist_ok=True)
    chosen = [cell for cell in cells() if not names or cell.name in names]
    if unknown := set(names) - {cell.name for cell in chosen}:
        sys.exit(f"no such cell: {', '.join(sorted(unknown))}")
    failures = 0
    print(f"{'Python':8} {'Django':8} {'':10} tests", flush=True)
    for cell in chosen:
        passed, words = run(cell)
        failures += passed is False
        told = {True: "passed", False: "FAILED", None: "not found"}[passed]
        print(f"{cell.python:8} {cell.django:8} {told:10} {words}", flush=True)
    return failures


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
