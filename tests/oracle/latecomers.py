"""Those who write early and commit late, with lower numbers than those who were faster."""

from __future__ import annotations

from tests.oracle import raw
from tests.oracle.sessions import Refused
from tests.oracle.transactions import undoing
from tests.oracle.writer import Writer

EARLY: list[raw.Write] = [
    *(raw.insert_product, raw.insert_product, raw.tag_product, raw.update_product),
    *(raw.write_token, raw.write_token, raw.write_word, raw.count_word, raw.write_place),
    *(raw.insert_category, raw.write_restaurant),
]
"""What they write: few rows, so that others seldom wait for them."""


class Latecomer:
    """One connection with one transaction at a time.

    Args:
        writer: writes on the connection.

    Attributes:
        open: whether a transaction is.
    """

    def __init__(self, writer: Writer) -> None:
        self.open = False
        self._writer = writer

    def begin(self) -> None:
        """Begin a transaction, and write something in it.

        Raises:
            Refused: a row is somebody else's; the transaction is over.
        """
        self._writer.run(self._writer.dialect.begin_late)
        self.open = True
        self.write(2)

    def write(self, most: int) -> None:
        """Write something more.

        Raises:
            Refused: a row is somebody else's; the transaction is over.
        """
        w = self._writer
        try:
            with undoing(w):
                for write in w.rng.choices(EARLY, k=w.rng.randint(1, most)):
                    write(w)
        except Refused:
            self.open = False
            raise

    def end(self, *, commit: bool) -> None:
        """Commit, or leave a hole.

        Raises:
            Refused: what it points at is gone; nothing was committed.
        """
        self.open = False
        with undoing(self._writer):
            self._writer.run("COMMIT" if commit else "ROLLBACK")

    def close(self) -> None:
        """Be gone; what was not committed is lost."""
        self.open = False
        self._writer.session.close()
