"""Which columns of tables are read, as far as somebody has said so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bindserver.capture.tables import Columns


class ReadColumns:
    """The columns of tables that are read: more and more of them, and never fewer.

    What was read once may be read again, and whoever has triggers watch less has all rows read
    again.
    """

    def __init__(self) -> None:
        self._some: dict[str, Columns] = {}

    def add(self, tables: Iterable[str], columns: Mapping[str, Columns] | None = None) -> None:
        """Take note that tables are read.

        Args:
            tables: the tables.
            columns: which of their columns are; of the others all.
        """
        for table in tables:
            more = None if columns is None else columns.get(table)
            known = self._some.get(table, frozenset())
            self._some[table] = None if more is None or known is None else known | more

    def of(self, table: str) -> Columns:
        """Return the columns of a table that are read; all where nobody has said which."""
        return self._some.get(table)

    def by_table(self) -> Mapping[str, Columns]:
        """Return the columns of each table that is read."""
        return self._some
