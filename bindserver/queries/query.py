"""The only reads of users' tables: one query shape, in full, by keys, or its keys in order."""

from __future__ import annotations

import copy
import math
import secrets
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from django.core.exceptions import ValidationError
from django.db import DatabaseError, InterfaceError, OperationalError
from django.db.models import Model, QuerySet

from bindserver.bindings.binding import Binding
from bindserver.bindings.refreshing import refresh_of
from bindserver.conf import conf
from bindserver.database.pacing import Pacer
from bindserver.engine import protocol
from bindserver.engine.changes import Change
from bindserver.exceptions import TooManyRows
from bindserver.queries import windows
from bindserver.queries.backwards import Chains
from bindserver.queries.behind import NOTHING_BEHIND, Behind
from bindserver.queries.carried import Carried
from bindserver.queries.columns import Columns
from bindserver.queries.dependencies import Paths, Recorder
from bindserver.queries.following import Following
from bindserver.queries.identity import IdentityEncoder, digest
from bindserver.queries.lifetimes import renewed
from bindserver.queries.plan import reach
from bindserver.queries.plans import Plans
from bindserver.queries.read_columns import columns_read
from bindserver.queries.rendering import ModelRenderer, Renderer
from bindserver.queries.representation import representation_of
from bindserver.queries.row_reader import RowReader, batches
from bindserver.queries.rows import OURS, Form, OverBudget, Rows, RowsBySlot
from bindserver.queries.shapes import Shape
from bindserver.queries.slots import ALL, Slot
from bindserver.queries.ticking import Clock, Pulse
from bindserver.queries.windows import Cut

KEYS_PER_QUERY = 500
SLOTS_PER_QUERY = 500
P = ParamSpec("P")
R = TypeVar("R")


def _as_asked(
    method: Callable[Concatenate[Query, P], R],
) -> Callable[Concatenate[Query, P], R]:
    """Have a query read in the language and the time zone that its binding has set."""

    @wraps(method)
    def read(query: Query, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with query.representation.surroundings.around():
            query.plan.demand_same_sql()
            return method(query, *args, **kwargs)

    return read


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
        identity: equal for two queries whose subscribers are sent the same, in this process.
        fingerprint: the same in every process, the rows' format with it, short, for cursors.
        tables: the tables that its own SQL reads.
        paths: by which lookups these reach its rows.
        chains: by which hops they do where lookups cannot tell.
        routes: equal for two queries whose rows are reached alike from changed rows.
        carried: the rows of the instances that it carries along.
        behind: what is followed in place of database views.
        refresh_seconds: after how long its rows are read whole, changed or not.
        fresh_until: until when what the binding has said is new enough, on the monotonic clock.
    """

    __slots__ = (
        "__weakref__",
        "_ahead",
        "behind",
        "carried",
        "chains",
        "fingerprint",
        "fresh_until",
        "identity",
        "paths",
        "plan",
        "refresh_seconds",
        "representation",
        "routes",
        "slot",
        "tables",
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
        self._ahead = windows.AHEAD
        self.paths: Paths = plan.paths
        self.chains: Chains = plan.chains
        self.tables, self.routes = plan.tables, plan.routes
        self._identify(binding)
        self.carried = Carried(self.representation.instances)
        self.behind = NOTHING_BEHIND
        self.fresh_until = math.inf

    def _identify(self, binding: Binding[Any]) -> None:
        """Note who it is."""
        slot = IdentityEncoder(self.alias).encode(list(self.slot), "slot")
        cut = self.plan.cut
        window = None if cut is None else [cut.start, cut.length]
        asked = [binding.event, protocol.canonical(binding.wire_params), slot, window]
        self.identity = digest([self.representation.family, *asked])
        self.fingerprint = digest([self.representation.look, *asked])[:16]

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
    def key(self) -> str:
        """The name of the row field that holds the key."""
        return self._renderer.key

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
    def _renderer(self) -> Renderer | ModelRenderer:
        return self.representation.renderer

    @property
    def _shape(self) -> Shape:
        assert self.plan.shape is not None
        return self.plan.shape

    @property
    def pulse(self) -> Pulse | None:
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
        if behind is NOTHING_BEHIND:
            return
        self.behind = behind
        own = {table: path for table, path in self.paths.items() if table not in behind.views}
        self.chains = {table: c for table, c in self.chains.items() if table not in behind.views}
        self.paths = {**own, **dict.fromkeys(behind.tables)}
        tables, self.routes = reach(self.model, self.paths, self.chains)
        self.tables = tables - behind.views

    def columns_read(self) -> Mapping[str, frozenset[str]]:
        """Return which columns of its tables its own SQL reads; nothing of a table where that may
        be any, as where somebody has written SQL."""
        summed = self.columns is not None and self.columns.aggregates is not None
        if not self.plan.is_own or self.behind is not NOTHING_BEHIND or summed:
            return {}
        queryset = self._queryset()
        if isinstance(self._renderer, Renderer) and self.representation.choice is None:
            queryset = self._renderer.narrowed(queryset)
        return columns_read(queryset, self.alias, self.tables)

    def slot_in_words(self) -> str:
        """Return the conditions that tell it from others of its shape; nothing without one."""
        return "" if self.plan.shape is None else self._shape.in_words(self.slot)

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
        self.identity = digest([self.identity, secrets.token_hex(12)])
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
        queryset = self._queryset()
        if self.window is not None:
            return queryset, self.window.start, self.window.stop
        whole = queryset.all()
        start, stop = whole.query.low_mark, whole.query.high_mark
        whole.query.clear_limits()
        return whole, start, stop

    def _queryset(self) -> QuerySet[Any]:
        """Return its rows, in order."""
        return self.plan.of(self.slot)

    def _anew(self, *, together: bool = False) -> Renderer | ModelRenderer:
        """Return what renders the rows of one load or step, as DRF would make it for a request."""
        choice = self.representation.choice
        if choice is None or not isinstance(self._renderer, Renderer):
            return self._renderer
        return self._renderer.anew(*choice.anew(together=together))

    @_as_asked
    def load(self, recorder: Recorder, pacer: Pacer, budget: int | None = None) -> Rows:
        """Read every row, in order.

        Args:
            recorder: notes what is read.
            pacer: rests, and stops what takes too long.
            budget: how many rows to read here at most.

        Raises:
            OverBudget: there are more rows than `budget`.
            TooManyRows: there are more than the binding allows.
            QueryTimeout: it took too long.
        """

        def load() -> Rows:
            queryset = renewed(self._queryset())
            if self.window is not None:
                queryset = self.window.of(queryset)
            reader = RowReader(self.plan, recorder, pacer)
            return reader.load(queryset, ALL, self._anew(), budget)[()]

        rows = self._renderer.leftovers.whole(load)
        if len(rows.fresh) > self.max_rows:
            raise TooManyRows(self.max_rows)
        return rows

    @_as_asked
    def load_held(self, recorder: Recorder, pacer: Pacer, budget: int | None = None) -> Rows:
        """Read what a view is to hold: every row, or, with a limit, the rows that are shown, some
        before and behind them, and the keys of all before.

        Raises:
            Exception: the same as `load`. A row that is not shown, and fails, is nobody's business:
                then only those are read that are.
        """
        if self.window is None:
            return self.load(recorder, pacer, budget)
        load = partial(self._load_cut, self.window, recorder, pacer, budget)
        try:
            return self._renderer.leftovers.whole(load)
        except (*OURS, OperationalError, InterfaceError):
            raise
        except Exception as problem:
            if not self._ahead:
                raise
            self._ahead = 0
            if isinstance(problem, DatabaseError):
                raise  # nothing more can be read in this snapshot, perhaps
        return self._renderer.leftovers.whole(load)

    def _load_cut(self, window: Cut, recorder: Recorder, pacer: Pacer, budget: int | None) -> Rows:
        behind = max(0, window.start - windows.BEHIND) if self._ahead else window.start
        queryset, stop = renewed(self._queryset()), window.stop + self._ahead
        reader = RowReader(self.plan, recorder, pacer)
        if budget is not None and behind > budget:
            raise OverBudget
        before = reader.look(queryset[:behind], ALL)[()] if behind else Rows()
        some = queryset[behind:stop]
        rows = reader.load(some, ALL, self._anew(), budget)[()]
        rows.sorts = before.sorts
        count = len(rows.sorts) + len(rows.keys)
        if min(window.length, count - window.start) > self.max_rows:
            raise TooManyRows(self.max_rows)
        rows.ended = count < stop
        return rows

    @_as_asked
    def load_together(
        self,
        wanted: Collection[Slot],
        recorder: Recorder,
        pacer: Pacer,
        budget: int | None = None,
    ) -> RowsBySlot:
        """Read every row of several slots of its shape, each slot's rows in order.

        Args:
            wanted: the slots.
            recorder: as for `load`.
            pacer: as for `load`.
            budget: how many rows to read here at most, of all slots together.

        Raises:
            NotDealt: it cannot be told which slot a row belongs to.
            Exception: the same as `load`; a slot may have as many rows as the binding allows.
        """
        load = partial(self._load_together, wanted, recorder, pacer, budget)
        return self._renderer.leftovers.whole(load)

    def _load_together(
        self, wanted: Collection[Slot], recorder: Recorder, pacer: Pacer, budget: int | None
    ) -> RowsBySlot:
        rows_by_slot: dict[Slot, Rows] = {}
        reading, reader = self._anew(together=True), RowReader(self.plan, recorder, pacer)
        for some in batches(list(wanted), SLOTS_PER_QUERY):
            left = (
                None
                if budget is None
                else budget - sum(rows.count for rows in rows_by_slot.values())
            )
            recorder.expect_own()
            slots = self._shape.slots(some)
            rows_by_slot |= reader.load(renewed(self._shape.among(some)), slots, reading, left)
        return rows_by_slot

    @_as_asked
    def read(self, pks: Collection[Any], recorder: Recorder, pacer: Pacer) -> Rows:
        """Read the rows of the query that have these primary keys, in no order.

        Raises:
            Untried: they leave set what the view's other rows must be tried in: read it whole.
        """
        rows: dict[Slot, Rows] = {(): Rows()}
        reading, queryset = self._anew(), renewed(self._queryset())
        reader = RowReader(self.plan, recorder, pacer)
        for some in batches(sorted(pks, key=repr), KEYS_PER_QUERY):
            recorder.expect_own(queryset)
            reader.add(rows, queryset.filter(pk__in=some), ALL, reading)
        self._renderer.leftovers.insist()
        return rows[()]

    @_as_asked
    def read_together(
        self, pks: Collection[Any], wanted: Collection[Slot], recorder: Recorder, pacer: Pacer
    ) -> RowsBySlot:
        """Read the rows of several slots of its shape that have these primary keys, in no order.

        Raises:
            NotDealt: it cannot be told which slot a row belongs to.
            Untried: as for `read`.
        """
        rows_by_slot: dict[Slot, Rows] = {}
        reading, reader = self._anew(together=True), RowReader(self.plan, recorder, pacer)
        for some in batches(sorted(pks, key=repr), KEYS_PER_QUERY):
            recorder.expect_own()
            slots = self._shape.slots(wanted, some)
            # More slots than keys are not worth naming: rows of others are read, and left.
            few = len(wanted) < (SLOTS_PER_QUERY if self._shape.is_joined else len(some))
            common = renewed(self._shape.among(wanted) if few else self._shape.queryset)
            recorder.expect_own(common)
            reader.add(rows_by_slot, common.filter(pk__in=some), slots, reading)
        self._renderer.leftovers.insist()
        return rows_by_slot

    @property
    def looks_first(self) -> bool:
        """Whether rows are looked at before they are rendered, since some of them are not to be
        shown: where code of the project's own renders them, which may take long or fail."""
        return not isinstance(self._renderer, Renderer) or not self._renderer.is_plain()

    @_as_asked
    def look(
        self,
        pks: Collection[Any],
        wanted: Collection[Slot] | None,
        recorder: Recorder,
        pacer: Pacer,
    ) -> RowsBySlot:
        """Read which rows have these primary keys, and their sort values, and render none.

        Args:
            pks: the primary keys.
            wanted: slots of its shape; None for its own rows alone, as those of slot `()`.
            recorder: notes what is read.
            pacer: rests, and stops what takes too long.
        """
        queryset, slots = self._queryset(), ALL
        rows_by_slot: dict[Slot, Rows] = {}
        reader = RowReader(self.plan, recorder, pacer)
        for some in batches(sorted(pks, key=repr), KEYS_PER_QUERY):
            if wanted is not None:
                recorder.expect_own()
                queryset, slots = self._shape.queryset, self._shape.slots(wanted, some)
            found = reader.look(queryset.filter(pk__in=some).order_by(), slots)
            for slot, rows in found.items():
                rows_by_slot.setdefault(slot, Rows()).sorts.update(rows.sorts)
        return rows_by_slot

    @_as_asked
    def pks_among(self, pks: Collection[Any], pacer: Pacer) -> list[Any]:
        """Return some primary keys in the query's order."""
        pacer.pause()
        queryset = self._queryset().filter(pk__in=list(pks))
        return list(dict.fromkeys(queryset.values_list("pk", flat=True)))

    @_as_asked
    def ordered_pks(self, pacer: Pacer) -> list[Any]:
        """Read the primary keys of all rows in the query's order."""
        pks: dict[Any, None] = {}
        for pk in self.plan.pks_of(self._queryset()):
            pks[pk] = None
            pacer.pause()
        return list(pks)

    @_as_asked
    def pks_before(
        self, pks: Collection[Any], recorder: Recorder, pacer: Pacer
    ) -> Mapping[Any, Any] | None:
        """Return the primary key just before each of some rows in the query's order, None for the
        first row; None where all keys are to be listed instead."""
        neighbours = self.plan.neighbours(self.slot)
        return None if neighbours is None else neighbours.before(pks, recorder, pacer)

    def primary_keys(self, raw: Iterable[Any]) -> set[Any] | None:
        """Return primary keys as Python has them, None if one cannot be told."""
        to_python = self.model._meta.pk.to_python
        try:
            return {to_python(value) for value in raw}
        except ValidationError:
            return None

    def reached(self, change: Change, told: Collection[str], budget: int) -> set[Any] | None:
        """Return the primary keys of rows that changed rows of a table may reach, or have reached.

        Args:
            change: the rows, by keys.
            told: the table's columns whose old values are told by every change.
            budget: how many rows may be reached.

        Returns:
            None when any row may be reached, or more than `budget`.
        """
        raw, lookups = change.pks, self.paths.get(change.table)
        if raw is None or len(raw) > budget:
            return None
        if lookups is None or change.table == self.model._meta.db_table:
            chains = self.chains.get(change.table)
            following = Following(self.model, self.alias, budget)
            return None if chains is None else following.reached(change, chains, told)
        found: set[Any] = set()
        base = QuerySet[Any](self.model, using=self.alias)  # managers may hide rows
        for lookup in lookups:
            for some in batches(list(raw), KEYS_PER_QUERY):
                reached = base.filter(**{f"{lookup}__in": some}).values_list("pk", flat=True)
                found.update(reached[: budget + 1])
                if len(found) > budget:
                    return None
        return found
