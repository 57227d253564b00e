"""Names of views' memories: whoever comes back to another one of the same query is not at home."""

from __future__ import annotations

import os
import secrets
from itertools import count


class Incarnations:
    """Names that nothing else has or had, in this process or in any other."""

    def __init__(self) -> None:
        self._series = (-1, "", count())

    def process(self) -> str:
        """Return a name of this process."""
        self.next()
        return self._series[1]

    def next(self) -> str:
        """Return another name. Only the first of a process costs the kernel's random numbers."""
        process, drawn, numbers = self._series
        if process != os.getpid():  # a fork would go on where its parent is
            # Cycles of several databases may come here at once: each then has a series whole.
            self._series = _, drawn, numbers = os.getpid(), secrets.token_hex(6), count()
        return f"{drawn}{next(numbers):x}"


incarnations = Incarnations()
