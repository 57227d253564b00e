"""Kinds of declarations that are known to differ from DRF yet, and why; none of them is generated.

A kind is the name that pieces in `menu.py` and `declaring.py` carry. Take a line away when what it
says is mended: the comparison then holds it.
"""

from __future__ import annotations

KNOWN: dict[str, str] = {
    "base_manager": "rows that a base manager hides are not reached from changed rows",
    "kept": "a serializer, and its context, live as long as their view",
}
