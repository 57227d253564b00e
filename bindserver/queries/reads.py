"""What asking a binding has read, and how the rows of it lead back to the user who asked.

Where a statement says whose rows it wants, as `Membership.objects.filter(user=self.user)` does, the
rows of others have no say in what it answers. So a row that is written concerns only those users
that it leads to, or led to before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from django.db.models import Model

from bindserver.conf import conf
from bindserver.database.snapshot import guarded, vouch
from bindserver.engine.changes import Change
from bindserver.queries.backwards import Chain
from bindserver.queries.depends_on import Behind
from bindserver.queries.following import Following
from bindserver.queries.learning import LearningRecorder

Chains = frozenset[Chain]

NO_CHAINS: Mapping[str, Chains] = MappingProxyType({})
"""There are very many of those that read nothing."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A user's row, which statements may name.

    Attributes:
        model: its model.
        pk: its key.
    """

    model: type[Model]
    pk: Hashable


@dataclass(frozen=True, slots=True)
class Reads:
    """What asking a binding has read.

    Attributes:
        tables: those of which any row may have had a say.
        own: of other tables, how their rows lead to the row of the user who asked.
        user: that row; None where nothing leads to it.
    """

    tables: frozenset[str] = frozenset()
    own: Mapping[str, Chains] = field(default_factory=lambda: NO_CHAINS)
    user: Asking | None = None

    def __bool__(self) -> bool:
        return bool(self.tables or self.own)

    def all_tables(self) -> frozenset[str]:
        """Return every table that was read."""
        return self.tables.union(self.own) if self.own else self.tables

    def with_others(self, other: Reads) -> Reads:
        """Return both of what was read, asked for by one user."""
        if not other or other == self:
            return self
        if not self:
            return other
        if self.own and other.own and self.user != other.user:
            return Reads(self.all_tables() | other.all_tables())
        tables = self.tables | other.tables
        own = {
            table: self.own.get(table, frozenset()) | other.own.get(table, frozenset())
            for table in {*self.own, *other.own} - tables
        }
        return Reads(tables, own or NO_CHAINS, (self.user or other.user) if own else None)


class ReadsRecorder(LearningRecorder):
    """A recorder of what asking a binding reads.

    Args:
        user: who asks, with a row in the database that is watched; None for anybody else.
    """

    def __init__(self, user: Model | None) -> None:
        super().__init__()
        self._user = None if user is None or user.pk is None else user

    def asking(self) -> AbstractContextManager[None]:
        """Take what is read meanwhile for what the user's binding asks."""
        return nullcontext() if self._user is None else self.asked_by(self._user)

    def reads(self, behind: Behind) -> Reads:
        """Return what was read.

        Args:
            behind: what is followed in place of database views.
        """
        if not self.tables:
            return NO_READS
        known = self.ways() if self._user is not None else {}
        own = {
            table: frozenset(chains)
            for table, chains in known.items()
            if chains and table in self.tables and table not in behind.views
        }
        tables = behind.instead(self.tables - own.keys())
        own = {table: chains for table, chains in own.items() if table not in tables}
        if self._user is None or not own:
            return Reads(tables)
        model = self._user._meta.concrete_model or type(self._user)
        return Reads(tables, _shared(frozenset(own.items())), Asking(model, self._user.pk))


NO_READS = Reads()


@lru_cache(maxsize=1000)
def _shared(own: frozenset[tuple[str, Chains]]) -> Mapping[str, Chains]:
    """Return these by table: one object for all users whose bindings ask the same."""
    return dict(own)


class Users:
    """Tells which users changed rows lead to, inside a snapshot.

    Args:
        alias: the database.
        told: tells the columns of a table whose old values every change tells.
    """

    def __init__(self, alias: str, told: Callable[[str], Collection[str]]) -> None:
        self._alias = alias
        self._told = told

    def led_to(self, change: Change, model: type[Model], chains: Chains) -> set[Any] | None:
        """Return the keys of the users that changed rows lead to, or have led to.

        Args:
            change: the rows.
            model: the users'.
            chains: the ways to them.

        Returns:
            None for any: it cannot be told, or not now. Whoever is asked again then meets what is
            in the way, as a failure of their own.
        """
        if change.pks is None:
            return None
        following = Following(model, self._alias, conf.SYNC_ROWS)
        try:
            with guarded(self._alias):
                found = following.reached(change, chains, self._told(change.table))
            vouch(self._alias, {hop.nearer for chain in chains for hop in chain} | {change.table})
        except Exception:  # fields of the project's own may raise anything
            return None
        return found
