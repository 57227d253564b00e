"""The oracle's one connection for raw writes, and how it chooses."""

from __future__ import annotations

import datetime
import math
import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.oracle.dialects import Dialect
from tests.oracle.sessions import Session

LETTERS = "abcdeéZ"
MANY = 28
"""More rows than this in a table, and inserts delete instead."""
MANY_WORDS = 230
GRID_SECONDS = 0.7
"""How far apart moments are."""
NOBODY: dict[str, Any] = {"app_token": "0" * 32, "app_word": "nobody"}
"""What stands for the key of no row, where -1 is of another type."""


class Writer:
    """Chooses rows and values by the seed, and writes.

    Args:
        session: the connection to write on.
        rng: the run's randomness.
    """

    def __init__(self, session: Session, rng: random.Random) -> None:
        self.rng = rng
        self.session = session

    @property
    def dialect(self) -> Dialect:
        """How the database wants it said."""
        return self.session.dialect

    @contextmanager
    def unchecked(self) -> Iterator[None]:
        """Let a key be changed before those that point at it are."""
        for statement in self.dialect.unchecked(True):
            self.run(statement)
        try:
            yield
        finally:
            for statement in self.dialect.unchecked(False):
                self.run(statement)

    def run(self, sql: str, *arguments: Any) -> None:
        """Run one statement."""
        self.session.run(sql, *arguments)

    def pick(self, table: str, column: str = "id") -> Any:
        """Return the key of some row; of a row that there is not, if the table is empty."""
        found = self.session.rows(f"SELECT {column} FROM {table} ORDER BY 1")
        return self.rng.choice(found)[0] if found else NOBODY.get(table, -1)

    def some(self, table: str, most: int = 4) -> list[Any]:
        """Return the keys of a few rows."""
        found = [key for (key,) in self.session.rows(f"SELECT id FROM {table} ORDER BY 1")]
        return self.rng.sample(found, min(len(found), self.rng.randint(1, most)))

    def count(self, table: str) -> int:
        """Return how many rows there are."""
        return int(self.session.rows(f"SELECT count(*) FROM {table}")[0][0])

    def full(self, table: str) -> bool:
        """Return whether the table has as many rows as it should."""
        return self.count(table) >= (MANY_WORDS if table == "app_word" else MANY)

    def name(self) -> str:
        """Return a short name; few enough that they collide, and sometimes "hidden"."""
        if self.rng.random() < 0.08:
            return "hidden"
        return "".join(self.rng.choices(LETTERS, k=self.rng.randint(1, 3)))

    def sku(self) -> str | None:
        """Return a sku; few enough that they collide."""
        return None if self.rng.random() < 0.2 else f"s{self.rng.randint(1, 40)}"

    def price(self) -> int:
        """Return a price; few enough that windows change."""
        return self.rng.randint(1, 30)

    def category(self) -> Any:
        """Return a category's key, or None."""
        return None if self.rng.random() < 0.15 else self._or_none("app_category")

    def _or_none(self, table: str) -> Any:
        key = self.pick(table)
        return None if key == -1 else key

    def span(self) -> tuple[datetime.datetime, datetime.datetime]:
        """Return when something begins and ends, soon. All moments are of one grid, so that many
        pass at a time, and a while passes without one."""
        now = time.time()
        start = now + self.rng.uniform(-2, 2)
        return self._moment(start), self._moment(start + self.rng.uniform(0, 4))

    @staticmethod
    def _moment(seconds: float) -> datetime.datetime:
        steps = math.ceil(seconds / GRID_SECONDS)
        return datetime.datetime.fromtimestamp(steps * GRID_SECONDS, datetime.UTC)

    def uuid(self) -> str:
        """Return a UUID of the seed's."""
        return uuid.UUID(int=self.rng.getrandbits(128), version=4).hex

    def word(self) -> str:
        """Return a word: there are some 400."""
        return self.rng.choice(["w", "W", "ü", ""]) + str(self.rng.randint(1, 100))
