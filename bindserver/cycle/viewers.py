"""Viewers: who sees which view, by which binding, and when that is to be asked again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bindserver.bindings.binding import Binding
from bindserver.bindings.registry import BindingClass
from bindserver.cycle.figures import EventFigures
from bindserver.cycle.inbox import Caller, SubscriptionRef
from bindserver.cycle.live_view import LiveView
from bindserver.cycle.one_or_many import FewItems
from bindserver.cycle.owners import Owner
from bindserver.engine.changes import Position
from bindserver.queries.carried import NOTHING, Carried
from bindserver.queries.reads import Reads
from bindserver.queries.rows import Form


class ViewerKey(NamedTuple):
    """What is equal for whoever asks alike.

    Attributes:
        binding: the class.
        context: tells who asks, and with which params.
        form: what rows are read as.
        trusted: whether permissions are asked elsewhere, or not at all.
        origin: the binding that was asked, where its class alone does not say what it is.
    """

    binding: BindingClass
    context: bytes
    form: Form
    trusted: bool
    origin: Binding[Any] | None


@dataclass(slots=True, kw_only=True, eq=False)
class Viewer:
    """A binding in one context: who asks, with which params, and the view that they see.

    Attributes:
        key: what is equal for whoever asks alike.
        given: the params, not checked: names and values by turns, as there are very many viewers.
        reads: what the binding read to make its queryset; when a row of that changes, or one that
            the view's query carries along, it is asked again.
        own: the rows that say who asks; the same holds for them.
        asked: the state that it was asked in.
        refs: the subscriptions that it serves, and in whose share each counts.
    """

    key: ViewerKey
    caller: Caller
    given: tuple[Any, ...]
    live: LiveView
    reads: Reads
    own: Carried = NOTHING
    asked: Position
    refs: FewItems[SubscriptionRef, Owner | None] = field(default_factory=FewItems)

    def params(self) -> dict[str, Any]:
        """Return the params as they were given."""
        return dict(zip(self.given[::2], self.given[1::2], strict=True))

    @property
    def figures(self) -> EventFigures:
        """Those of the event that it is subscribed to by."""
        return self.live.figures

    @property
    def binding(self) -> BindingClass:
        """The class of the binding."""
        return self.key.binding

    def is_served(self) -> bool:
        """Return whether anybody is subscribed, or waits for rows, as this viewer."""
        return bool(self.refs) or any(
            reading.viewer is self and not reading.has_left for reading in self.live.readers
        )

    def tables(self) -> frozenset[str]:
        """Return the tables in which a change may have it asked again."""
        return self.own.tables | self.live.query.carried.tables | self.reads.all_tables()

    def depends(self) -> bool:
        """Return whether there is anything that it would be asked again for."""
        return bool(self.reads or self.own.tables or self.live.query.carried.tables)
