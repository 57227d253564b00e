"""What a capture tells the engine: which rows may have changed, and where in history we are."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

Key = int | str
"""A primary key as the wire carries it: a string, or an integer within ±(2**53 − 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A committed state of one database, as its change log can name it.

    Attributes:
        epoch: names one unbroken history of the log; a new one means that nothing can be proved
            about older positions.
        mark: the state within that history, in the words of the capture that made it.
    """

    epoch: str
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A hint that rows of one table were written.

    Attributes:
        table: the database table's name.
        pks: the primary keys, as the database holds them; None when any row may have changed.
    """

    table: str
    pks: frozenset[Hashable] | None
