#!/usr/bin/env python3
"""Draws docs/house.svg: the folders in their layers, and the way of a change through them.

python scripts/draw_house.py            writes docs/house.svg
python scripts/draw_house.py --figures  prints how large the house is
"""

from __future__ import annotations

import ast
import re
import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "bindserver"
WAY = (
    ("capture", "a trigger or a signal tells: a table, perhaps keys"),
    ("cycle", "a turn opens one snapshot and asks which views that may touch"),
    ("queries", "the rows are read again, as JSON text, once for all views of a shape"),
    ("engine", "each view compares: a delta, encoded once"),
    ("hub", "events go from the cycle's thread to event loops"),
    ("websocket", "each session writes frames as fast as its client reads"),
)
"""The steps of a change, each with the room in which it happens."""
WIDTH, ROW, BOX, TOP = 980, 46, 34, 16


def layers() -> list[tuple[str, list[str]]]:
    """Return the layers from pyproject.toml, outermost first: what each is for, and its rooms."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contract = text.partition('name = "Imports point inward"')[2].partition("\n]\n")[0]
    found = re.findall(r"^    # (.+)\n    \"(.+)\",$", contract, re.MULTILINE)
    return [(told, names.split(" | ")) for told, names in found]


def draw() -> str:
    """Return the picture as SVG."""
    steps = {room: number for number, (room, _) in enumerate(WAY, 1)}
    parts: list[str] = []
    rows = layers()
    for number, (told, rooms) in enumerate(rows):
        y, x = TOP + number * ROW, 16
        for room in rooms:
            width = 26 + 8 * len(room) + (22 if room in steps else 0)
            kind = "room" if (PACKAGE / room).is_dir() else "file"
            parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{BOX}"/>')
            parts.append(f'<text x="{x + 12}" y="{y + 22}">{escape(room)}</text>')
            if room in steps:
                parts.append(f'<circle cx="{x + width - 17}" cy="{y + 17}" r="10"/>')
                where = f'class="step" x="{x + width - 17}" y="{y + 21}"'
                parts.append(f"<text {where}>{steps[room]}</text>")
            x += width + 8
        parts.append(f'<text class="told" x="470" y="{y + 22}">{escape(told)}</text>')
    y = TOP + len(rows) * ROW + 16
    parts.append(f'<text class="head" x="16" y="{y}">The way of a change</text>')
    for number, (room, told) in enumerate(WAY, 1):
        y += 24
        parts.append(f'<circle cx="26" cy="{y - 4}" r="10"/>')
        parts.append(f'<text class="step" x="26" y="{y}">{number}</text>')
        parts.append(f'<text class="told" x="46" y="{y}">{escape(f"{room}: {told}")}</text>')
    height = y + 18
    style = (
        "text{font:14px ui-monospace,monospace;fill:#1c2733}"
        ".told{font:13px system-ui,sans-serif;fill:#55606b}"
        ".head{font:bold 14px system-ui}"
        ".room{fill:#e6f0fa;stroke:#5b8fc0}.file{fill:#f6f6f3;stroke:#b5b5ad}"
        "rect{rx:5}circle{fill:#c2571a}"
        ".step{font:bold 12px sans-serif;fill:#fff;text-anchor:middle}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="The folders of bindserver in their layers">\n<style>{style}</style>\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def figures() -> str:
    """Return how large the house is: names at the top, layers, and the longest chain of imports."""
    top = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    names = sorted(name for name in top if not name.startswith(("__", "static")))
    chain = _longest(_imports())
    return (
        f"names at the top: {len(names)}\n"
        f"layers: {len(layers())}\n"
        f"modules: {len(_modules())}\n"
        f"longest chain of imports: {len(chain)}\n  " + " > ".join(chain)
    )


def _modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _imports() -> dict[str, set[str]]:
    """Return which modules each module imports at its top."""
    modules = _modules()
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for name, path in modules.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.ImportFrom) or node.module is None:
                continue
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                target = inner if inner in modules else node.module
                if target in modules and target != name:
                    graph[name].add(target)
    return graph


def _longest(graph: dict[str, set[str]]) -> list[str]:
    """Return the longest chain in a graph without circles."""
    known: dict[str, list[str]] = {}

    def from_(name: str) -> list[str]:
        if name not in known:
            known[name] = []  # a circle would end here
            known[name] = [name, *max((from_(n) for n in sorted(graph[name])), key=len, default=[])]
        return known[name]

    return max((from_(name) for name in sorted(graph)), key=len)


if __name__ == "__main__":
    if "--figures" in sys.argv[1:]:
        sys.stdout.write(figures() + "\n")
    else:
        (ROOT / "docs" / "house.svg").write_text(draw(), encoding="utf-8")
