"""Plans, made once for all queries of a shape: these are who they would be by themselves."""

from __future__ import annotations

import datetime
import sys
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import User
from django.db.models import Count, F, OuterRef, Q, Subquery
from django.utils import timezone
from rest_framework import serializers

from bindserver import Binding
from bindserver.database.pacing import Pacer
from bindserver.database.snapshot import open_connection
from bindserver.exceptions import BindingError
from bindserver.queries import compiler, reading
from bindserver.queries import plans as room
from bindserver.queries.dependencies import Recorder
from bindserver.queries.identity import compile_query
from bindserver.queries.plans import Plans
from bindserver.queries.query import Query
from bindserver.queries.rows import Form
from tests.app.models import Category, Membership, Product
from tests.support.registered import keep_out

pytestmark = pytest.mark.django_db


class Numbered(Binding[Product]):
    """Rows by a number."""

    model = Product
    fields: ClassVar[Any] = ["id", "name", "stock"]
    params = {"n": int}


class InCategory(Numbered):
    event = "plans_in_category"

    def filters(self) -> dict[str, Any]:
        return {"category": self.params["n"]}


class Tagged(Numbered):
    event = "plans_tagged"

    def filters(self) -> dict[str, Any]:
        return {"tags": self.params["n"]}


class Members(Numbered):
    event = "plans_members"

    def filters(self) -> dict[str, Any]:
        mine = Membership.objects.filter(user=self.params["n"])
        return {"category__in": mine.values("category"), "active": True}


class Named(Numbered):
    """The constant is a text, which makes no slot."""

    event = "plans_named"

    def filters(self) -> dict[str, Any]:
        return {"name": f"name {self.params['n']}"}


class Both(Numbered):
    event = "plans_both"
    ordering = ["name"]

    def get_q(self) -> Q:
        return Q(category=self.params["n"]) & (Q(stock__gt=self.params["n"]) | Q(active=True))


class Last(InCategory):
    event = "plans_last"
    ordering = ["-id"]
    limit = 3


class CountSerializer(serializers.ModelSerializer[Product]):
    tagged = serializers.IntegerField()

    class Meta:
        model = Product
        fields = ["id", "tagged"]


class Counted(Numbered):
    event = "plans_counted"
    fields = None
    serializer_class = CountSerializer
    queryset = Product.objects.annotate(tagged=Count("tags"))

    def filters(self) -> dict[str, Any]:
        return {"category": self.params["n"]}


class WordySerializer(serializers.ModelSerializer[Product]):
    said = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = ["id", "said"]

    def get_said(self, row: Product) -> str:
        return f"{row.name}!"


class Wordy(InCategory):
    event = "plans_wordy"
    fields = None
    serializer_class = WordySerializer


KINDS = (InCategory, Tagged, Members, Named, Both, Last, Counted, Wordy)


def asked(binding: type[Binding[Any]], n: int, **given: Any) -> Query:
    """Return the query of a binding with a number."""
    return Query(binding(params={"n": n}), **given)


def told(query: Query) -> Mapping[str, object]:
    """Return all by which a query is told, and what it reads by itself."""
    alone = query.plan.of(query.slot)
    return {
        "identity": query.identity,
        "fingerprint": query.fingerprint,
        "batch_key": query.batch_key,
        "slot": query.slot,
        "routes": query.routes,
        "key": query.key,
        "says_all": query.says_all,
        "sql": compile_query(alone.query.chain(), "default"),
    }


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("kind", KINDS)
def test_a_query_of_a_known_plan_is_the_same_as_one_with_a_plan_of_its_own(
    kind: type[Binding[Any]], form: Form
) -> None:
    plans = Plans()
    for n in (1, 2, 2**40, 1):
        known = asked(kind, n, form=form, plans=plans)
        assert told(known) == told(asked(kind, n, form=form))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in (Named, Both)])
def test_queries_that_differ_in_their_slots_have_one_plan(kind: type[Binding[Any]]) -> None:
    plans = Plans()
    assert asked(kind, 1, plans=plans).plan is asked(kind, 2, plans=plans).plan


def test_constants_that_make_no_slot_have_plans_of_their_own() -> None:
    plans = Plans()
    one, other = asked(Named, 1, plans=plans), asked(Named, 2, plans=plans)
    assert one.plan is not other.plan
    assert one.identity != other.identity
    assert asked(Named, 1, plans=plans).plan is one.plan
    assert asked(Both, 1, plans=plans).plan is not asked(Both, 2, plans=plans).plan


def test_each_query_of_a_plan_reads_its_own_rows() -> None:
    for n in (1, 2):
        Category.objects.create(pk=n, name=f"c{n}")
    for n in range(1, 9):
        Product.objects.create(pk=n, name=f"p{n}", category_id=1 + n % 2, stock=n)
    plans = Plans()
    first, second = asked(Both, 1, plans=plans), asked(Both, 2, plans=plans)
    rows = [list(reading.load(query, Recorder(), Pacer(10)).keys) for query in (first, second)]
    assert rows == [[2, 4, 6, 8], [1, 3, 5, 7]]
    first, second = asked(InCategory, 1, plans=plans), asked(InCategory, 2, plans=plans)
    assert first.plan is second.plan
    rows = [list(reading.load(query, Recorder(), Pacer(10)).keys) for query in (first, second)]
    assert rows == [[2, 4, 6, 8], [1, 3, 5, 7]]


def test_the_present_time_zone_is_a_part_of_a_plan() -> None:
    class Dated(InCategory):
        event = "plans_dated"

    plans = Plans()
    with timezone.override("Asia/Tokyo"):
        there = asked(Dated, 1, plans=plans)
    assert there.plan is not asked(Dated, 1, plans=plans).plan


def test_time_zones_of_other_names_make_other_plans() -> None:
    plans = Plans()
    for name in ("A", "B"):
        with timezone.override(datetime.timezone(datetime.timedelta(hours=1), name)):
            assert told(asked(InCategory, 1, plans=plans)) == told(asked(InCategory, 1))


IS_STAFF: ContextVar[bool] = ContextVar("is_staff", default=False)


class ChoosySerializer(serializers.ModelSerializer[Product]):
    """Has fields by what is set, and by what is in the database."""

    class Meta:
        model = Product
        fields = ["id", "name", "price", "stock"]

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        if not IS_STAFF.get():
            del fields["price"]
        if not Category.objects.filter(name="stocked").exists():
            del fields["stock"]
        return fields


class Choosy(Binding[Product]):
    event = "plans_choosy"
    model = Product
    serializer_class = ChoosySerializer

    def get_queryset(self) -> Any:
        IS_STAFF.set(self.user.is_staff)
        return super().get_queryset()


def texts_of(query: Query) -> list[str]:
    return [row.text for row in reading.load(query, Recorder(), Pacer(10)).fresh.values()]


def test_nobody_is_sent_fields_that_a_serializer_has_for_somebody_else() -> None:
    Product.objects.create(pk=1, name="p", price=5)
    plans = Plans()
    staff, other = (
        Query(Choosy(user=User(pk=pk, username=f"u{pk}", is_staff=pk == 1)), plans=plans)
        for pk in (1, 2)
    )
    assert staff.identity != other.identity
    assert texts_of(staff) == ['{"id":1,"name":"p","price":"5.00"}']
    assert texts_of(other) == ['{"id":1,"name":"p"}']


def test_a_serializer_s_own_code_is_asked_again_for_its_fields_and_its_reads_are_seen() -> None:
    Product.objects.create(pk=1, name="p", stock=3)
    plans = Plans()
    assert texts_of(Query(Choosy(), plans=plans)) == ['{"id":1,"name":"p"}']
    Category.objects.create(name="stocked")
    recorder = Recorder()
    with recorder.watching("default"):
        again = Query(Choosy(), plans=plans)
    assert "app_category" in recorder.tables
    assert texts_of(again) == ['{"id":1,"name":"p","stock":3}']


def test_what_a_binding_s_class_says_by_now_makes_another_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plans = Plans()
    before = asked(InCategory, 1, plans=plans)
    monkeypatch.setattr(InCategory, "ordering", ["-name"])
    after = asked(InCategory, 1, plans=plans)
    assert after.plan is not before.plan
    assert after.identity != before.identity
    monkeypatch.setattr(InCategory, "max_rows", 7)
    assert asked(InCategory, 1, plans=plans).max_rows == 7


def test_fields_that_a_serializer_s_class_has_by_now_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plans = Plans()
    before = asked(Counted, 1, plans=plans)
    monkeypatch.setattr(CountSerializer.Meta, "fields", ["id", "tagged", "name"])
    after = asked(Counted, 1, plans=plans)
    assert after.identity != before.identity
    Product.objects.create(pk=1, name="p", category=Category.objects.create(pk=1, name="c"))
    (row,) = reading.load(after, Recorder(), Pacer(10)).fresh.values()
    assert '"name":"p"' in row.text


def test_fields_that_it_declares_by_now_are_served_too(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = Plans()
    before = asked(Counted, 1, plans=plans)
    declared = {**CountSerializer._declared_fields, "tagged": serializers.CharField()}
    monkeypatch.setattr(CountSerializer, "_declared_fields", declared)
    after = asked(Counted, 1, plans=plans)
    assert after.identity != before.identity
    Product.objects.create(pk=1, name="p", category=Category.objects.create(pk=1, name="c"))
    (row,) = reading.load(after, Recorder(), Pacer(10)).fresh.values()
    assert '"tagged":"0"' in row.text


def test_a_serializer_that_remembers_is_asked_for_each_query_again() -> None:
    plans = Plans()
    one, other = asked(Wordy, 1, plans=plans), asked(Wordy, 2, plans=plans)
    assert one.plan is other.plan
    assert one.representation.renderer is not other.representation.renderer


def test_a_binding_with_attributes_of_its_own_has_a_plan_of_its_own() -> None:
    plans = Plans()

    def declared(stock: int) -> Binding[Any]:
        return Binding(model=Product, fields=["id"], filters={"stock": stock})

    assert Query(declared(1), plans=plans).plan is not Query(declared(1), plans=plans).plan


def test_plans_are_kept_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "KEPT", 2)
    plans = Plans()
    first = asked(Named, 1, plans=plans)
    assert asked(Named, 1, plans=plans).plan is first.plan
    for n in (2, 3):
        asked(Named, n, plans=plans)
    assert asked(Named, 1, plans=plans).plan is not first.plan


def test_what_fails_for_one_constant_is_kept_for_none() -> None:
    class Odd(Numbered):
        event = "plans_odd"

        def filters(self) -> dict[str, Any]:
            if self.params["n"] % 2:
                raise BindingError("odd")
            return {"stock": F("price")}

    plans = Plans()
    assert asked(Odd, 2, plans=plans).plan is asked(Odd, 4, plans=plans).plan
    with pytest.raises(BindingError, match="odd"):
        asked(Odd, 3, plans=plans)


class Newest(Numbered):
    """Has a subquery, into which Django puts a join whenever it compiles it."""

    event = "plans_newest"

    def get_queryset(self) -> Any:
        others = Product.objects.filter(category=OuterRef("category"))
        newest = others.order_by("-category__name").values("name")[:1]
        return Product.objects.annotate(newest=Subquery(newest)).filter(category=self.params["n"])


def test_threads_that_read_by_one_plan_take_no_joins_from_one_another() -> None:
    plans = Plans()
    one, other = asked(Newest, 1, plans=plans), asked(Newest, 2, plans=plans)
    assert one.plan is other.plan
    expected = str(one.plan.of(one.slot).query)
    compiled = set()

    def compile_often(query: Query) -> None:
        connection = open_connection("default")
        for _ in range(500):
            asked = query.plan.of(query.slot).query.chain()
            compiled.add(asked.get_compiler(connection=connection).as_sql()[0] % query.slot)

    threads = [threading.Thread(target=compile_often, args=[query]) for query in (one, other)]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(usual)
    assert compiled == {expected, expected.replace('"category_id" = 1 ', '"category_id" = 2 ')}


class Several(Binding[Product]):
    """Rows by several filters, each of which somebody gives."""

    model = Product
    event = "plans_several"
    fields: ClassVar[Any] = ["id", "name"]
    asked: ClassVar[int] = 0
    params = {"given": serializers.JSONField()}

    def filters(self) -> dict[str, Any]:
        type(self).asked += 1
        return dict(self.params["given"])


def by_filters(plans: Plans | None, **given: Any) -> Query:
    """Return the query of a binding that filters by what is given."""
    return Query(Several(params={"given": given}), plans=plans)


def built(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return a list that grows with each queryset that is asked for a plan."""
    found: list[object] = []
    located = compiler.located

    def seen(*asked: Any) -> Any:
        found.append(asked)
        return located(*asked)

    monkeypatch.setattr(room, "located", seen)
    return found


def test_no_queryset_is_built_for_filters_of_names_and_types_that_are_proved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plans, querysets = Plans(), built(monkeypatch)
    first = by_filters(plans, category=1, stock=4)
    assert len(querysets) == 2  # its own, and the probe's
    other = by_filters(plans, category=7, stock=5)
    assert len(querysets) == 2
    assert other.plan is first.plan
    assert told(other) == told(by_filters(None, category=7, stock=5))


@pytest.mark.parametrize(
    "given",
    [
        [{"category": 1, "stock": 1}, {"category": 1, "stock": 2}, {"category": 2, "stock": 1}],
        [{"category": 1, "stock__gte": 1}, {"category": 2, "stock__gte": 1}, {"category": 2}],
        [{"category": 1, "stock__gte": 1}, {"category": 1, "stock__gte": 2}],
        [{"category": 1}, {"category": True}, {"category": "1"}, {"category": None}],
        [{"category": 1}, {"category": 2**63}, {"category": 2**62}, {"category": 1.0}],
        [{"active": True}, {"active": False}, {"active": 1}, {"active": 0}],
        [{"category": 1, "tags": 2}, {"category": 2, "tags": 1}, {"tags": 1, "category": 1}],
        [{"pk": 1, "category__in": [1]}, {"pk": 2, "category__in": [1, 2]}],
        [{"name": "a", "category": 3}, {"name": "b", "category": 3}, {"name": "b", "category": 4}],
        [{"stock": 30_001, "category": 30_002}, {"stock": 30_003, "category": 30_001}],
        [{}, {"category": 1}],
    ],
)
def test_filters_that_were_proved_say_what_their_queryset_says(given: list[Any]) -> None:
    plans = Plans()
    for _ in range(2):
        for filters in (*given, *reversed(given)):
            try:
                alone = told(by_filters(None, **filters))
            except Exception as problem:
                with pytest.raises(type(problem)):
                    by_filters(plans, **filters)
            else:
                assert told(by_filters(plans, **filters)) == alone


def test_equal_values_are_proved_to_be_of_their_own_filters() -> None:
    plans = Plans()
    by_filters(plans, category=1, stock=1)
    slots = [by_filters(plans, category=a, stock=b).slot for a, b in ((1, 2), (2, 1))]
    assert slots == [by_filters(None, category=a, stock=b).slot for a, b in ((1, 2), (2, 1))]
    assert slots[0] != slots[1]


def test_a_binding_is_asked_for_its_filters_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = Plans()
    for filters in ({"category": 1}, {"category": 2}, {"category__in": [1]}, {"price": 1.5}):
        monkeypatch.setattr(Several, "asked", 0)
        by_filters(plans, **filters)
        assert Several.asked == 1


@pytest.mark.parametrize(
    "code",
    [
        {"get_queryset": lambda self: Product.objects.exclude(stock=self.params["given"]["stock"])},
        {"get_q": lambda self: Q(stock__lt=self.params["given"]["stock"])},
        {"excludes": property(lambda self: {"stock": self.params["given"]["stock"]})},
        {
            "queryset": property(
                lambda self: Product.objects.exclude(pk=self.params["given"]["stock"])
            )
        },
        {
            "ordering": property(
                lambda self: ["name" if self.params["given"]["stock"] < 2 else "pk"]
            )
        },
        {"limit": property(lambda self: self.params["given"]["stock"])},
        {"max_rows": property(lambda self: self.params["given"]["stock"])},
    ],
)
def test_what_else_a_binding_says_counts_beside_its_filters(code: dict[str, Any]) -> None:
    kind = type("Coded", (Several,), {**code, "__module__": __name__})
    plans = Plans()
    for stock in (1, 2, 3, 1):
        asked_for = {"params": {"given": {"stock": stock}}}
        known, alone = Query(kind(**asked_for), plans=plans), Query(kind(**asked_for))
        assert (known.slot, known.max_rows, known.plan.cut) == (
            alone.slot, alone.max_rows, alone.plan.cut,
        )  # fmt: skip
        assert told(known)["sql"] == told(alone)["sql"]


def test_each_query_of_proved_filters_reads_its_own_rows() -> None:
    for n in (1, 2):
        Category.objects.create(pk=n, name=f"c{n}")
    for n in range(1, 9):
        Product.objects.create(pk=n, name=f"p{n}", category_id=1 + n % 2, stock=n % 3)
    plans = Plans()
    for category, stock in ((1, 1), (1, 2), (2, 1), (2, 2)):
        query = by_filters(plans, category=category, stock=stock)
        expected = Product.objects.filter(category=category, stock=stock).order_by("pk")
        assert list(reading.load(query, Recorder(), Pacer(10)).keys) == [p.pk for p in expected]


keep_out(globals())
