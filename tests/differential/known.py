"""Kinds of declarations that are known to differ from DRF yet, and why; none of them is generated.

A kind is the name that pieces in `menu.py` and `declaring.py` carry. Take a line away when what it
says is mended: the comparison then holds it.
"""

from __future__ import annotations

KNOWN: dict[str, str] = {}
