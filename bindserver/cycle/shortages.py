"""What is said where there is no room for a view: to whoever asks, and once to the log."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from bindserver.cycle.budget import Full, Shortage

logger = logging.getLogger("bindserver.cycle")

AGAIN_SECONDS = 3600.0
"""How long a shortage that goes on is not spoken of again."""

REMEMBERED = 500
"""So many shortages are known at a time; the oldest is forgotten for a new one."""

PROXY = "; where that is a proxy's address, see 'Behind a proxy' in docs/deployment.md"


def words_of(shortage: Shortage) -> str:
    """Return what whoever asks is told: what is full, by which setting, and what to do."""
    what = "bytes of views" if shortage.of_bytes else "views"
    total = "MAX_VIEWS_BYTES" if shortage.of_bytes else "MAX_VIEWS"
    share = "OWNER_BYTES_SHARE" if shortage.of_bytes else "OWNER_VIEWS_SHARE"
    one = "address" if shortage.owner is None or shortage.owner.kind is None else "user"
    bound, setting, others = {
        Full.SHARE: (f"one {one} may have", share, "leave some, or "),
        Full.REST: ("are left for all others", total, "leave some, or "),
        Full.TOTAL: ("the server may hold", total, ""),
    }[shortage.full]
    said = f"that would be more {what} than {bound} ({setting} in the server's settings)"
    return f"{said}; {others}try again later"


@dataclass(slots=True)
class _Told:
    """What the log was told, on the monotonic clock, and how often it has happened since."""

    at: float
    unsaid: int = 0


class ShortageLog:
    """The shortages of one cycle.

    Args:
        alias: the database.
        clock: tells the time in seconds, and only rises.

    Attributes:
        refused: how often somebody was refused.
    """

    def __init__(self, alias: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.refused = 0
        self._alias = alias
        self._clock = clock
        self._known: OrderedDict[object, _Told] = OrderedDict()

    def refuse(self, shortage: Shortage) -> str:
        """Take note that somebody is refused, and return what they are told."""
        self.refused += 1
        words = words_of(shortage)
        owner, full = shortage.owner, shortage.full
        anonymous = owner is not None and owner.kind is None
        hint = PROXY if anonymous and full is Full.SHARE else ""
        who = "code of the server's own" if owner is None else str(owner)
        # Addresses count together: whoever has many would else have the log grow.
        by_owner = full is Full.SHARE and not anonymous
        key = (full, shortage.of_bytes, anonymous, owner if by_owner else None)
        self._tell(key, f"refuses a view to {who}: {words}{hint}")
        return words

    def note_growth(self, size: int) -> None:
        """Take note that views that somebody follows have grown past what all may take.

        Args:
            size: how many bytes all take now.
        """
        self._tell(
            "growth",
            f"follows views that have grown to about {size // 2**20:,} MiB, more than "
            "MAX_VIEWS_BYTES: they are kept, and no new rows are taken in",
        )

    def _tell(self, key: object, words: str) -> None:
        known, now = self._known.get(key), self._clock()
        if known is None:
            self._known[key] = _Told(now)
            logger.warning("bindserver: database %r %s", self._alias, words)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            return
        known.unsaid += 1
        if now - known.at >= AGAIN_SECONDS:
            said = "bindserver: database %r, %d times more since this was said: it %s"
            logger.warning(said, self._alias, known.unsaid, words)
            known.at, known.unsaid = now, 0
