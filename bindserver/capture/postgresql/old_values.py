"""The SQL by which PostgreSQL's triggers tell what rows held in their foreign keys before.

A migration that takes such a column away leaves the functions as they are until a server looks
again, and no write may fail for that. So a column is named where, if the row has none of that name,
an outer NULL has it.
"""

from __future__ import annotations

from collections.abc import Mapping

from bindserver.capture.postgresql.names import NEW, OLD, STATEMENT_KEYS, literal, quoted
from bindserver.capture.tables import entry_name

ROW, GONE, FOUND = "bindserver_row", "bindserver_gone", "bindserver_found"
COUNT = "pg_catalog.cardinality(keys)"


class OldValues:
    """What the triggers of a table say of its foreign keys.

    Args:
        into: the beginning of what writes to the log.
        table: its name.
        references: its columns, each with the SQL that tells a value, "{pk}" for the column.
    """

    def __init__(self, into: str, table: str, references: Mapping[str, str]) -> None:
        self._into = into
        self._table = table
        self._references = references

    def update(self) -> str:
        """Return what logs, after an UPDATE, the old values if any is another.

        It leaves old and new rows in the same order: where nothing was changed the lists are equal.
        """
        if not self._references:
            return ""
        before, after = (
            f"ARRAY(SELECT {self._of_row(ROW)} FROM {table} AS {ROW}, {self._gone()} "
            f"LIMIT {STATEMENT_KEYS + 1})"
            for table in (OLD, NEW)
        )
        return f"IF NOT ({before} OPERATOR(pg_catalog.=) {after}) THEN {self.delete()} END IF;"

    def delete(self) -> str:
        """Return what logs, after a DELETE, the values that its rows had."""
        return " ".join(self._entry(column) for column in self._references)

    def row(self, event: str) -> str:
        """Return what logs, after one row was written, its old values, if any is another."""
        if event == "INSERT" or not self._references:
            return ""
        entries = " ".join(
            f"{self._into} SELECT {self._name(column)}, ARRAY[{FOUND}.old::pg_catalog.text] "
            f"FROM (SELECT {self._value(column, 'OLD')} AS old FROM {self._gone()}) AS {FOUND} "
            f"WHERE {FOUND}.old IS NOT NULL;"
            for column in self._references
        )
        if event == "DELETE":
            return entries
        before, after = (f"ARRAY[{self._of_row(side)}]" for side in ("OLD", "NEW"))
        same = f"(SELECT {before} OPERATOR(pg_catalog.=) {after} FROM {self._gone()})"
        return f"IF NOT {same} THEN {entries} END IF;"

    def _entry(self, column: str) -> str:
        many = f"{COUNT} OPERATOR(pg_catalog.>) {STATEMENT_KEYS}"
        value = self._value(column, ROW)
        gathered = (
            f"ARRAY(SELECT DISTINCT {FOUND}.old FROM (SELECT {value} AS old "
            f"FROM {OLD} AS {ROW}, {self._gone()}) AS {FOUND} "
            f"WHERE {FOUND}.old IS NOT NULL LIMIT {STATEMENT_KEYS + 1})"
        )
        return (
            f"{self._into} SELECT {self._name(column)}, "
            f"CASE WHEN {many} THEN NULL ELSE keys::pg_catalog.text[] END "
            f"FROM (SELECT {gathered} AS keys OFFSET 0) AS found "
            f"WHERE {COUNT} OPERATOR(pg_catalog.>) 0;"
        )

    def _of_row(self, row: str) -> str:
        """Return all columns of a row, as one value."""
        values = ", ".join(sql.format(pk=quoted(name)) for name, sql in self._references.items())
        return f"(SELECT ROW({values}) FROM (SELECT {row}.*) AS {ROW})"

    def _value(self, column: str, row: str) -> str:
        value = self._references[column].format(pk=quoted(column))
        return f"(SELECT {value} FROM (SELECT {row}.*) AS {ROW})"

    def _gone(self) -> str:
        """Return what has the columns where the table has them no more."""
        nulls = ", ".join(["NULL"] * len(self._references))
        return f"(VALUES ({nulls})) AS {GONE}({', '.join(map(quoted, self._references))})"

    def _name(self, column: str) -> str:
        return literal(entry_name(self._table, column))
