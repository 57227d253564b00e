"""The writers of benchmarks."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from benchmarks.load import Execute, Script, transactions_per_second

SCRIPT = Script(
    statements=("INSERT INTO t VALUES (NULL, :id)", "DELETE FROM t WHERE id = :last - 1"),
    highest=9,
)


def test_pgbench_reads_a_script_as_one_transaction() -> None:
    assert SCRIPT.told("lastval()").for_pgbench().splitlines() == [
        "\\set id random(1, 9)",
        "BEGIN;",
        "INSERT INTO t VALUES (NULL, :id);",
        "DELETE FROM t WHERE id = lastval() - 1;",
        "COMMIT;",
    ]


def test_every_transaction_that_is_counted_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite3"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v)")
    database.close()

    def connect() -> Execute:
        return sqlite3.connect(path, timeout=30, isolation_level=None).execute

    told = SCRIPT.told("last_insert_rowid()")
    rate = transactions_per_second(connect, told, writers=2, seconds=0.2)
    database = sqlite3.connect(path)
    inserted = database.execute("SELECT seq FROM sqlite_sequence").fetchone()[0]
    assert round(rate * 0.2) == inserted > 0
    assert set(database.execute("SELECT v FROM t").fetchall()) <= {(n,) for n in range(1, 10)}
    database.close()
