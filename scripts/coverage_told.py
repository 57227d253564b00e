"""Say how much of `bindserver/` the unit tests run, and which modules they never reach."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import coverage


def main() -> None:
    """Print two figures, and a warning for the modules of whose functions none was ever called."""
    measured = coverage.Coverage()
    measured.load()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coverage.json"
        measured.json_report(outfile=str(path))
        found = json.loads(path.read_text(encoding="utf-8"))
    totals = found["totals"]
    lines = share(totals["covered_lines"], totals["num_statements"])
    branches = share(totals["covered_branches"], totals["num_branches"])
    print(f"Unit tests run {lines} of the lines and {branches} of the branches in bindserver/.")
    files = {name.removeprefix("bindserver/"): file for name, file in found["files"].items()}
    if unreached := [name for name in sorted(files) if not reached(files[name])]:
        print(f"warning: what no unit test calls into: {', '.join(unreached)}")


def share(part: int, whole: int) -> str:
    """Return a part as words."""
    return f"{100 * part / whole:.1f} %"


def reached(file: dict[str, Any]) -> bool:
    """Return whether a function of the file was called, or it has none and was imported."""
    bodies = [body for name, body in file["functions"].items() if name]
    whole = bodies or [file]
    return not file["summary"]["num_statements"] or any(body["executed_lines"] for body in whole)


if __name__ == "__main__":
    main()
