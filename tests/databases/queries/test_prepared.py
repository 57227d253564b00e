"""What is compiled once reads what it would read if it were compiled each time, word by word."""

from __future__ import annotations

import datetime
import itertools
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from django.db import connection, models
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Lower
from django.db.models.lookups import Exact, In
from django.test.utils import isolate_apps

from bindserver import Binding
from bindserver.database.pacing import Pacer
from bindserver.queries import memberships, reading
from bindserver.queries.dependencies import Recorder
from bindserver.queries.plans import Plans
from bindserver.queries.prepared import FEW, Statements, adds_nothing, prepare
from bindserver.queries.query import Query
from tests.app.models import Category, Membership, Product, Tag, Token
from tests.support.registered import keep_out

PKS = range(1, 10)


class ByNumber(Binding[Product]):
    """Rows by a number."""

    model = Product
    fields: ClassVar[Any] = ["id", "name", "stock"]
    params = {"n": int}


class OfCategory(ByNumber):
    event = "prepared_category"

    def filters(self) -> dict[str, Any]:
        return {"category": self.params["n"]}


class ByName(OfCategory):
    """Only the database knows the order, and NULLs stand in it."""

    event = "prepared_by_name"
    ordering: ClassVar[Any] = [F("category__name").desc(nulls_last=True), Lower("name"), "-sku"]

    def filters(self) -> dict[str, Any]:
        return {"active": True}


class OfTag(ByNumber):
    event = "prepared_tag"
    ordering = ["-name"]

    def filters(self) -> dict[str, Any]:
        return {"tags": self.params["n"]}


class OfMember(ByNumber):
    event = "prepared_member"
    ordering = ["sku"]

    def filters(self) -> dict[str, Any]:
        mine = Membership.objects.filter(user=self.params["n"])
        return {"category__in": mine.values("category"), "active": True}


class OfBoth(ByNumber):
    """A number is the slot, and is compared with something else as well."""

    event = "prepared_both"
    ordering = ["name"]

    def get_q(self) -> Q:
        return Q(category=self.params["n"]) & (Q(stock__gt=self.params["n"]) | Q(active=True))


class Last(OfCategory):
    event = "prepared_last"
    ordering = ["-name"]
    limit = 3


KINDS = (OfCategory, ByName, OfTag, OfMember, OfBoth, Last)


@pytest.fixture
def filled(each_database: str) -> str:
    """Some rows in each slot, with equal names and NULLs."""
    from django.contrib.auth.models import User

    for n in (1, 2, 3):
        Category.objects.create(pk=n, name=f"category {n}")
        Tag.objects.create(pk=n, name=f"tag {n}")
        user = User.objects.create(pk=n, username=f"user {n}")
        Membership.objects.create(user=user, category_id=n)
    for pk in PKS:
        category, sku = (pk % 4) or None, None if pk % 3 else f"sku {pk}"
        row = Product.objects.create(
            pk=pk, name=f"{'aB'[pk % 2]}{pk % 3}", category_id=category, sku=sku, stock=pk % 3
        )
        row.tags.add(1 + pk % 3, 1 + (pk + 1) % 3)
    return each_database


@contextmanager
def told() -> Iterator[list[Any]]:
    """Note all statements, with their arguments."""
    found: list[Any] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        found.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield found


def everything(query: Query, pks: Sequence[int]) -> Any:
    """Return all that is read by keys: rows, sort values, neighbours, and rows of all slots."""
    recorder, pacer = Recorder(), Pacer(60)
    slots = {(n,) for n in (1, 2, 3)} if query.slot else {query.slot}
    rows = reading.read(query, pks, recorder, pacer)
    found: list[Any] = [
        {key: row.text for key, row in rows.fresh.items()},
        reading.look(query, pks, None, recorder, pacer)[()].sorts,
    ]
    if rows.keys:
        found.append(reading.pks_before(query, sorted(rows.keys), recorder, pacer))
    if query.plan.shape is not None:
        for some in (slots, set(itertools.islice(slots, 1))):
            together = reading.read_together(query, pks, some, recorder, pacer)
            found.append(
                {s: {k: r.text for k, r in rows.fresh.items()} for s, rows in together.items()}
            )
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_says_the_same_as_what_is_compiled(
    filled: str, kind: type[Binding[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memberships, "OWNERS_NAMED", 2)  # so that owners are asked for by rows, too
    kept, compiled = Plans(), Plans()
    asked = [*([pk] for pk in PKS), [1, 2], [9, 3], [4, 5, 6], [4], [8, 7, 99], [1], list(PKS)]
    for pks, n in itertools.product(asked, (1, 2, 3)):
        query, other = (Query(kind(params={"n": n}), plans=plans) for plans in (kept, compiled))
        assert query.plan.statements.is_kept
        other.plan.statements.is_kept = False
        with told() as statements:
            found = everything(query, pks)
        with told() as expected:
            assert found == everything(other, pks)
        assert statements == expected
    assert any(query.plan.statements._known.values())


def test_nothing_is_compiled_that_was_asked_twice(
    filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = Query(ByName(params={"n": 1}), plans=Plans())
    same = [1, 5]  # of one category, without a SKU
    for pk in [*same, *same]:
        everything(query, [pk])
    compiled: list[Any] = []
    compiler = connection.ops.compiler("SQLCompiler")
    monkeypatch.setattr(compiler, "as_sql", lambda self, *a, **k: compiled.append(self))
    for pk in same:
        reading.read(query, [pk], Recorder(), Pacer(60))
        reading.pks_before(query, [pk], Recorder(), Pacer(60))
    assert compiled == []


def test_keys_that_the_database_has_otherwise_are_compiled_each_time(each_database: str) -> None:
    class Tokens(Binding[Token]):
        event = "prepared_tokens"
        model = Token
        fields: ClassVar[Any] = ["id", "label"]

    pks = [uuid.UUID(int=2**100 + number) for number in range(5)]  # as a probe has them
    Token.objects.bulk_create(Token(id=pk, label=f"label {pk}") for pk in pks)
    query = Query(Tokens(), plans=Plans())
    for pk in pks:
        rows = reading.read(query, [pk], Recorder(), Pacer(60))
        assert list(rows.keys) == [pk]
    (known,) = query.plan.statements._known.values()
    is_native = connection.features.has_native_uuid_field
    assert (known is not None) is is_native


def many(make: Callable[[Sequence[Any]], QuerySet[Any, Any]], values: Sequence[Any]) -> Any:
    return prepare(make, values, "default")


@pytest.mark.django_db
def test_nothing_is_kept_whose_words_or_arguments_depend_on_the_values() -> None:
    rows = Product.objects.values_list("pk")
    assert many(lambda v: rows.filter(pk__in=v), [1, 2]) is not None
    assert many(lambda v: rows.filter(stock=v[0]), [1]) is not None
    assert many(lambda v: rows.filter(stock=v[0], pk__in=v[1:]), [1, 1]) is not None
    unproved: dict[str, Callable[[Sequence[Any]], QuerySet[Any, Any]]] = {
        "as many as it says": lambda v: rows[: v[0]],
        "converted to a decimal": lambda v: rows.filter(price=v[0]),
        "converted to a text": lambda v: rows.filter(name=v[0]),
        "in a pattern": lambda v: rows.filter(name__contains=v[0]),
        "computed": lambda v: rows.filter(stock=v[0] + 1),
        "in another order": lambda v: rows.filter(stock=min(v), pk=max(v)),
        "listed once": lambda v: rows.filter(pk__in=[v[0], v[0] % 2]),
        "nothing": lambda v: rows.filter(pk__in=[]),
        "too wide for its column": lambda v: rows.filter(stock=v[0] * 2**50),
    }
    for name, make in unproved.items():
        assert many(make, [90_000, 2]) is None, name


@pytest.mark.django_db
def test_a_date_stands_where_it_is_said_to() -> None:
    day = datetime.date(1901, 1, 1)  # the first probe
    prepared = many(lambda v: Membership.objects.filter(user__in=v[1:]).values_list("pk"), [day, 1])
    assert prepared is not None


def test_of_a_queryset_that_does_anything_its_own_way_nothing_is_kept() -> None:
    class Adding(QuerySet[Product]):
        def cheap(self) -> Adding:
            return self.filter(price__lt=1)

    class Narrowing(QuerySet[Product]):
        def filter(self, *args: Any, **kwargs: Any) -> Narrowing:
            return super().filter(*args, **kwargs)

    assert adds_nothing(QuerySet)
    assert adds_nothing(Adding)
    assert not adds_nothing(Narrowing)


@pytest.mark.django_db
def test_a_lookup_of_the_project_s_own_is_compiled_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Above(Exact):
        lookup_name = "above"

        def as_sql(self, compiler: Any, connection: Any) -> Any:
            left, params = self.process_lhs(compiler, connection)
            return f"{left} > 0", params

    models.IntegerField.register_lookup(Above)
    try:

        class High(ByNumber):
            event = "prepared_high"

            def filters(self) -> dict[str, Any]:
                return {"stock__above": 0}

        assert not Query(High(params={"n": 1}), plans=Plans()).plan.statements.is_kept
    finally:
        models.IntegerField._unregister_lookup(Above)


@contextmanager
def looked_up(field: type[models.Field[Any, Any]], lookup: type[Any]) -> Iterator[None]:
    """Have a field's class look up by a lookup of the project's own."""
    assert lookup.lookup_name not in vars(field).get("class_lookups", {})
    field.register_lookup(lookup)
    try:
        yield
    finally:
        field._unregister_lookup(lookup)


class InShard(In):
    """Says beside the keys in which of eight partitions they are."""

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        sql, params = super().as_sql(compiler, connection)
        left, _ = self.process_lhs(compiler, connection)
        shards = sorted({pk % 8 for pk in self.rhs})
        asked = ", ".join(["%s"] * len(shards))
        return f"({sql} AND MOD({left}, 8) IN ({asked}))", (*params, *shards)


def test_keys_that_are_looked_up_otherwise_are_compiled_each_time(filled: str) -> None:
    key = type(Product._meta.pk)
    with looked_up(key, InShard):
        query = Query(OfCategory(params={"n": 3}), plans=Plans())
        for pk in (3, 3, 7):  # 3 is in the partition of a probe
            rows = reading.read(query, [pk], Recorder(), Pacer(60))
            assert list(rows.keys) == [pk]


@pytest.mark.django_db
def test_values_of_a_field_of_the_project_s_own_are_compiled_each_time() -> None:
    class Bounded(models.BigIntegerField):  # type: ignore[type-arg]
        """Has nothing below zero."""

        def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
            return max(0, super().get_db_prep_value(value, connection, prepared))

    with isolate_apps("tests.app"):

        class Account(models.Model):
            number = Bounded(primary_key=True)

            class Meta:
                app_label = "app"

        class Entry(models.Model):
            account = models.ForeignKey(Account, on_delete=models.CASCADE)

            class Meta:
                app_label = "app"

    accounts, entries = QuerySet[Any](Account), QuerySet[Any](Entry)
    assert many(lambda v: accounts.filter(pk__in=v).values_list("pk"), [1]) is None
    assert many(lambda v: entries.filter(account=v[0]).values_list("pk"), [1]) is None
    assert many(lambda v: entries.filter(pk__in=v).values_list("pk"), [1]) is not None


@pytest.mark.django_db
def test_more_values_than_a_few_are_compiled_each_time() -> None:
    statements = Statements("default")
    statements.is_kept = True
    for _ in range(3):
        list(
            statements.rows(
                "",
                lambda v: Product.objects.filter(pk__in=v).values_list("pk"),
                list(range(FEW + 1)),
            )
        )
    assert not statements._known


keep_out(globals())
