"""The plot of a soak, as SVG: one small chart for each thing that was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, GAP = 420, 120, 36
STYLE = (
    "text{font:12px sans-serif;fill:#333}polyline{fill:none;stroke:#2563eb;stroke-width:1.5}"
    "rect{fill:#f8fafc;stroke:#cbd5e1}line{stroke:#dc2626;stroke-dasharray:4 3}"
)


def chart(
    minutes: Sequence[float], values: Mapping[str, Sequence[float]], most: Mapping[str, float]
) -> str:
    """Return the plot.

    Args:
        minutes: when was measured.
        values: what, by name, each time.
        most: how high each may end, which is drawn as a dashed line.
    """
    charts = [
        _one(name, minutes, some, most.get(name), number)
        for number, (name, some) in enumerate(values.items())
    ]
    rows = (len(charts) + 1) // 2
    width, height = 2 * (WIDTH + GAP) + GAP, rows * (HEIGHT + GAP) + GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *charts, "</svg>", ""])


def _one(
    name: str, minutes: Sequence[float], values: Sequence[float], most: float | None, number: int
) -> str:
    left, top = GAP + (number % 2) * (WIDTH + GAP), GAP + (number // 2) * (HEIGHT + GAP)
    highest = max([*values, most or 0, 1]) * 1.1
    last = max([*minutes, 0.001])

    def y(value: float) -> float:
        return round(top + HEIGHT * (1 - value / highest), 1)

    points = " ".join(
        f"{round(left + WIDTH * at / last, 1)},{y(value)}"
        for at, value in zip(minutes, values, strict=True)
    )
    told = f"{name}: {values[0]:g} to {values[-1]:g}, highest {max(values):g}" if values else name
    limit = (
        ""
        if most is None
        else f'<line x1="{left}" x2="{left + WIDTH}" y1="{y(most)}" y2="{y(most)}"/>'
    )
    return (
        f'<text x="{left}" y="{top - 8}">{escape(told)}</text>'
        f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}"/>'
        f'{limit}<polyline points="{points}"/>'
        f'<text x="{left + WIDTH - 50}" y="{top + HEIGHT + 14}">{last:.1f} min</text>'
    )
