"""Bars, as an SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH, LEFT, BAR, GAP, TOP = 820, 330, 18, 8, 44
LONGEST = 400


def plotted(costs: Sequence[tuple[str, float]]) -> str:
    """Return a picture of what a frame costs with each server, the cheapest first."""
    ordered = sorted(costs, key=lambda cost: cost[1])
    most, height = ordered[-1][1], TOP + len(ordered) * (BAR + GAP) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        '<text x="10" y="24" font-size="15">Microseconds of the server\'s processor for a frame, '
        "on a scale that takes roots</text>",
    ]
    for number, (title, cost) in enumerate(ordered):
        y = TOP + number * (BAR + GAP)
        long = max(1.0, LONGEST * (cost / most) ** 0.5)
        colour = "#c0392b" if title == "bindserver" else "#7f8c8d"
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(title)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{long:.0f}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LEFT + long + 6:.0f}" y="{y + 14}">{cost:.1f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
