"""What a view says of its rows, and how that differs from what the database says."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.cycle.windows import Held
from bindserver.engine.changes import Key, Position
from bindserver.engine.ordering import moved_between
from bindserver.queries.query import Query
from bindserver.queries.rows import Rows


class Kind(StrEnum):
    """How a row of a view differs from the database's.

    MISSING: the view lacks it. SURPLUS: the database lacks it. OUTDATED: it says something else.
    MISPLACED: it stands elsewhere. LIST_ORDER: lists in it have another order, and nothing else
    differs; where nobody has said an order, the database may choose another one each time.
    """

    MISSING = "missing"
    SURPLUS = "surplus"
    OUTDATED = "outdated"
    MISPLACED = "misplaced"
    LIST_ORDER = "list_order"


Differences = Mapping[Key, Kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a view says when its audit begins, for a thread that must not look at the view.

    Attributes:
        live: the view.
        query: reads its rows as they are; not the view's own object, which others read by.
        of: the view's own.
        texts: its rows, in order.
        version: the view's.
        incarnation: the view's.
        position: the state that its rows are of.
        since: the state of the turn that has begun the audit.
    """

    live: LiveView
    query: Query
    of: Query
    texts: Mapping[Key, str]
    version: int
    incarnation: str
    position: Position
    since: Position

    @classmethod
    def by(cls, live: LiveView, since: Position) -> Claim:
        """Return what a view says now."""
        return cls(
            live=live,
            query=live.query.twin(),
            of=live.query,
            texts={key: live.rows.view.rows[key] for key in live.rows.view.keys()},
            version=live.rows.view.version,
            incarnation=live.rows.incarnation,
            position=live.position,
            since=since,
        )

    def holds(self) -> bool:
        """Return whether the view still is what has said so: it has not begun anew since."""
        live = self.live
        is_same = live.query is self.of and live.rows.incarnation == self.incarnation
        return is_same and live.state is ViewState.READY and not live.is_dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How a claim differs from rows that were read.

    Attributes:
        differences: the rows that differ.
        keys: the keys of the primary keys that were read.
        order: the keys that were read, in order.
        unrepeatable: whether a second read of the same state has said something else again.
    """

    differences: Differences = field(default_factory=dict)
    keys: Mapping[Any, Key] = field(default_factory=dict)
    order: Sequence[Key] = ()
    unrepeatable: bool = False


def compare(claim: Claim, read: Callable[[], Rows]) -> Comparison:
    """Compare what a view says with what is read.

    Where something differs, it is read twice: what says something else each time, such as a random
    value, proves nothing.

    Args:
        claim: what the view says.
        read: reads its rows, each time from the same state.
    """
    shown = _shown(claim.query, read())
    texts = _texts(shown)
    differences = differences_of(claim.texts, texts)
    unrepeatable = False
    if differences:
        again = differences_of(texts, _texts(_shown(claim.query, read())))
        unrepeatable = any(kind is not Kind.LIST_ORDER for kind in again.values())
        differences = {key: kind for key, kind in differences.items() if key not in again}
    return Comparison(
        differences=differences, keys=shown.keys, order=[*texts], unrepeatable=unrepeatable
    )


def differences_of(said: Mapping[Key, str], read: Mapping[Key, str]) -> dict[Key, Kind]:
    """Return how rows that a view has differ from those that were read, both in order."""
    found = {key: Kind.MISSING for key in read if key not in said}
    found |= {key: Kind.SURPLUS for key in said if key not in read}
    for key, text in read.items():
        if said.get(key, text) != text:
            same = _without_order(said[key]) == _without_order(text)
            found[key] = Kind.LIST_ORDER if same else Kind.OUTDATED
    return found | dict.fromkeys(misplaced(list(said), list(read)) - found.keys(), Kind.MISPLACED)


def misplaced(said: Sequence[Key], read: Sequence[Key], but: Collection[Key] = ()) -> set[Key]:
    """Return the fewest rows that stand elsewhere, of those that both orders have.

    Args:
        said: one order.
        read: the other one.
        but: rows that are not looked at.
    """
    common = (set(said) & set(read)) - set(but)
    one, other = ([key for key in order if key in common] for order in (said, read))
    return moved_between(one, other) if one != other else set()


def _shown(query: Query, rows: Rows) -> Rows:
    return rows if query.window is None else Held(query.window).load(rows)


def _texts(rows: Rows) -> dict[Key, str]:
    return {key: row.text for key, row in rows.fresh.items()}


def _without_order(text: str) -> Any:
    """Return what is equal for rows that differ in nothing but the order of lists; the text itself
    where it is no JSON, as of model instances."""
    try:
        return _sorted(json.loads(text))
    except ValueError:
        return text


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(item) for name, item in value.items()}
    if isinstance(value, list):
        return sorted((_sorted(item) for item in value), key=lambda item: json.dumps(item))
    return value
