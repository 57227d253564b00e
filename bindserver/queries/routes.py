"""Which tables reach the rows of a query, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from django.db.models import Model

from bindserver.queries.backwards import Chains
from bindserver.queries.dependencies import Paths
from bindserver.queries.depends_on import NOTHING_BEHIND, Behind


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How changed rows of some tables lead to rows of a model.

    Attributes:
        tables: the tables.
        paths: by which lookups they reach the rows.
        chains: by which hops they do where lookups cannot tell.
        routes: equal for two whose rows are reached alike from changed rows.
        behind: what is followed in place of database views.
    """

    tables: frozenset[str]
    paths: Paths
    chains: Chains
    routes: str
    behind: Behind = NOTHING_BEHIND

    @classmethod
    def of(
        cls, model: type[Model], paths: Paths, chains: Chains, behind: Behind = NOTHING_BEHIND
    ) -> Self:
        """Return how rows of a model are reached.

        Args:
            model: whose rows they are.
            paths: by which lookups.
            chains: by which hops.
            behind: what is followed in place of database views.
        """
        ways = f"{sorted(paths.items())} {sorted(chains.items())}"
        return cls(
            tables=frozenset({model._meta.db_table, *paths}) - behind.views,
            paths=paths,
            chains=chains,
            routes=f"{model._meta.label} {ways}",
            behind=behind,
        )

    def standing_on(self, model: type[Model], behind: Behind) -> Self:
        """Return the same where what stands behind database views is followed in their place: a
        change there may be of any row."""
        own = {table: path for table, path in self.paths.items() if table not in behind.views}
        chains = {table: c for table, c in self.chains.items() if table not in behind.views}
        return self.of(model, {**own, **dict.fromkeys(behind.tables)}, chains, behind)
