"""PostgreSQL's snapshots as positions: which transactions were finished, in a short text."""

from __future__ import annotations

from dataclasses import dataclass

MARK_LENGTH = 200
"""How long a mark may be to fit into a cursor with all that stands there besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A snapshot, and the newest log entry that it saw.

    A transaction is seen by it when its id is below `xmax` and not in `open`.

    Attributes:
        xmin: the oldest transaction that was open.
        xmax: the first that had not begun yet.
        open: the ids from `xmin` on that were open.
        entry: transaction and time of the newest entry, or two zeros.
    """

    xmin: int
    xmax: int
    open: tuple[int, ...]
    entry: tuple[int, int]

    @classmethod
    def of(cls, snapshot: str, entry: tuple[int, int]) -> Mark:
        """Return the mark of what `pg_current_snapshot()` says."""
        xmin, xmax, ids = snapshot.split(":")
        numbers = tuple(int(number) for number in ids.split(",") if number)
        return cls(xmin=int(xmin), xmax=int(xmax), open=numbers, entry=entry)

    @classmethod
    def load(cls, text: str) -> Mark:
        """Return the mark that a text of `dump` says."""
        snapshot, _, entry = text.partition("~")
        xmin, width, ids = snapshot.split(":")
        first = int(xmin)
        number, at = entry.split(".")
        return cls(
            xmin=first,
            xmax=first + int(width),
            open=tuple(first + int(distance) for distance in ids.split(",") if distance),
            entry=(int(number), int(at)),
        )

    def dump(self) -> str:
        """Return it as text; ids are told by their distance from `xmin`."""
        ids = ",".join(str(number - self.xmin) for number in self.open)
        return f"{self.xmin}:{self.xmax - self.xmin}:{ids}~{self.entry[0]}.{self.entry[1]}"

    def brief(self) -> str:
        """Return it as text, an earlier mark where its own is long: reading twice is harmless."""
        text = self.dump()
        if len(text) <= MARK_LENGTH:
            return text
        return Mark(xmin=self.xmin, xmax=self.xmin, open=(), entry=self.entry).dump()

    def saw_all_below(self, number: int) -> bool:
        """Return whether it saw every transaction below an id that has committed since."""
        return number <= self.xmax and all(one >= number for one in self.open)

    def snapshot(self) -> tuple[str, str]:
        """Return `xmax` and the open ids as arguments of a query on the log."""
        return str(self.xmax), "{" + ",".join(map(str, self.open)) + "}"
