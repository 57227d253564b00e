"""Views that a turn reads together, as the same was touched in them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from bindserver.cycle.invalidation import Touched
from bindserver.cycle.live_shape import LiveShape
from bindserver.cycle.live_view import LiveView


@dataclass(slots=True, eq=False)
class Group:
    """Views in which the same was touched, and which can be read together."""

    what: Touched
    lives: list[LiveView]

    @property
    def shape(self) -> LiveShape[LiveView]:
        """Theirs."""
        return self.lives[0].shape

    @property
    def family(self) -> object:
        """Their binding."""
        return self.lives[0].binding

    @property
    def expected(self) -> float:
        """How long reading them is going to take, in seconds."""
        keys = None if self.what.whole else len(self.what.pks)
        return self.shape.cost.of(keys, len(self.lives))

    @property
    def moved_at(self) -> float:
        """When one of them was read for the last time; when it was asked for, if never."""
        live = self.lives[0]
        return live.moved_at if live.loaded else live.used_at


Groups = dict[Hashable, Group]
