"""Lists inside rows whose order no one has asked for, and so no one may compare: a database may say
it otherwise each time, by another plan."""

from __future__ import annotations

import json
from typing import Any

LOOSE = frozenset(
    {"friends", "children", "kin", "items", "beside", "held", "leaves", "due", "tickets"}
)
"""What rows call those whose model has no order, or one that leaves some of them alike."""


def loose_in(source: str) -> frozenset[str]:
    """Return the names of such lists in a binding, but for those that it orders itself."""
    return frozenset(name for name in LOOSE if f"Prefetch('{name}'" not in source)


def settled(value: Any, loose: frozenset[str]) -> Any:
    """Return plain data with such lists in an order of their own."""
    if isinstance(value, list):
        return [settled(item, loose) for item in value]
    if not isinstance(value, dict):
        return value
    found = {name: settled(item, loose) for name, item in value.items()}
    for name in loose & found.keys():
        if isinstance(found[name], list):
            found[name] = sorted(found[name], key=json.dumps)
    return found
