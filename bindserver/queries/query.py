"""The only reads of users' tables: one query shape, in full, by keys, or its keys in order."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DatabaseError, InterfaceError, OperationalError
from django.db.models import Model, QuerySet

from bindserver.bindings.binding import Binding, alias_of
from bindserver.bindings.refreshing import refresh_of
from bindserver.bindings.serializers import held_in
from bindserver.conf import conf
from bindserver.database.base import NotSorted
from bindserver.database.pacing import Pacer
from bindserver.engine import protocol
from bindserver.engine.changes import Change, Key
from bindserver.engine.ordering import Sort
from bindserver.engine.view import Fresh
from bindserver.exceptions import (
    BindingError,
    BindserverError,
    Overtaken,
    QueryTimeout,
    TooManyRows,
)
from bindserver.queries import windows
from bindserver.queries.aggregation import statement_of, told_of
from bindserver.queries.backwards import Chains
from bindserver.queries.behind import NOTHING_BEHIND, Behind, tables_behind
from bindserver.queries.carried import Carried, instances_in
from bindserver.queries.column_rendering import (
    ColumnsModelRenderer,
    ColumnsReader,
    ColumnsRenderer,
)
from bindserver.queries.columns import columns_of, why_multiplied
from bindserver.queries.compiler import Directions, compiled, located, ordered, why_whole
from bindserver.queries.dependencies import Paths, Recorder, tables_in
from bindserver.queries.evaluation import says_all
from bindserver.queries.expressions import own_sql
from bindserver.queries.following import Following
from bindserver.queries.identity import IdentityEncoder, Statement, digest
from bindserver.queries.lifetimes import SerializerChoice, renewed
from bindserver.queries.neighbours import neighbours_of
from bindserver.queries.read_columns import columns_read
from bindserver.queries.rendering import (
    ModelRenderer,
    Renderer,
    Row,
    attributes_of,
    serializer_identity,
)
from bindserver.queries.serializer_traits import is_own
from bindserver.queries.shapes import ALL, Shape, Slot, Slots, shape_of, undealt
from bindserver.queries.ticking import NO_CLOCK, Pulse, clock_of
from bindserver.queries.values import path_of
from bindserver.queries.windows import Cut, cut_of, why_read_again
from bindserver.user_code import Surroundings

KEYS_PER_QUERY = 500
SLOTS_PER_QUERY = 500
FURTHER = 8
"""Where joins bring rows several times, so many times more are read to find all."""

P = ParamSpec("P")
R = TypeVar("R")


class Form(Enum):
    """What rows are read as: JSON for subscribers, or model instances for Python."""

    JSON = "json"
    MODELS = "models"


class OverBudget(BindserverError):
    """There are more rows than were to be read here."""


OURS = (OverBudget, Overtaken, QueryTimeout, TooManyRows)
"""What is said of a read as a whole, and not of one of its rows."""


@dataclass(slots=True)
class Rows:
    """Rows that were read, in the query's order.

    Attributes:
        fresh: what a view takes, by key.
        keys: the key of each primary key.
        instances: the model instances, by key, where they are wanted.
        count: how often a row was read: joins may bring one twice.
        sorts: of rows that were looked at, and not rendered: their sort values, by primary key, in
            order; they stand before the others.
        ended: whether no rows are behind those of a window.
        listed: those of which the database was asked in which order they stand, so.
    """

    fresh: dict[Key, Fresh] = field(default_factory=dict)
    keys: dict[Hashable, Key] = field(default_factory=dict)
    instances: dict[Key, Model] = field(default_factory=dict)
    count: int = 0
    sorts: dict[Hashable, Sort | None] = field(default_factory=dict)
    ended: bool = False
    listed: Sequence[Hashable] = ()

    def places(self) -> dict[Hashable, Sort | None]:
        """Return the sort values of all rows by primary key, in order."""
        return {**self.sorts, **{pk: self.fresh[key].sort for pk, key in self.keys.items()}}

    def copy(self, pk: Hashable, other: Rows) -> None:
        """Take a row of others, if it is there and was rendered."""
        key = other.keys.get(pk)
        if key is None:
            return
        self.keys[pk], self.fresh[key] = key, other.fresh[key]
        if key in other.instances:
            self.instances[key] = other.instances[key]

    def add(self, row: Row, sort: tuple[Any, ...] | None) -> None:
        """Take a row.

        Raises:
            BindingError: another row has the same key on the wire, or this one came before and
                says something else.
        """
        if row.key in self.fresh:
            self._see_same(row)
        self.fresh[row.key] = Fresh(row.text, sort)
        self.keys[row.pk] = row.key
        self.count += 1
        if row.instance is not None:
            self.instances[row.key] = row.instance

    def _see_same(self, row: Row) -> None:
        if row.pk not in self.keys:
            raise BindingError(
                f"Two rows have the key {row.key!r}, and only one of them is {row.pk!r}: the field "
                "that holds the key renders both alike."
            )
        if row.instance is None and self.fresh[row.key].text != row.text:
            raise BindingError(
                f"A join brings the row {row.key!r} more than once, and it says something else "
                "each time. Annotate with an aggregate or a Subquery in place of a joined value."
            )


RowsBySlot = Mapping[Slot, Rows]
"""The rows of each slot; one without rows need not be there."""


def _as_asked(
    method: Callable[Concatenate[Query, P], R],
) -> Callable[Concatenate[Query, P], R]:
    """Have a query read in the language and the time zone that its binding has set."""

    @wraps(method)
    def read(query: Query, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with query.surroundings.around():
            query._demand_same_sql()
            return method(query, *args, **kwargs)

    return read


class Query:
    """The query of one binding in one context: what it reads, and who it is.

    Making one asks the binding for its queryset, which may read the database.

    Args:
        binding: the binding, with its context.
        form: what its rows are read as.
        pristine: the same binding before anything was asked of it, if it has been asked already.

    Attributes:
        identity: equal for two queries whose subscribers are sent the same, in this process.
        fingerprint: the same in every process, the rows' format with it, short, for cursors.
        unshared: why it is like no other query, in words; empty where all of it is known.
        key: the name of the row field that holds the key.
        sortable: whether rows bring sort values, as far as these are of their columns' types.
        whole: why it can only be read whole, or None.
        window: which of its rows are shown, where these are kept by keys; None for all of them.
        tables: the tables that its own SQL reads.
        routes: equal for two queries whose rows are reached alike from changed rows.
        batch_key: equal for two queries of one shape, which can be read together; None without one.
        slot: what tells it from others of one batch key.
        instances: what it carries along, which its SQL does not read.
        carried: the rows that these are.
        behind: what is followed in place of database views.
        refresh_seconds: after how long its rows are read whole, changed or not.
        fresh_until: until when what the binding has said is new enough, on the monotonic clock.
        common: what it has in common with all queries of its shape.
        clock: what it has to do with the present time.
        surroundings: the language and the time zone that the binding has set.
        says_all: whether its identity says all there is to know of it: an equal query gives the
            same rows, whenever it was asked for.
    """

    def __init__(
        self,
        binding: Binding[Any],
        form: Form = Form.JSON,
        pristine: Binding[Any] | None = None,
    ) -> None:
        pristine = binding.unasked() if pristine is None else pristine
        self.form = form
        self.alias: str = alias_of(binding)
        self.max_rows: int = binding.max_rows or conf.MAX_ROWS
        self._cut = cut_of(binding, self.max_rows)
        self.refresh_seconds = refresh_of(binding)
        queryset = located(binding, self.alias)
        self.model: type[Model] = queryset.model
        self.columns = columns_of(binding, queryset)
        self._directions, queryset = self._in_order(queryset, binding)
        self._neighbours = None
        self.whole = why_whole(queryset, None)
        if self.columns is None:
            self._neighbours = neighbours_of(queryset, self.alias)
        else:
            self.whole = self.whole or self.columns.whole
        self.whole = self.whole or self._why_read_again(queryset)
        self.sortable = self._directions is not None and not self.whole
        self.window = None if self.whole else self._cut
        self._ahead = windows.AHEAD
        cut = self._cut is not None and self.window is None
        self._queryset = self._cut.of(queryset) if self._cut and cut else queryset
        self._compile(queryset)
        columns = [name for name, _, _ in self._directions or ()] if self.sortable else []
        encoder = IdentityEncoder(self.alias)
        self._format: list[Any] = []
        self._code: list[Any] = []
        self._renderer: Renderer | ModelRenderer
        self._serving: SerializerChoice | None = None
        self.serializer_class: type | None = None
        self.instances = instances_in(queryset)
        self.says_all = says_all(queryset)
        if form is Form.JSON:
            made = self._render_json(binding, pristine, columns, encoder)
        else:
            self._renderer = self._model_renderer(columns)
            made = []
        made += told_of(self.columns, encoder)
        self.surroundings = Surroundings.now()  # as the binding has left them
        self._identify(binding, [form.value, *made], encoder)
        self.carried = Carried(self.instances)
        self.behind = NOTHING_BEHIND
        self.fresh_until = math.inf
        self.key = self._renderer.key

    def _why_read_again(self, queryset: QuerySet[Any]) -> str | None:
        """Return why its limit, if it has one, cannot be kept by keys."""
        if self._cut is None:
            return None
        if self.columns is not None or clock_of(queryset, "") is not NO_CLOCK:
            return "it has a limit"
        is_ordered = self._directions is not None or self._neighbours is not None
        return why_read_again(queryset, is_ordered=is_ordered)

    def _compile(self, queryset: QuerySet[Any]) -> None:
        """Find the shape and what the query reads: shape and slot together say the same as it."""
        self._shape: Shape | None = None
        self.slot: Slot = ()
        if not self.whole and (found := self._shape_of(queryset)) is not None:
            self._shape, self.slot = found
        self.common = common = queryset if self._shape is None else self._shape.queryset
        self._statement, self.paths, self.chains = self._compiled(common)
        self.clock = clock_of(common, self._statement.sql)
        summed = self.columns is not None and self.columns.aggregates is not None
        self._own_sql = common if summed or own_sql(common.query) is not None else None
        self._told = None if self._own_sql is None else self._told_by(self._statement)
        if not self._statement.sql:
            self._shape, self.slot = None, ()  # it matches nothing, whatever its slot
        self._reads(self.paths)

    def _reads(self, paths: Paths) -> None:
        """Take how tables reach its rows."""
        self.paths = paths
        self.tables = frozenset({self.model._meta.db_table, *paths})
        ways = f"{sorted(paths.items())} {sorted(self.chains.items())}"
        self.routes = f"{self.model._meta.label} {ways}"

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
        self._reads({**own, **dict.fromkeys(behind.tables)})
        self.tables -= behind.views

    def columns_read(self) -> Mapping[str, frozenset[str]]:
        """Return which columns of its tables its own SQL reads; nothing of a table where that may
        be any, as where somebody has written SQL."""
        summed = self.columns is not None and self.columns.aggregates is not None
        if self._own_sql is not None or self.behind is not NOTHING_BEHIND or summed:
            return {}
        queryset = self._queryset
        if isinstance(self._renderer, Renderer) and self._serving is None:
            queryset = self._renderer.narrowed(queryset)
        return columns_read(queryset, self.alias, self.tables)

    def slot_in_words(self) -> str:
        """Return the conditions that tell it from others of its shape; nothing without one."""
        return "" if self._shape is None else self._shape.in_words(self.slot)

    def _shape_of(self, queryset: QuerySet[Any]) -> tuple[Shape, Slot] | None:
        # What is read beside a model's row would be a part of the instance that Python is given.
        found = shape_of(queryset, self.alias, joined=self.form is Form.JSON)
        return undealt(queryset) if found is None and self._cut is not None else found

    def _compiled(self, queryset: QuerySet[Any]) -> tuple[Statement, Paths, Chains]:
        """Return the SQL that is read, and how its tables reach the rows."""
        columns = self.columns
        if columns is not None and columns.aggregates is not None:
            statement = statement_of(queryset, columns.aggregates)
            tables = {self.model._meta.db_table, *tables_in(statement.sql)}
            return statement, dict.fromkeys(tables), {}
        statement, paths, chains = compiled(queryset, self.alias, self.model)
        if columns is not None and columns.whole is not None:
            # A row of several rows of the model is nobody's by one of their keys.
            return statement, dict.fromkeys(paths), {}
        return statement, paths, chains

    def _in_order(
        self, queryset: QuerySet[Any], binding: Binding[Any]
    ) -> tuple[Directions | None, QuerySet[Any]]:
        """Return the order, if Python can repeat it, and the rows in it.

        Raises:
            BindingError: the order would make other rows.
        """
        if self.columns is not None and self.columns.aggregates is not None:
            return None, queryset
        directions, queryset = ordered(queryset, binding.ordering, self.alias)
        if self.columns is not None and (problem := why_multiplied(queryset, self.alias)):
            raise BindingError(f"{type(binding).__name__}: {problem}.")
        return directions, queryset

    def _model_renderer(self, columns: Sequence[str]) -> ModelRenderer:
        if self.columns is None:
            return ModelRenderer(self.model, columns)
        return ColumnsModelRenderer(self.model, columns, self.columns)

    def _json_renderer(
        self, serializer_class: type[Any], context: Mapping[str, Any], columns: Sequence[str]
    ) -> Renderer:
        if self.columns is None:
            return Renderer(self.model, serializer_class, context, columns)
        return ColumnsRenderer(self.model, serializer_class, context, columns, self.columns)

    def _render_json(
        self,
        binding: Binding[Any],
        pristine: Binding[Any],
        columns: Sequence[str],
        encoder: IdentityEncoder,
    ) -> list[Any]:
        """Make the renderer; return by what it is told from others in this process."""
        serving = SerializerChoice(binding, pristine, self.alias, self.columns)
        serializer_class, context = serving.first()
        renderer = self._json_renderer(serializer_class, context, columns)
        self._renderer = renderer
        if not renderer.is_plain() and not is_own(renderer.serializer):
            self._serving = serving  # it may remember what it has seen
            self.instances = instances_in(self._queryset, held_in(serving.context))
            self.says_all = self.says_all and serving.says_all()
        self.serializer_class = serializer_class
        made = serializer_identity(encoder, serializer_class)
        self._format, self._code = renderer.row_format(), attributes_of(renderer.serializer)
        return [made, renderer.fields(), self._format, serving.encoded(encoder)]

    def _demand_same_sql(self) -> None:
        """See that the query says what it said when its view was chosen by that: code of the
        project's own may compile to what its thread has set, for another caller by now.

        Raises:
            BindingError: it says something else.
        """
        if self._own_sql is None:
            return
        statement, _, _ = self._compiled(self._own_sql)
        if self._told_by(statement) != self._told:
            raise BindingError(
                "The queryset compiles to other SQL, or other arguments, when it is read again. "
                "Hand an expression what it depends on when it is made, and let its `as_sql` read "
                "nothing of its thread, and no clock."
            )

    def _told_by(self, statement: Statement) -> Any:
        """Return a statement as plain data; of arguments that nobody can look into nothing is
        known."""
        encoder = IdentityEncoder(self.alias)
        told = encoder.arguments(statement, "the queryset")
        return statement.sql if encoder.unshared else told

    def _identify(self, binding: Binding[Any], made: list[Any], encoder: IdentityEncoder) -> None:
        """Note who it is, and by what it is known that it can be read together with."""
        common = self._queryset if self._shape is None else self._shape.queryset
        statement = encoder.arguments(self._statement, "the queryset")
        around = encoder.encode(list(self.surroundings), "language and time zone")
        what = encoder.queryset(common, "the queryset", statement)
        read = [self.alias, what, made, around]
        cut = None if self._cut is None else [self._cut.start, self._cut.length]
        columns = self._shape.told() if self._shape is not None else []
        slot = [columns, encoder.encode(list(self.slot), "slot")]
        asked = [binding.event, protocol.canonical(binding.wire_params), slot, cut, read]
        kind = type(binding)
        # An event leads to one class, in every process; in this one there may have been others.
        declared = [self.max_rows, sorted(tables_behind(binding)), self.refresh_seconds]
        known = [IdentityEncoder().code(kind), declared, self._code]
        self.identity = digest([*known, *asked])
        rows = [self._format, settings.LANGUAGE_CODE, settings.TIME_ZONE]
        self.fingerprint = digest([path_of(kind), *asked, *rows])[:16]
        self.batch_key: Hashable = None
        if self._shape is not None:
            # Windows of one query hold other rows, and are told together what has changed in it.
            self.batch_key = digest([*known, columns, cut is None, read])
        self.unshared = tuple(encoder.unshared)

    def part(self) -> bool:
        """Become like no other query, if rows were read by another answer of the binding's than
        the one that told who it is; return whether that is so."""
        if not self._has_strayed():
            return False
        self.identity = digest([self.identity, secrets.token_hex(12)])
        return True

    def _has_strayed(self) -> bool:
        return self._serving is not None and self._serving.strayed

    def share(self) -> None:
        """Take note that others are sent its rows too, because they were proved to be the same."""
        if self._serving is not None:
            self._serving.shared = True

    def is_surely(self, other: Query) -> bool:
        """Return whether it gives the same rows as a query of the same identity that was asked for
        at another time."""
        if self._has_strayed() or other._has_strayed():
            return False
        return self.says_all and other.says_all and self.serializer_class is other.serializer_class

    def _anew(self, *, together: bool = False) -> Renderer | ModelRenderer:
        """Return what renders the rows of one load or step, as DRF would make it for a request."""
        if self._serving is None or not isinstance(self._renderer, Renderer):
            return self._renderer
        return self._renderer.anew(*self._serving.anew(together=together))

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
            queryset = renewed(self._queryset)
            if self.window is not None:
                queryset = self.window.of(queryset)
            return self._load(queryset, ALL, self._anew(), recorder, pacer, budget)[()]

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
        queryset, stop = renewed(self._queryset), window.stop + self._ahead
        if budget is not None and behind > budget:
            raise OverBudget
        before = self._look(queryset[:behind], ALL, recorder, pacer)[()] if behind else Rows()
        some = queryset[behind:stop]
        rows = self._load(some, ALL, self._anew(), recorder, pacer, budget)[()]
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
        assert self._shape is not None
        rows_by_slot: dict[Slot, Rows] = {}
        reading = self._anew(together=True)
        for some in _batches(list(wanted), SLOTS_PER_QUERY):
            left = (
                None
                if budget is None
                else budget - sum(rows.count for rows in rows_by_slot.values())
            )
            recorder.expect_own()
            slots = self._shape.slots(some)
            rows_by_slot |= self._load(
                self._shape.among(some), slots, reading, recorder, pacer, left
            )
        return rows_by_slot

    def _load(
        self,
        queryset: QuerySet[Any],
        slots: Slots,
        reading: Renderer | ModelRenderer,
        recorder: Recorder,
        pacer: Pacer,
        budget: int | None,
    ) -> RowsBySlot:
        most = self.max_rows * len(slots.wanted)
        bound = 1 + (most if budget is None else min(budget, most))
        while True:
            rows_by_slot, read = self._load_some(
                queryset, bound, slots, reading, recorder, pacer, budget
            )
            if read < bound or queryset.query.is_sliced:
                return rows_by_slot
            bound *= FURTHER  # a join brings rows several times, and what is behind was cut off

    def _load_some(
        self,
        queryset: QuerySet[Any],
        bound: int,
        slots: Slots,
        reading: Renderer | ModelRenderer,
        recorder: Recorder,
        pacer: Pacer,
        budget: int | None,
    ) -> tuple[RowsBySlot, int]:
        """Read the first rows, and tell how often one was read."""
        rows_by_slot, count = {slot: Rows() for slot in slots.wanted}, 0
        recorder.expect_own(queryset)
        bounded = queryset if queryset.query.is_sliced else queryset[:bound]
        # Closed here: the error, and so the cursor, may go to another thread, where it cannot be.
        with closing(reading.rows(bounded, pacer, slots, recorder.row)) as found:
            for count, row in enumerate(found, start=1):
                if self._statement.sql:  # Django itself says what nothing adds up to
                    recorder.demand_own()
                if budget is not None and count > budget:
                    raise OverBudget
                rows = rows_by_slot[row.slot]
                rows.add(row, self._sort(row))
                if len(rows.fresh) > self.max_rows and self.window is None:
                    raise TooManyRows(self.max_rows)
        return rows_by_slot, count

    @_as_asked
    def read(self, pks: Collection[Any], recorder: Recorder, pacer: Pacer) -> Rows:
        """Read the rows of the query that have these primary keys, in no order.

        Raises:
            Untried: they leave set what the view's other rows must be tried in: read it whole.
        """
        rows = Rows()
        reading, queryset = self._anew(), renewed(self._queryset)
        for some in _batches(sorted(pks, key=repr), KEYS_PER_QUERY):
            recorder.expect_own(queryset)
            some_rows = queryset.filter(pk__in=some)
            with closing(reading.rows(some_rows, pacer, during=recorder.row)) as found:
                for row in found:
                    recorder.demand_own()
                    rows.add(row, self._sort(row))
        self._renderer.leftovers.insist()
        return rows

    @_as_asked
    def read_together(
        self, pks: Collection[Any], wanted: Collection[Slot], recorder: Recorder, pacer: Pacer
    ) -> RowsBySlot:
        """Read the rows of several slots of its shape that have these primary keys, in no order.

        Raises:
            NotDealt: it cannot be told which slot a row belongs to.
            Untried: as for `read`.
        """
        assert self._shape is not None
        rows_by_slot: dict[Slot, Rows] = {}
        reading = self._anew(together=True)
        for some in _batches(sorted(pks, key=repr), KEYS_PER_QUERY):
            recorder.expect_own()
            slots = self._shape.slots(wanted, some)
            # More slots than keys are not worth naming: rows of others are read, and left.
            few = len(wanted) < (SLOTS_PER_QUERY if self._shape.is_joined else len(some))
            common = self._shape.among(wanted) if few else self._shape.queryset
            recorder.expect_own(common)
            found = reading.rows(common.filter(pk__in=some), pacer, slots, recorder.row)
            with closing(found):
                for row in found:
                    recorder.demand_own()
                    rows_by_slot.setdefault(row.slot, Rows()).add(row, self._sort(row))
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
        queryset, slots = self._queryset, ALL
        rows_by_slot: dict[Slot, Rows] = {}
        for some in _batches(sorted(pks, key=repr), KEYS_PER_QUERY):
            if wanted is not None:
                assert self._shape is not None
                recorder.expect_own()
                queryset, slots = self._shape.queryset, self._shape.slots(wanted, some)
            found = self._look(queryset.filter(pk__in=some).order_by(), slots, recorder, pacer)
            for slot, rows in found.items():
                rows_by_slot.setdefault(slot, Rows()).sorts.update(rows.sorts)
        return rows_by_slot

    def _look(
        self, queryset: QuerySet[Any], slots: Slots, recorder: Recorder, pacer: Pacer
    ) -> RowsBySlot:
        columns = [name for name, _, _ in self._directions or ()] if self.sortable else []
        rows_by_slot: dict[Slot, Rows] = {(): Rows()} if not slots.columns else {}
        recorder.expect_own()
        names, count = ["pk", *columns, *slots.columns], 1 + len(columns)
        for pk, *values in queryset.values_list(*names):
            recorder.demand_own()
            sort = self._sort(Row(pk, "", "", tuple(values[: count - 1])))
            for slot in slots.find(tuple(values[count - 1 :])):
                rows_by_slot.setdefault(slot, Rows()).sorts[pk] = sort
            pacer.pause()
        return rows_by_slot

    @_as_asked
    def pks_among(self, pks: Collection[Any], pacer: Pacer) -> list[Any]:
        """Return some primary keys in the query's order."""
        pacer.pause()
        queryset = self._queryset.filter(pk__in=list(pks))
        return list(dict.fromkeys(queryset.values_list("pk", flat=True)))

    @_as_asked
    def ordered_pks(self, pacer: Pacer) -> list[Any]:
        """Read the primary keys of all rows in the query's order."""
        pks: dict[Any, None] = {}
        for pk in self._pks_in_order():
            pks[pk] = None
            pacer.pause()
        return list(pks)

    def _pks_in_order(self) -> Iterator[Any]:
        if self.columns is not None:  # an order may name what is selected, and mean that
            return (pk for pk, *_ in ColumnsReader(self.columns, ()).read(self._queryset))
        return self._queryset.values_list("pk", flat=True).iterator(chunk_size=2000)

    @_as_asked
    def pks_before(
        self, pks: Collection[Any], recorder: Recorder, pacer: Pacer
    ) -> Mapping[Any, Any] | None:
        """Return the primary key just before each of some rows in the query's order, None for the
        first row; None where all keys are to be listed instead."""
        if self._neighbours is None:
            return None
        return self._neighbours.before(pks, recorder, pacer)

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
            for some in _batches(list(raw), KEYS_PER_QUERY):
                reached = base.filter(**{f"{lookup}__in": some}).values_list("pk", flat=True)
                found.update(reached[: budget + 1])
                if len(found) > budget:
                    return None
        return found

    def _sort(self, row: Row) -> tuple[Any, ...] | None:
        if not self.sortable or self._directions is None:
            return None
        try:
            return tuple(
                [
                    sorting(value, sign)
                    for (_, sign, sorting), value in zip(self._directions, row.sort, strict=True)
                ]
            )
        except NotSorted:
            return None  # the view is listed by the database from now on


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
