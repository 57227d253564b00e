"""How the rows of one shape are read: what all queries have in common that differ in a slot.

Making one compiles SQL and looks at the whole tree of a queryset. That is done once for a shape;
each further query of it costs what its values cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

from django.db.models import Model, QuerySet

from bindserver.bindings.binding import Binding
from bindserver.conf import conf
from bindserver.database.base import NotSorted
from bindserver.exceptions import BindingError
from bindserver.queries.aggregation import statement_of, told_of
from bindserver.queries.backwards import Chains
from bindserver.queries.carried import instances_in
from bindserver.queries.column_rendering import (
    ColumnsModelRenderer,
    ColumnsReader,
    ColumnsRenderer,
)
from bindserver.queries.columns import columns_of, why_multiplied
from bindserver.queries.compiler import Directions, compiled, ordered, why_whole
from bindserver.queries.dependencies import Paths, tables_in
from bindserver.queries.evaluation import has_columns, says_all
from bindserver.queries.expressions import own_sql
from bindserver.queries.identity import IdentityEncoder, Statement
from bindserver.queries.moments import moments_in
from bindserver.queries.neighbours import Neighbours, neighbours_of
from bindserver.queries.prepared import Statements
from bindserver.queries.rendering import ModelRenderer, Renderer, Row
from bindserver.queries.routes import Reach
from bindserver.queries.rows import Form
from bindserver.queries.shapes import Shape, shape_of, undealt
from bindserver.queries.slots import Slot
from bindserver.queries.ticking import NO_CLOCK, clock_of
from bindserver.queries.windows import Cut, cut_of, why_read_again


class Plan:
    """How the rows of one shape are read; of a query that has no slot, how its own are.

    Args:
        binding: asks for one query of the shape.
        form: what its rows are read as.
        located: that query's rows, as the binding has said them, on their database.
        alias: the database.

    Attributes:
        model: whose rows they are.
        max_rows: how many a query may have.
        columns: what the rows have, where they are no model instances.
        cut: which of a query's rows its binding shows; None for all of them.
        whole: why a query can only be read whole, or None.
        sortable: whether rows bring sort values, as far as these are of their columns' types.
        window: `cut`, where the rows in it are kept by keys.
        shape: what the queries have in common, and not; None where there is only one.
        slot: that of the query that it was made for.
        common: the rows of all slots.
        statement: what `common` compiles to.
        reach: which tables that SQL reads, and how they reach its rows.
        clock: what they have to do with the present time.
        says_all: whether SQL, class and lists of names say all there is to know of them.
        instances: what their querysets carry along.
        told: what is equal for plans by which the same is read, as plain data.
        unshared: why it is like no other plan, in words; empty where all of it is known.
        representations: by what rows are rendered, for each serializer class of which that lasts.
        statements: what reads of its rows compile to.
    """

    def __init__(
        self, binding: Binding[Any], form: Form, located: QuerySet[Any], alias: str
    ) -> None:
        self.form = form
        self.alias = alias
        self.model: type[Model] = located.model
        self.max_rows = most_of(binding)
        self.cut = cut_of(binding, self.max_rows)
        self.columns = columns_of(binding, located)
        self.directions, queryset = self._in_order(located, binding)
        self.whole = why_whole(queryset, None)
        if self.columns is not None:
            self.whole = self.whole or self.columns.whole
        self.whole = self.whole or self._why_read_again(queryset)
        self.sortable = self.directions is not None and not self.whole
        self.window: Cut | None = None if self.whole else self.cut
        cut = self.cut is not None and self.window is None
        self._queryset = self.cut.of(queryset) if self.cut and cut else queryset
        self.says_all = says_all(queryset)
        self.instances = instances_in(queryset)
        self._compile(queryset)
        self._tell()
        self.representations: dict[type[Any] | None, Any] = {}
        self.statements = Statements(alias)

    def _why_read_again(self, queryset: QuerySet[Any]) -> str | None:
        """Return why its limit, if it has one, cannot be kept by keys."""
        if self.cut is None:
            return None
        if self.columns is not None or clock_of(queryset, "") is not NO_CLOCK:
            return "it has a limit"
        is_ordered = self.directions is not None or neighbours_of(queryset, self.alias) is not None
        return why_read_again(queryset, is_ordered=is_ordered)

    def _compile(self, queryset: QuerySet[Any]) -> None:
        """Find the shape and what is read: shape and slot together say the same as the query."""
        self.shape: Shape | None = None
        self.slot: Slot = ()
        # What is read beside a model's row would be a part of the instance that Python is given.
        joined = self.form is Form.JSON
        found = None if self.whole else shape_of(queryset, self.alias, joined=joined)
        if found is None and self.cut is not None and not self.whole:
            found = undealt(queryset)
        if found is not None:
            self.shape, self.slot = found
        self.common = common = queryset if self.shape is None else self.shape.queryset
        self.statement, paths, chains = self.compiled(common)
        self.reach = Reach.of(self.model, paths, chains)
        self.clock = clock_of(common, self.statement.sql)
        summed = self.columns is not None and self.columns.aggregates is not None
        self._own_sql = common if summed or own_sql(common.query) is not None else None
        self._told = None if self._own_sql is None else self._told_by(self.statement)
        if not self.statement.sql:
            self.shape, self.slot = None, ()  # it matches nothing, whatever its slot

    def _tell(self) -> None:
        """Note who it is."""
        encoder, common = IdentityEncoder(self.alias), self.of(self.slot)
        if self.shape is not None:
            common = self.shape.queryset
        statement = encoder.arguments(self.statement, "the queryset")
        self.told: Any = [
            self.alias,
            encoder.queryset(common, "the queryset", statement),
            told_of(self.columns, encoder),
            [] if self.shape is None else self.shape.told(),
            # Windows of one query hold other rows, and are told together what has changed in it.
            self.cut is None,
        ]
        self.unshared = tuple(encoder.unshared)

    def compiled(self, queryset: QuerySet[Any]) -> tuple[Statement, Paths, Chains]:
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

    @property
    def is_own(self) -> bool:
        """Whether Django alone says what it compiles to, so that it says the same each time."""
        return self._own_sql is None

    def demand_same_sql(self) -> None:
        """See that the query says what it said when its view was chosen by that: code of the
        project's own may compile to what its thread has set, for another caller by now.

        Raises:
            BindingError: it says something else.
        """
        if self._own_sql is None:
            return
        statement, _, _ = self.compiled(self._own_sql)
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

    # The rows of one query.

    def of(self, slot: Slot) -> QuerySet[Any]:
        """Return the rows of a slot, in order; without those that a limit leaves out where these
        are not kept by keys."""
        if self.shape is None or slot == self.slot:
            return self._queryset
        return self.shape.alone(self._queryset, slot)

    @cached_property
    def neighbours(self) -> Neighbours | None:
        """What asks for the rows before some rows of a slot; None where these are listed."""
        if self.columns is not None:
            return None
        return neighbours_of(self._queryset, self.alias, of=self.of, statements=self.statements)

    # What a row brings along beside what it says.

    @cached_property
    def has_columns(self) -> bool:
        """Whether rows are read by their columns as well as by their instances."""
        return has_columns(self.common)

    @cached_property
    def has_moments(self) -> bool:
        """Whether `common` compares with dates or times that somebody has given it."""
        return bool(moments_in(self.common))

    @cached_property
    def sort_columns(self) -> Sequence[str]:
        """The attributes that rows are put in order by; none where the database does that."""
        return [name for name, _, _ in self.directions or ()] if self.sortable else []

    def sort(self, row: Row) -> tuple[Any, ...] | None:
        """Return by what Python puts a row in order; None where the database does."""
        if not self.sortable or self.directions is None:
            return None
        try:
            return tuple(
                [
                    sorting(value, sign)
                    for (_, sign, sorting), value in zip(self.directions, row.sort, strict=True)
                ]
            )
        except NotSorted:
            return None  # the view is listed by the database from now on

    def renderer(self, serializer_class: type[Any], context: Any) -> Renderer:
        """Return what renders rows as JSON."""
        if self.columns is None:
            return Renderer(self.model, serializer_class, context, self.sort_columns)
        return ColumnsRenderer(
            self.model, serializer_class, context, self.sort_columns, self.columns
        )

    def model_renderer(self) -> ModelRenderer:
        """Return what gives rows as model instances."""
        if self.columns is None:
            return ModelRenderer(self.model, self.sort_columns)
        return ColumnsModelRenderer(self.model, self.sort_columns, self.columns)

    def pks_of(self, queryset: QuerySet[Any]) -> Iterable[Any]:
        """Return the primary keys of a queryset's rows, in its order."""
        if self.columns is not None:  # an order may name what is selected, and mean that
            return _first_of(ColumnsReader(self.columns, ()).read(queryset))
        return queryset.values_list("pk", flat=True).iterator(chunk_size=2000)


def _first_of(rows: Iterable[Sequence[Any]]) -> Iterator[Any]:
    return (row[0] for row in rows)


def most_of(binding: Binding[Any]) -> int:
    """Return how many rows a binding may have."""
    return binding.max_rows or conf.MAX_ROWS
