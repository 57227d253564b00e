"""One database on which bindings are followed, written to, and compared with DRF's answer."""

from __future__ import annotations

import json
import logging
import math
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import DatabaseError, connection, models, transaction
from rest_framework.utils.encoders import JSONEncoder

from bindserver.bindings.binding import Binding
from bindserver.bindings.columns import has_dicts
from bindserver.capture.log import log_of
from bindserver.capture.tables import tracked
from bindserver.checks.bindings import CHECKS
from bindserver.client.replica import Replica
from bindserver.cycle import places
from bindserver.cycle.inbox import Caller, SessionRequest
from bindserver.cycle.waiting import EVERYTHING
from bindserver.engine.effects import Ask
from bindserver.engine.events import Accepted, Answered, Ended, Event, Published, Rejected, Staled
from bindserver.queries import windows
from bindserver.user_code import neutral
from tests.differential.declaring import PRELUDE, Declared
from tests.differential.lists import loose_in, settled
from tests.differential.typed import Typed
from tests.differential.writing import Step
from tests.support.passing import Passing
from tests.support.turning import Turning

CONTEXT = {"scale": 3}
EVERY = "all"
"""What all comparisons are counted by, beside their kinds."""
FIRST = (
    "Shelf.objects.bulk_create([Shelf(pk=1, name='a', rank=1), Shelf(pk=2, name='B', rank=2),"
    " Shelf(pk=3, name='b', rank=None)])",
    "Tag.objects.bulk_create([Tag(label='a', weight=1), Tag(label='b', weight=2)])",
    "Item.objects.bulk_create([Item(pk=n, name='aBcab'[n % 5], score=n % 3, score1=n % 4,"
    " id1=[None, 2, 1][n % 3], amount=[None, Decimal('1.10'), Decimal('-2')][n % 3],"
    " day=[None, datetime.date(2024, 1, n)][n % 2], shelf_id=[1, None, 2, 3][n % 4],"
    " parent_id=[None, 1, 2][n % 3] if n > 2 else None, data={'a': n % 3},"
    " moment=datetime.datetime(2024, 1, n, 22, 30, tzinfo=datetime.UTC),"
    " span=datetime.timedelta(hours=n)) for n in range(1, 7)])",
    "Entry.objects.bulk_create([Entry(item_id=n % 6 + 1, quantity=n % 5) for n in range(9)])",
    "Item.objects.get(pk=1).tags.set(['a', 'b']); Item.objects.get(pk=2).tags.set(['b'])",
    "Item.objects.get(pk=1).friends.set([3, 4])",
    "Special.objects.create(id=7, name='s', extra='x', level=1, score=2, shelf_id=1)",
    "Special.objects.create(id=8, name='t', extra='y', level=2, score=1)",
    "Seat.objects.create(item_id=1, number=2); Seat.objects.create(item_id=4, number=1)",
    "[Ticket.objects.create(uid=uuid.UUID(int=n), count=n, shelf_id=n) for n in (1, 2, 3)]",
    "[Dated.objects.create(day=datetime.date(2024, 1, n), text='ab'[n % 2]) for n in (1, 2, 3)]",
    "[Wide.objects.create(id=2**60 + n, pk1=n, key='a', shelf_id=n) for n in (1, 2)]",
    "[Draft.every.create(weight=n, shelf_id=n % 3 + 1, deleted=n == 2) for n in range(4)]",
    "[Odd.objects.create(score=n % 3, points=n % 4) for n in range(5)]",
    "[Hidden.every.create(weight=n, shelf_id=n % 3 + 1, deleted=n == 2) for n in range(4)]",
    "[Label.objects.create(text='ab'[n % 2], rank=n) for n in range(4)]",
    "[Read.objects.create(text='ab'[n % 2], rank=n) for n in range(4)]",
    "[Typed.objects.create(price=Decimal(n) / 4, small=[None, 2, 1][n % 3],"
    " text=['a', 'B', ''][n % 3],"
    " at=[None, datetime.time(n, 30)][n % 2], took=[None, datetime.timedelta(days=-n)][n % 2],"
    " raw=[None, b'ab'][n % 2], uid=uuid.UUID(int=n) if n % 3 else None,"
    " data=[None, {'a': n}][n % 2],"
    " address=['10.0.0.9', '10.0.0.10', '::1', None][n % 4], seen=[None,"
    " datetime.datetime(2024, 1, n, 5, tzinfo=datetime.UTC)][n % 2]) for n in range(1, 7)]",
    "Rare.objects.create(id=9, name='r', level=1, oddity=2, score=3, shelf_id=2)",
    "Rare.objects.create(id=10, name='R', level=2, oddity=1, score=1)",
    "Item.objects.get(pk=9).tags.set(['a'])",
    "[Cased.objects.create(key=key, rank=n) for n, key in enumerate('abc')]",
    "[Leaf.objects.create(cased_id=['a', 'b', None][n % 3], rank=n % 3) for n in range(5)]",
    "[Holder.objects.create(code=code, rank=n or None) for n, code in enumerate('xyz')]",
    "[Held.objects.create(holder_id=['x', 'y', None][n % 3], shelf_id=n % 3 + 1, rank=n % 2)"
    " for n in range(5)]",
    "[Priced.objects.create(price=Decimal(n), rank=n % 2) for n in range(4)]",
    "[Due.objects.create(priced_id=Decimal(n % 3), rank=n % 2) for n in range(4)]",
    "[Timed.objects.create(at=datetime.time(n, 0, 0, n), rank=n) for n in range(3)]",
    "[Spanned.objects.create(took=datetime.timedelta(hours=n), rank=n) for n in range(3)]",
    "[Stamped.objects.create(seen=datetime.datetime(2024, 1, 1, n, tzinfo=datetime.UTC), rank=n)"
    " for n in range(3)]",
)
"""What a world holds before anything is written."""


class Different(Exception):
    """A subscriber holds other rows than DRF answers."""


class Invalid(Exception):
    """DRF has no answer itself: what was generated makes no sense."""


def make_database() -> None:
    """Make the tables, and a change log."""
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        for model in apps.get_app_config("differential").get_models():
            editor.create_model(model)
    log_of(connection).install(tracked(model._meta.db_table for model in _models()))
    if connection.vendor == "sqlite":
        connection.cursor().execute("PRAGMA synchronous = OFF")
    if connection.vendor == "postgresql":
        connection.cursor().execute("ALTER SYSTEM SET synchronous_commit = off")


def _models() -> list[type[models.Model]]:
    app = apps.get_app_config(Typed._meta.app_label)
    return list(app.get_models(include_auto_created=True))


def namespace() -> dict[str, Any]:
    """Return the names that generated sources use."""
    names: dict[str, Any] = {"__name__": "tests.differential.generated"}
    exec(compile(PRELUDE, "<prelude>", "exec"), names)
    names["sql"] = _sql
    return names


def _sql(text: str) -> None:
    if connection.vendor != "mysql":
        text = text.replace('"a"', "'a'").replace('"B"', "'B'")
    with connection.cursor() as cursor:
        cursor.execute(text)


class Subscriber:
    """Who hears a binding, and keeps what a client would."""

    loop: Any = None

    def __init__(self) -> None:
        self.replica = Replica("id")
        self.key = "id"
        self.refused: str | None = None

    def hear(self, number: int, event: Event) -> None:
        if isinstance(event, Accepted):
            self.key = event.key
            self.replica = Replica(event.key)
        elif isinstance(event, Answered | Published):
            for frame in event.frames:
                self._apply(json.loads(frame.text)["data"])
        elif isinstance(event, Staled):
            self.replica.apply(json.loads(event.frame.text)["data"])
        elif isinstance(event, Rejected | Ended):
            self.refused = str(event)

    def _apply(self, data: dict[str, Any]) -> None:
        try:
            self.replica.apply(data)
        except KeyError as problem:  # as a planted fault has it: no client could take such a row
            self.refused = f"a row has no field {problem}"

    def settle(self, state: str) -> None:
        """Nothing to do."""

    def fail(self) -> None:
        raise

    def rows(self) -> list[tuple[Any, dict[str, Any]]]:
        return list(zip(self.replica.held, self.replica.rows, strict=True))


class Followed:
    """A binding that is followed by somebody, and what DRF is asked in its place.

    Args:
        declared: the binding.
        names: those of its source, and what it has made: its class, and what DRF is asked.
        problems: what the checks say of it.
        asked: what it is asked for.
    """

    def __init__(
        self, declared: Declared, names: dict[str, Any], problems: list[str], asked: Any
    ) -> None:
        self.declared, self.asked = declared, asked
        self._plain: Callable[[], Any] = partial(names["plain"], asked)
        kind: type[Binding[Any]] = names["Bound"]
        self.problems = problems
        self._serializer: Any = kind().get_serializer_class()
        self._kind = kind
        self.subscriber = Subscriber()
        self._loose = loose_in(declared.source)
        self.excused = False

    def ask(self, turning: Turning) -> None:
        """Subscribe, unless the checks have refused it."""
        if not self.problems:
            request = SessionRequest(
                *(self.subscriber, Caller(), Ask(number=1, message=EVERYTHING)),
                self._kind(auth=self.asked),
            )
            turning.ask(request)

    @property
    def is_refused(self) -> bool:
        return bool(self.problems) or self.subscriber.refused is not None

    def compare(self) -> None:
        """See that the subscriber holds what DRF answers.

        Raises:
            Different: it does not.
            Invalid: DRF does not answer either.
        """
        if self.is_refused:
            if not self.declared.refused:
                self._expected()  # DRF may refuse it too
                self._excuse(f"refused: {self.problems or self.subscriber.refused}")
            return
        if self.declared.refused:
            raise Different("it is not refused")
        expected = self._expected()
        if self.subscriber.replica.stale:
            self._excuse("it is stale")
            return
        held = self._held()
        if expected != held:
            raise Different(f"DRF: {expected}\nheld: {held}")

    def _excuse(self, problem: str) -> None:
        """See that DRF itself says something else of a row if another was rendered before: that
        one leaves something set, and no live row can be like that.

        Raises:
            Different: it does not.
        """
        with neutral():
            rows = list(self._plain())
        if all(self._last([row]) == self._last([one, row]) for row in rows for one in rows):
            raise Different(problem)
        self.excused = True

    def _last(self, rows: Sequence[Any]) -> str:
        """Return what DRF says of the last of some rows."""
        with neutral():
            data = self._serializer(rows, many=True, context=dict(CONTEXT)).data
            return JSONEncoder().encode(data[-1])

    def _expected(self) -> list[str]:
        """Return what DRF answers in a fresh request, as the wire carries it, each row once."""
        with neutral():
            try:
                queryset = self._plain()
                if self._kind.aggregate is not None or has_dicts(queryset):
                    return self._columns(queryset)
                data = self._serializer(queryset, many=True, context=dict(CONTEXT)).data
            except Exception as problem:
                raise Invalid(str(problem)) from problem
            rows: dict[Any, str] = {}
            for instance, row in zip(queryset, data, strict=True):
                text = self._text(on_the_wire(json.loads(JSONEncoder().encode(row))))
                if rows.setdefault(instance.pk, text) != text:
                    raise Invalid("two rows of one key")
            self._names = set(data[0]) if data else set()
            return list(rows.values())

    def _columns(self, rows: Any) -> list[str]:
        """Return rows of columns as the wire carries them, each once; decimals are texts."""
        if self._kind.serializer_class is not None:
            data = self._serializer(rows, many=True, context=dict(CONTEXT)).data
        else:
            data = [
                {n: f"{v:f}" if isinstance(v, Decimal) else v for n, v in row.items()}
                for row in rows
            ]
        self._names = set(data[0]) if data else set()
        texts = [self._text(on_the_wire(json.loads(JSONEncoder().encode(row)))) for row in data]
        # A join may bring rows again, which then have their key among their columns.
        return list(dict.fromkeys(texts)) if "dicts_of_many" in self.declared.kinds else texts

    def _text(self, row: Any) -> str:
        return json.dumps(settled(row, self._loose))

    def _held(self) -> list[str]:
        """Return the rows that the subscriber holds, without a key that DRF's have not."""
        held, key = [], self.subscriber.key
        for _, row in self.subscriber.rows():
            own = row if key in self._names else {k: v for k, v in row.items() if k != key}
            held.append(self._text(own))
        return held


def follow(declared: Declared, names: dict[str, Any]) -> list[Followed]:
    """Return a binding as it is followed by all who ask for something else."""
    names = dict(names)
    exec(compile(declared.source, f"<{declared.name}>", "exec"), names)
    kind: type[Binding[Any]] = names["Bound"]
    kind.__qualname__ = f"Bound{declared.name}"
    problems = [str(problem.msg) for check in CHECKS for problem in check(kind)]
    asked = [eval(text, names) for text in declared.asked] or [None]
    return [Followed(declared, names, problems, value) for value in asked]


def on_the_wire(value: Any) -> Any:
    """Return plain data as the contract has it: what JavaScript cannot count is a text."""
    if isinstance(value, dict):
        return {name: on_the_wire(item) for name, item in value.items()}
    if isinstance(value, list):
        return [on_the_wire(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        return str(value)
    return value


class World:
    """The database, at the beginning, with bindings followed on it.

    Args:
        passing: lets its time pass.
    """

    def __init__(self, passing: Passing) -> None:
        self._passing, self._hours = passing, 0
        # There are too few rows for what is usual.
        windows.AHEAD = windows.BEHIND = places.WORTH = 1
        self._names = namespace()
        self.compared: Counter[str] = Counter()
        self.invalid: dict[str, str] = {}
        self._problems = _Problems()
        logger = logging.getLogger("bindserver")
        logger.handlers = [self._problems]
        logger.propagate = False

    def run(self, bindings: Sequence[Declared], steps: Sequence[Step]) -> None:
        """Follow bindings from the beginning through some steps, and compare after each.

        Raises:
            Failed: one of them differs.
        """
        self._begin()
        self._problems.told.clear()
        with Turning() as turning:
            followed = [one for each in bindings for one in follow(each, self._names)]
            for one in followed:
                one.ask(turning)
            for at in range(len(steps) + 1):
                if at:
                    self._take(steps[at - 1], turning)
                turning.turn()
                followed = [one for one in followed if self._compare(one, steps[:at])]

    def _compare(self, one: Followed, steps: Sequence[Step]) -> bool:
        """Compare, and tell whether it makes sense to go on with a binding."""
        self.compared.update(one.declared.kinds or ["plain"])
        self.compared[EVERY] += 1
        try:
            one.compare()
        except Invalid as problem:
            self.invalid[one.declared.name] = str(problem)
            return False
        except Different as problem:
            told = "\n".join(self._problems.told)
            asked = f"asked for {one.asked!r}\n" if one.declared.asked else ""
            raise Failed(one.declared, steps, f"{asked}{problem}\n{told}".strip()) from None
        return not one.excused

    def _begin(self) -> None:
        self._hours = 0
        self._passing.until(0)
        disabled = connection.constraint_checks_disabled()
        with transaction.atomic(), disabled, connection.cursor() as cursor:
            for model in _models():
                cursor.execute(f"DELETE FROM {connection.ops.quote_name(model._meta.db_table)}")
        with transaction.atomic():
            for text in FIRST:
                exec(text, self._names)
            with connection.cursor() as cursor:
                for text in connection.ops.sequence_reset_sql(no_style(), _models()):
                    cursor.execute(text)

    def _take(self, step: Step, turning: Turning) -> None:
        """Let time pass, and write; what the database refuses is not written."""
        if step.hours:
            self._hours += step.hours
            self._passing.until(self._hours, turning)
        try:
            with transaction.atomic():
                for text in step.statements:
                    self._write(text)
                if not step.kept:
                    raise _RolledBack
        except _RolledBack:
            pass

    def _write(self, text: str) -> None:
        try:
            with transaction.atomic():
                exec(text, dict(self._names))
                if connection.features.can_defer_constraint_checks:
                    connection.check_constraints()
        except (DatabaseError, ObjectDoesNotExist):
            pass


class _Problems(logging.Handler):
    """Keeps what bindings have raised."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.told.append("".join(traceback.format_exception(record.exc_info[1], limit=-4)))


class _RolledBack(Exception):
    pass


class Failed(Exception):
    """A binding differs after some steps."""

    def __init__(self, declared: Declared, steps: Sequence[Step], problem: str) -> None:
        super().__init__(problem)
        self.declared = declared
        self.steps = list(steps)
        self.problem = problem
