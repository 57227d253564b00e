"""Names of views' memories: whoever comes back to another one of the same query is not at home."""

from __future__ import annotations

import os
import secrets


class Incarnations:
    """Names that nothing else has or had, in this process or in any other, for numbers that nothing
    else has in this one."""

    def __init__(self) -> None:
        self._drawn: dict[int, str] = {}

    def process(self) -> str:
        """Return this process's name. Only the first look costs the kernel's random numbers."""
        process = os.getpid()  # a fork would go on where its parent is
        drawn = self._drawn.get(process)
        if drawn is None:
            # Cycles of several databases may come here at once: all of them take what was first.
            drawn = self._drawn.setdefault(process, secrets.token_hex(6))
        return drawn

    def named(self, number: int) -> str:
        """Return a number's name."""
        return f"{self.process()}{number:x}"


incarnations = Incarnations()
