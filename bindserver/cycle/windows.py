"""Views with a limit: the rows that are held, which are more than those that are shown."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence

from django.db import DatabaseError

from bindserver.database.pacing import Pacer
from bindserver.engine.ordering import Sort
from bindserver.engine.window import Window
from bindserver.exceptions import Overtaken, QueryTimeout
from bindserver.queries import reading, windows
from bindserver.queries.dependencies import Recorder
from bindserver.queries.query import Query
from bindserver.queries.rows import Rows
from bindserver.queries.windows import Cut


class Held:
    """The first rows of a query with a limit, up to some behind those that are shown.

    Args:
        cut: which rows are shown.
    """

    def __init__(self, cut: Cut) -> None:
        self.window = Window[Hashable](start=cut.start, length=cut.length, ahead=windows.AHEAD)
        self._rows = Rows()

    def load(self, rows: Rows) -> Rows:
        """Take rows as they were read from the first one on; return those that are shown."""
        self.window.load(rows.places(), whole=rows.ended)
        self._rows = rows
        shown = self._shown()
        assert shown is not None
        return shown

    def is_touched(self, pks: Collection[Hashable], rows: Rows) -> bool:
        """Return whether rows that were read again may change anything that is held.

        Args:
            pks: the primary keys that were looked for.
            rows: what was found.
        """
        return not self.window.stays_outside(pks, rows.places())

    def advance(
        self,
        query: Query,
        pks: Collection[Hashable],
        rows: Rows,
        recorder: Recorder,
        pacer: Pacer,
    ) -> Rows | None:
        """Move on by rows that were read again, and return those that are shown now.

        Args:
            query: reads what is not known yet.
            pks: the primary keys that were looked for.
            rows: what was found, as `queries.reading.look` finds it.
            recorder: notes what is read.
            pacer: rests, and stops what takes too long.

        Returns:
            None where the window is to be read again.
        """
        sorts = rows.places()
        listed = self.window.sorted_with(pks, sorts)
        if listed is None:
            listed = self._listed(query, pks, rows, recorder, pacer)
        inside = None if listed is None else self.window.inside(pks, listed)
        if inside is None:
            return None
        entering = sorts.keys() & set(inside)
        if not entering <= rows.keys.keys():
            found = _read(query, entering, recorder, pacer)
            if found is None or found.keys.keys() != entering:
                return None
            rows = found
        self._take(inside, sorts, rows)
        return self._shown() if self.window.is_enough() else None

    def _listed(
        self,
        query: Query,
        pks: Collection[Hashable],
        rows: Rows,
        recorder: Recorder,
        pacer: Pacer,
    ) -> Sequence[Hashable] | None:
        """Return the keys that are held and those that were found, in the database's order; None
        where there are too many.

        Another window of the same rows has all that this one has, if it reaches further.
        """
        found = rows.places()
        kept = [pk for pk in self.window.keys() if pk not in pks]
        if not found:
            return kept
        every = {*kept, *found}
        known = [pk for pk in rows.listed if pk in every]
        if len(known) == len(every):
            return known
        if len(kept) + len(found) > windows.LISTED:
            return None
        recorder.expect_own()
        rows.listed = reading.pks_among(query, every, pacer)
        return rows.listed

    def _take(
        self, inside: Sequence[Hashable], sorts: Mapping[Hashable, Sort | None], rows: Rows
    ) -> None:
        self.window.move(inside, sorts)
        held, kept = self._rows, Rows()
        for pk in self.window.keys():
            kept.copy(pk, rows if pk in rows.keys else held)
        self._rows = kept

    def _shown(self) -> Rows | None:
        """Return the rows that are shown; None where one of them was not read, or its key is
        another one's too."""
        pks, shown = self.window.shown(), Rows()
        for pk in pks:
            shown.copy(pk, self._rows)
        return shown if len(shown.fresh) == len(pks) else None


def sight(query: Query, pks: Collection[Hashable], recorder: Recorder, pacer: Pacer) -> Rows | None:
    """Return the rows of a query with these primary keys, as far as is needed to tell where they
    stand; None where one of them cannot be read."""
    if reading.looks_first(query):
        return reading.look(query, pks, None, recorder, pacer).get((), Rows())
    return _read(query, pks, recorder, pacer)


def _read(query: Query, pks: Collection[Hashable], recorder: Recorder, pacer: Pacer) -> Rows | None:
    """Read rows that are held from now on; None where one of them cannot be read. If it is shown,
    the window cannot be read either, and says why; if not, it is nobody's business."""
    try:
        return reading.read(query, pks, recorder, pacer)
    except (DatabaseError, Overtaken, QueryTimeout):
        raise
    except Exception:
        return None
