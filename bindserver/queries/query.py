"""A query: who it is, and what it has of its plan and of what renders its rows."""

from __future__ import annotations

import copy
import math
import secrets
from collections.abc import Hashable, Mapping
from typing import Any

from django.db.models import Model, QuerySet

from bindserver.bindings.binding import Binding
from bindserver.bindings.refreshing import refresh_of
from bindserver.conf import conf
from bindserver.engine import protocol
from bindserver.queries import windows
from bindserver.queries.backwards import Chains
from bindserver.queries.carried import carried
from bindserver.queries.columns import Columns
from bindserver.queries.dependencies import Paths
from bindserver.queries.depends_on import NOTHING_BEHIND, Behind
from bindserver.queries.identity import IdentityEncoder, short_digest
from bindserver.queries.plans import Plans
from bindserver.queries.read_columns import columns_read
from bindserver.queries.rendering import ModelRenderer, Renderer
from bindserver.queries.representation import representation_of
from bindserver.queries.rows import Form
from bindserver.queries.schedules import Schedule
from bindserver.queries.shapes import Shape
from bindserver.queries.ticking import Clock
from bindserver.queries.windows import Cut


class Query:
    """The query of one binding in one context: what it reads, and who it is.

    Making one asks the binding for its queryset, which may read the database.

    Args:
        binding: the binding, with its context.
        form: what its rows are read as.
        pristine: the same binding before anything was asked of it, if it has been asked already.
        plans: what is known of other queries; None where nothing is.

    Attributes:
        plan: how its rows are read, and those of all queries of its shape.
        slot: what tells it from these.
        representation: by what its rows are rendered.
        ahead: how many rows behind a window are read with it.
        identity: equal for two queries whose subscribers are sent the same, in this process.
        reach: which tables its own SQL reads, and how they reach its rows.
        carried: the rows of the instances that it carries along.
        refresh_seconds: after how long its rows are read whole, changed or not.
        fresh_until: until when what the binding has said is new enough, on the monotonic clock.
    """

    __slots__ = (
        "__weakref__",
        "_mark",
        "ahead",
        "carried",
        "fresh_until",
        "identity",
        "plan",
        "reach",
        "refresh_seconds",
        "representation",
        "slot",
    )

    def __init__(
        self,
        binding: Binding[Any],
        form: Form = Form.JSON,
        pristine: Binding[Any] | None = None,
        plans: Plans | None = None,
    ) -> None:
        pristine = binding.unasked() if pristine is None else pristine
        plans = Plans() if plans is None else plans
        self.refresh_seconds = refresh_of(binding)
        self.plan, self.slot = plan, _ = plans.plan_of(binding, form)
        self.representation = representation_of(plan, binding, pristine, self.refresh_seconds)
        self.ahead = windows.AHEAD
        self.reach = plan.reach
        self._identify(binding)
        self.carried = carried(self.representation.instances)
        self.fresh_until = math.inf

    def _identify(self, binding: Binding[Any]) -> None:
        """Note who it is."""
        slot = IdentityEncoder(self.alias).encode(list(self.slot), "slot")
        cut = self.plan.cut
        window = None if cut is None else [cut.start, cut.length]
        asked = [binding.event, protocol.canonical(binding.wire_params), slot, window]
        self.identity = short_digest([self.representation.family, *asked])
        self._mark = short_digest([self.representation.look, *asked])[:8]

    # What it has from its plan, and from what renders its rows.

    @property
    def model(self) -> type[Model]:
        """The model whose rows it reads."""
        return self.plan.model

    @property
    def alias(self) -> str:
        """The database."""
        return self.plan.alias

    @property
    def form(self) -> Form:
        """What its rows are read as."""
        return self.plan.form

    @property
    def max_rows(self) -> int:
        """How many rows it may have."""
        return self.plan.max_rows

    @property
    def columns(self) -> Columns | None:
        """What its rows have, where they are no model instances."""
        return self.plan.columns

    @property
    def common(self) -> QuerySet[Any]:
        """What it has in common with all queries of its shape."""
        return self.plan.common

    @property
    def whole(self) -> str | None:
        """Why it can only be read whole, or None."""
        return self.plan.whole

    @property
    def sortable(self) -> bool:
        """Whether rows bring sort values, as far as these are of their columns' types."""
        return self.plan.sortable

    @property
    def window(self) -> Cut | None:
        """Which of its rows are shown, where these are kept by keys; None for all of them."""
        return self.plan.window

    @property
    def clock(self) -> Clock:
        """What it has to do with the present time."""
        return self.plan.clock

    @property
    def fingerprint(self) -> str:
        """The same in every process, the rows' format with it, short, for cursors."""
        return self._mark.hex()

    @property
    def tables(self) -> frozenset[str]:
        """The tables that its own SQL reads."""
        return self.reach.tables

    @property
    def paths(self) -> Paths:
        """By which lookups these reach its rows."""
        return self.reach.paths

    @property
    def chains(self) -> Chains:
        """By which hops they do where lookups cannot tell."""
        return self.reach.chains

    @property
    def routes(self) -> str:
        """What is equal for two queries whose rows are reached alike from changed rows."""
        return self.reach.routes

    @property
    def behind(self) -> Behind:
        """What is followed in place of database views."""
        return self.reach.behind

    @property
    def key(self) -> str:
        """The name of the row field that holds the key."""
        return self.renderer.key

    @property
    def batch_key(self) -> Hashable:
        """What is equal for two queries of one shape, which can be read together; None without
        one."""
        return None if self.plan.shape is None else self.representation.family

    @property
    def unshared(self) -> tuple[str, ...]:
        """Why it is like no other query, in words; empty where all of it is known."""
        return self.plan.unshared + self.representation.unshared

    @property
    def serializer_class(self) -> type | None:
        """The class of its serializer."""
        return self.representation.serializer_class

    @property
    def says_all(self) -> bool:
        """Whether its identity says all there is to know of it: an equal query gives the same rows,
        whenever it was asked for."""
        return self.representation.says_all

    @property
    def renderer(self) -> Renderer | ModelRenderer:
        """What renders its rows."""
        return self.representation.renderer

    @property
    def shape(self) -> Shape:
        """What it has in common with queries that it can be read together with; there must be
        some."""
        assert self.plan.shape is not None
        return self.plan.shape

    @property
    def pulse(self) -> Schedule | None:
        """When its rows change by the passing of time; None where they do not, or none can tell."""
        return self.clock.pulse

    @property
    def refreshed_after(self) -> float | None:
        """After how many seconds its rows are read whole, changed or not: as its binding says, else
        as often as all is compared that cannot be followed."""
        if self.refresh_seconds is None and self.clock.unfollowed:
            return float(conf.COMPARE_SECONDS)
        return self.refresh_seconds

    @property
    def drifts(self) -> bool:
        """Whether a row that stays may come to look otherwise, and no log knows it."""
        shows = self.pulse is not None and self.pulse.shows
        return shows or self.refreshed_after is not None

    @property
    def only_now(self) -> bool:
        """Whether its rows are the present ones only in the moment in which they are read."""
        return bool(self.clock.unfollowed) and self.refresh_seconds is None

    def stand_on(self, behind: Behind) -> None:
        """Have what stands behind database views followed in their place: a change there may be of
        any row."""
        if behind is not NOTHING_BEHIND:
            self.reach = self.reach.standing_on(self.model, behind)

    def columns_read(self) -> Mapping[str, frozenset[str]]:
        """Return which columns of its tables its own SQL reads; nothing of a table where that may
        be any, as where somebody has written SQL."""
        summed = self.columns is not None and self.columns.aggregates is not None
        if not self.plan.is_own or self.behind is not NOTHING_BEHIND or summed:
            return {}
        queryset = self.queryset()
        if isinstance(self.renderer, Renderer) and self.representation.choice is None:
            queryset = self.renderer.narrowed(queryset)
        return columns_read(queryset, self.alias, self.tables)

    def slot_in_words(self) -> str:
        """Return the conditions that tell it from others of its shape; nothing without one."""
        return "" if self.plan.shape is None else self.shape.in_words(self.slot)

    def twin(self) -> Query:
        """Return the same for another thread: what one reads leaves nothing for the other."""
        twin = copy.copy(self)
        twin.representation = self.representation.twin()
        return twin

    def part(self) -> bool:
        """Become like no other query, if rows were read by another answer of the binding's than
        the one that told who it is; return whether that is so."""
        if not self._has_strayed():
            return False
        self.identity = short_digest([self.identity.hex(), secrets.token_hex(12)])
        return True

    def _has_strayed(self) -> bool:
        return self.representation.choice is not None and self.representation.choice.strayed

    def share(self) -> None:
        """Take note that others are sent its rows too, because they were proved to be the same."""
        if self.representation.choice is not None:
            self.representation.choice.shared = True

    def is_surely(self, other: Query) -> bool:
        """Return whether it gives the same rows as a query of the same identity that was asked for
        at another time."""
        if self._has_strayed() or other._has_strayed():
            return False
        return self.says_all and other.says_all and self.serializer_class is other.serializer_class

    def uncut(self) -> tuple[QuerySet[Any], int, int | None]:
        """Return its rows without a limit, in order; how many of these are left out before those
        that it shows, and up to which it shows them, None for all."""
        queryset = self.queryset()
        if self.window is not None:
            return queryset, self.window.start, self.window.stop
        whole = queryset.all()
        start, stop = whole.query.low_mark, whole.query.high_mark
        whole.query.clear_limits()
        return whole, start, stop

    def queryset(self) -> QuerySet[Any]:
        """Return its rows, in order."""
        return self.plan.of(self.slot)

    def render_anew(self, *, together: bool = False) -> Renderer | ModelRenderer:
        """Return what renders the rows of one load or step, as DRF would make it for a request."""
        choice = self.representation.choice
        if choice is None or not isinstance(self.renderer, Renderer):
            return self.renderer
        return self.renderer.anew(*choice.anew(together=together))
