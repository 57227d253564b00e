"""What a project's own AUTHENTICATE may answer: a proof of who somebody is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Who somebody is.

    Attributes:
        user: the user; anonymous or None for credentials that stand for nobody.
        auth: how that was proved, as DRF's `request.auth`.
        expires: for how many seconds from now it holds; None for no end.
    """

    user: Any
    auth: Any = None
    expires: float | None = None
