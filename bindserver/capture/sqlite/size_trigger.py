"""The trigger that keeps the log within LOG_MAX_ENTRIES by itself, while no server runs either.

It looks at the number of each new entry, and once in ten thousand deletes the oldest that are too
many. Entries go without a gap, so a position whose entry is gone proves nothing: whoever had it is
compared whole, as after a purge.
"""

from __future__ import annotations

from bindserver.capture.sqlite.triggers import LOG

BOUND = "bindserver_bound"
"""Its name, which is none of those that are looked for on the tables of bindings."""

STEP = 10_000
"""How many entries go at once, at most twice as many: a writer waits for that long."""


def bounding(most: float) -> str:
    """Return the statement that makes it.

    Args:
        most: how many entries the log is to hold; a tenth more or `STEP` more, whatever is less,
            before it deletes.
    """
    kept = max(1, int(most))
    step = max(1, min(STEP, kept // 10))
    return (
        f"CREATE TRIGGER {BOUND} AFTER INSERT ON {LOG} WHEN NEW.id % {step} = 0 BEGIN "
        f"DELETE FROM {LOG} WHERE id IN "
        f"(SELECT id FROM {LOG} WHERE id <= NEW.id - {kept} ORDER BY id LIMIT {2 * step}); END"
    )
