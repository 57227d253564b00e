"""The system checks: each mistake is told by its id, with what to do."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.checks import CheckMessage
from django.db import connections, models
from django.db.models.functions import Now
from django.test import modify_settings, override_settings
from django.utils import timezone
from rest_framework import serializers
from rest_framework.permissions import BasePermission, DjangoObjectPermissions, IsAuthenticated

from bindserver import Binding, checks
from bindserver.bindings import importing
from bindserver.bindings.importing import ImportQuery
from bindserver.bindings.registry import registry
from bindserver.checks.audience import check_permissions
from bindserver.http.viewsets import BoundModelViewSet
from tests.app.models import Moment, Product, Shelf, Tag
from tests.projects.unsound.serializers import Deep
from tests.unit.queries.test_like_drf import BackwardsRow, FullRow

Declare = Callable[..., type[Binding[Any]]]


class Pair(models.Model):
    """A model that no one field tells rows of apart."""

    pk = models.CompositePrimaryKey("left", "right")
    left = models.IntegerField()
    right = models.IntegerField()

    class Meta:
        app_label = "app"
        managed = False


class Document(models.Model):
    """A model whose key is no single value either."""

    content = models.JSONField(primary_key=True)

    class Meta:
        app_label = "app"
        managed = False


class Signed(models.Model):
    """A model whose key is another's."""

    document = models.OneToOneField(Document, models.CASCADE, primary_key=True)

    class Meta:
        app_label = "app"
        managed = False


class Route(models.Model):
    """One whose key is a list."""

    stops = ArrayField(models.IntegerField(), primary_key=True)

    class Meta:
        app_label = "app"
        managed = False


class Sketch(models.Model):
    """One without a table: others build on it."""

    class Meta:
        abstract = True


class Sums(models.Model):
    """One of a database view."""

    stock = models.IntegerField()

    class Meta:
        app_label = "app"
        managed = False


class RefusingManager(models.Manager["Scoped"]):
    """As django-scopes' own: nothing is told outside of a scope."""

    def get_queryset(self) -> models.QuerySet[Scoped]:
        raise LookupError("no scope is active")


class Scoped(models.Model):
    """A model whose manager answers in a request's surroundings alone."""

    name = models.CharField(max_length=10)
    objects = RefusingManager()

    class Meta:
        app_label = "app"
        managed = False


def until_now(self: Any) -> models.Q:
    return models.Q(at__lt=timezone.now())


@pytest.fixture
def declare() -> Iterator[Declare]:
    """Declare bindings that are forgotten with the test."""
    declared: list[type[Binding[Any]]] = []

    def make(name: str = "Wrong", **attributes: Any) -> type[Binding[Any]]:
        declared.append(type(name, (Binding,), attributes))
        return declared[-1]

    yield make
    for binding in declared:
        registry.remove(binding)


def told(found: list[CheckMessage]) -> list[str]:
    """Return the ids; each message must say what is wrong, in a sentence."""
    assert all(str(message.msg).endswith(".") for message in found)
    return [str(message.id) for message in found]


def evaluated(queryset: Any) -> Any:
    list(queryset)
    return queryset


thread = threading.local()


def of_thread(binding: Binding[Any]) -> Any:
    return Product.objects.filter(stock=thread.tenant)


class PricedRow(serializers.Serializer[Any]):
    """One that looks for a column."""

    price = serializers.DecimalField(max_digits=8, decimal_places=2)


class LinkedRow(serializers.ModelSerializer[Any]):
    """One that renders a related row's key, of the row itself."""

    class Meta:
        model = Product
        fields = ("category",)


N = models.Count("pk")
ONE, OTHER = Product.objects.filter(pk=1), Product.objects.filter(pk=2)
SUMS: dict[str, Any] = {"model": Product, "event": "wrong"}
GOOD: dict[str, Any] = {"model": Product, "event": "wrong", "fields": ["id", "name"]}
MISTAKES: dict[str, tuple[str, dict[str, Any]]] = {
    "an event of the protocol's own": ("E003", {**GOOD, "event": "$wrong"}),
    "the event of streams": ("E003", {**GOOD, "event": "stream"}),
    "an event of Socket.IO's": ("E003", {**GOOD, "event": "connect"}),
    "an event with a slash": ("E003", {**GOOD, "event": "a/b"}),
    "an empty event": ("E003", {**GOOD, "event": ""}),
    "an event that is no string": ("E003", {**GOOD, "event": 7}),
    "no model": ("E004", {"event": "wrong", "fields": ["id"]}),
    "a model's name in its place": ("E004", {**GOOD, "model": "app.Product"}),
    "a model that is abstract": ("E004", {**GOOD, "model": Sketch}),
    "a queryset that is none": ("E005", {**GOOD, "model": None, "queryset": Product.objects}),
    "a queryset of tuples": ("E051", {**GOOD, "queryset": Product.objects.values_list("id")}),
    "a queryset of named tuples": (
        "E051",
        {**GOOD, "queryset": Product.objects.values_list("id", named=True)},
    ),
    "fields that values() does not select": (
        "E009",
        {**GOOD, "queryset": Product.objects.values("id")},
    ),
    "a bare values()": ("E008", {"event": "wrong", "queryset": Product.objects.values()}),
    "groups without what they are made by": (
        "E060",
        {**SUMS, "queryset": Product.objects.values("stock").annotate(n=N).values("n")},
    ),
    "groups in an order that makes others": (
        "E060",
        {**SUMS, "queryset": Product.objects.values("stock").annotate(n=N).order_by("name")},
    ),
    "an order of a binding that makes other groups": (
        "E060",
        {**SUMS, "queryset": Product.objects.values("stock").annotate(n=N), "ordering": "name"},
    ),
    "distinct rows in an order that makes others": (
        "E060",
        {**SUMS, "queryset": Product.objects.values("stock").distinct().order_by("name")},
    ),
    "a key that there is no name for": (
        "E060",
        {
            **SUMS,
            "queryset": Product.objects.values(
                "stock", "category", key=models.F("name"), group_key=models.F("sku")
            ).distinct(),
        },
    ),
    "a serializer of what values() does not select": (
        "E061",
        {**SUMS, "queryset": Product.objects.values("stock"), "serializer_class": PricedRow},
    ),
    "a serializer of related instances in values()": (
        "E061",
        {**SUMS, "queryset": Product.objects.values("category"), "serializer_class": LinkedRow},
    ),
    "aggregates that are no dict": ("E062", {**SUMS, "aggregate": [N]}),
    "no aggregates": ("E062", {**SUMS, "aggregate": {}}),
    "an aggregate that is none": ("E062", {**SUMS, "aggregate": {"n": models.F("stock")}}),
    "an aggregate of no column": ("E062", {**SUMS, "aggregate": {"n": models.Sum("nonsense")}}),
    "an aggregate with a limit": ("E062", {**SUMS, "aggregate": {"n": N}, "limit": 3}),
    "an aggregate of a slice": (
        "E062",
        {**SUMS, "aggregate": {"n": N}, "queryset": Product.objects.all()[:3]},
    ),
    "an aggregate of a union": (
        "E062",
        {**SUMS, "aggregate": {"n": N}, "queryset": ONE.union(OTHER)},
    ),
    "a union of models' instances": (
        "E063",
        {**GOOD, "queryset": ONE.union(Tag.objects.all())},
    ),
    "a union of unlike columns": (
        "E063",
        {**SUMS, "queryset": ONE.values("id", "name").union(OTHER.values("id"))},
    ),
    "a union that is annotated by parts": (
        "E063",
        {
            **GOOD,
            "queryset": ONE.annotate(of=models.Value(1)).union(OTHER.annotate(of=models.Value(2))),
        },
    ),
    "a union of slices, on SQLite": ("E063", {**GOOD, "queryset": ONE[:2].union(OTHER[:2])}),
    "a union ordered by what it does not select": (
        "E063",
        {**SUMS, "queryset": ONE.values("name").union(OTHER.values("name")).order_by("stock")},
    ),
    "a queryset of dates": ("E051", {**GOOD, "queryset": Moment.objects.dates("at", "day")}),
    "a raw queryset": ("E005", {**GOOD, "queryset": Product.objects.raw("SELECT 1 AS id")}),
    "a union that is filtered": (
        "E013",
        {
            **GOOD,
            "queryset": Product.objects.filter(pk=1).union(Product.objects.filter(pk=2)),
            "filters": {"stock": 1},
        },
    ),
    "a composite key": ("E006", {"model": Pair, "event": "wrong", "fields": ["left"]}),
    "a key of JSON": ("E006", {"model": Document, "event": "wrong", "fields": ["content"]}),
    "another's key of JSON": ("E006", {"model": Signed, "event": "wrong", "fields": ["document"]}),
    "an array as the key": ("E006", {"model": Route, "event": "wrong", "fields": ["stops"]}),
    "fields and a serializer": (
        "E007",
        {**GOOD, "serializer_class": serializers.Serializer},
    ),
    "an event and no fields": ("E008", {"model": Product, "event": "wrong"}),
    "an unknown field": ("E009", {**GOOD, "fields": ["id", "nonsense"]}),
    "fields that are a string": ("E009", {**GOOD, "fields": "name"}),
    "fields in no order": ("E009", {**GOOD, "fields": {"id", "name"}}),
    "a serializer that is none": (
        "E009",
        {"model": Product, "event": "wrong", "serializer_class": Product},
    ),
    "params that are no dict": ("E010", {**GOOD, "params": ["category"]}),
    "a param that URLs use": ("E011", {**GOOD, "params": {"search": str}}),
    "a param of no known kind": ("E012", {**GOOD, "params": {"category": float}}),
    "a filter by an unknown field": ("E013", {**GOOD, "filters": {"nonsense": 1}}),
    "filters that are no dict": ("E013", {**GOOD, "filters": ["active"]}),
    "an exclude by an unknown field": ("E013", {**GOOD, "excludes": {"nonsense": 1}}),
    "an order by an unknown field": ("E014", {**GOOD, "ordering": ["nonsense"]}),
    "a random order": ("E014", {**GOOD, "ordering": ["?"]}),
    "a limit of nothing": ("E015", {**GOOD, "limit": 0}),
    "a limit that is chosen by text": ("E015", {**GOOD, "params": {"limit": str}}),
    "max_rows that are no number": ("E015", {**GOOD, "max_rows": "many"}),
    "an unknown database": ("E016", {**GOOD, "using": "elsewhere"}),
    "permission classes that are none": ("E018", {**GOOD, "permission_classes": ["IsAdminUser"]}),
    "an order that is no list": ("E019", {**GOOD, "ordering": 5}),
    "a queryset that has been evaluated": (
        "E023",
        {"event": "wrong", "fields": ["id"], "queryset": evaluated(Product.objects.none())},
    ),
    "one permission class without a list": (
        "E018",
        {**GOOD, "permission_classes": IsAuthenticated},
    ),
    "a list serializer that renders": (
        "E040",
        {"model": Product, "event": "goods", "serializer_class": BackwardsRow},
    ),
    "a queryset of another database": (
        "E041",
        {"queryset": Product.objects.using("archive"), "event": "goods", "fields": ["id"]},
    ),
    "every column of a user": (
        "E054",
        {"model": Shelf, "event": "goods", "serializer_class": Deep},
    ),
    "the time at which it is asked": (
        "E066",
        {"model": Moment, "event": "goods", "fields": ["at"], "get_q": until_now},
    ),
    "the time at which Python asks": ("W066", {"model": Moment, "get_q": until_now}),
    "the time, that nobody follows": (
        "W067",
        {"queryset": Moment.objects.annotate(now=Now()), "event": "goods", "fields": ["at"]},
    ),
    "a time to refresh": ("E065", {**GOOD, "refresh_seconds": 0.5}),
    "what stands behind it": ("E064", {**GOOD, "depends_on": ["app.Nothing"]}),
    "what a thread has of its own": ("W053", {**GOOD, "get_queryset": of_thread}),
    "no name for the key": (
        "E042",
        {"model": Product, "event": "goods", "serializer_class": FullRow},
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_by_its_id(mistake: str, declare: Declare) -> None:
    identifier, attributes = MISTAKES[mistake]
    declare(**attributes)
    assert told(checks.check_bindings()) == [f"bindserver.{identifier}"]


ROWS_OF_COLUMNS: dict[str, dict[str, Any]] = {
    "a sum of each": {"queryset": Product.objects.values("category").annotate(total=N)},
    "one row": {"model": Product, "aggregate": {"total": models.Sum("price"), "n": N}},
    "one row that a method tells": {"model": Product, "aggregate": lambda _: {"n": N}},
    "an aggregate of another": {
        "model": Product,
        "aggregate": {"n": N, "double": models.F("n") * 2},
    },
    "some columns": {"queryset": Product.objects.values(), "fields": ["name"]},
    "an order by the sum": {
        "queryset": Product.objects.values("category").annotate(total=N),
        "ordering": ["-total"],
    },
    "a serializer": {
        "queryset": Product.objects.values("category", "price"),
        "serializer_class": PricedRow,
    },
    "nothing, in an order": {
        "queryset": Product.objects.none(),
        "fields": ["id"],
        "ordering": ["name"],
    },
    "a union": {"queryset": ONE.values("name").union(Tag.objects.values("name"))},
    "a union of instances": {"queryset": ONE.union(OTHER), "fields": ["id"], "ordering": ["-name"]},
}


@pytest.mark.parametrize("what", ROWS_OF_COLUMNS)
def test_rows_of_columns_are_no_mistake(declare: Declare, what: str) -> None:
    declare(event="right", **ROWS_OF_COLUMNS[what])
    assert [str(message.msg) for message in checks.check_bindings()] == []


def test_the_bindings_of_the_tests_have_no_mistakes() -> None:
    assert checks.check_bindings() == []


def test_what_is_written_as_a_method_or_property_is_left_alone(declare: Declare) -> None:
    declare(**GOOD, filters=lambda self: {"nonsense": self.user.pk}, excludes=property(lambda _: 1))
    assert checks.check_bindings() == []


def counted(self: Any) -> models.QuerySet[Product]:
    return Product.objects.annotate(tag_count=models.Count("tags"))


def test_what_a_method_annotates_may_be_filtered_and_ordered_by(declare: Declare) -> None:
    asked = {"filters": {"tag_count__gt": 1}, "excludes": {"tag_count": 9}}
    declare(**GOOD, **asked, ordering=["-tag_count"], get_queryset=counted)
    assert checks.check_bindings() == []


@pytest.mark.parametrize(
    ("identifier", "asked"),
    [("E013", {"filters": {"category__nonsense": 1}}), ("E014", {"ordering": ["-name__nonsense"]})],
)
def test_what_no_method_can_annotate_is_told_beside_one(
    declare: Declare, identifier: str, asked: dict[str, Any]
) -> None:
    declare(**GOOD, **asked, get_queryset=counted)
    assert told(checks.check_bindings()) == [f"bindserver.{identifier}"]


def test_a_manager_that_answers_in_a_request_alone_is_left_to_the_method(declare: Declare) -> None:
    asked = {"filters": {"name": "a"}, "ordering": ["name"]}
    rows: models.QuerySet[Scoped] = models.QuerySet(Scoped)
    declare(
        model=Scoped,
        event="in a scope",
        fields=["id"],
        get_queryset=lambda self: rows.all(),
        **asked,
    )
    assert checks.check_bindings() == []


def test_a_viewset_is_made_where_its_model_s_manager_answers_in_a_request_alone(
    declare: Declare,
) -> None:
    binding = declare(model=Scoped, event="in a scope", fields=["id"])
    made: Any = type("ScopedViewSet", (BoundModelViewSet,), {"binding": binding})
    assert made.queryset.model is Scoped
    assert made.queryset.query.is_empty()


def test_a_binding_of_python_s_alone_needs_no_fields(declare: Declare) -> None:
    declare(model=Product)
    assert checks.check_bindings() == []


def test_two_bindings_with_one_event_are_told(declare: Declare) -> None:
    declare("First", **GOOD)
    declare("Second", **{**GOOD, "model": Tag})
    found = checks.check_bindings()
    assert told(found) == ["bindserver.E002"]
    assert "First" in str(found[0].msg)


def test_twins_of_one_name_are_told_apart_by_their_modules(declare: Declare) -> None:
    declare("Goods", **GOOD, __module__="shop.bindings")
    declare("Goods", **GOOD, __module__="depot.bindings")
    [twins] = checks.check_bindings()
    assert "depot.bindings.Goods and shop.bindings.Goods have the same event" in twins.msg


def test_an_unknown_field_is_told_without_a_class_that_nobody_wrote(declare: Declare) -> None:
    declare(**{**GOOD, "fields": ["id", "nonsense"]})
    problem = "Field name `nonsense` is not valid for model `Product`."
    assert [error.msg for error in checks.check_bindings()] == [f"Wrong.fields: {problem}"]


@pytest.mark.parametrize(("command", "told_as"), [("check", "E022"), ("migrate", "W022")])
def test_a_query_of_the_module_is_told(
    declare: Declare, monkeypatch: pytest.MonkeyPatch, command: str, told_as: str
) -> None:
    binding = declare(**GOOD)
    module = binding.__module__
    asked = ImportQuery(
        module=module, scope="Wrong", place="bindings.py:1", by=module, what="SELECT 1"
    )
    monkeypatch.setattr(importing, "_asked", {(asked.module, asked.scope): asked})
    monkeypatch.setattr(sys, "argv", ["manage.py", command])
    assert told(checks.check_bindings()) == [f"bindserver.{told_as}"]


def test_a_warning_hides_no_error(declare: Declare) -> None:
    declare(**GOOD, permission_classes=[AsksAboutObjects], ordering=["nonsense"])
    assert told(checks.check_bindings()) == ["bindserver.W002", "bindserver.E014"]


def test_an_event_that_cannot_be_compared_hides_no_twins(declare: Declare) -> None:
    declare("Odd", **{**GOOD, "event": ["wrong"]})
    assert told(checks.check_bindings()) == ["bindserver.E003"]


def test_a_database_without_support_is_told(
    declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(**GOOD)
    monkeypatch.setattr(connections["default"], "vendor", "oracle")
    assert set(told(checks.check_bindings())) == {"bindserver.E017"}


@pytest.mark.parametrize(
    "setting",
    [
        {"NONSENSE": 1},
        {"MAX_ROWS": 0},
        {"MAX_ROWS": "many"},
        {"TURN_SECONDS": 0},
        {"VIEW_SHARE": 1.5},
        {"CAPTURE": "luck"},
        {"ORIGINS": "https://shop.example"},
        {"RING_BYTES": True},
    ],
    ids=str,
)
def test_a_wrong_setting_is_told(setting: dict[str, Any]) -> None:
    with override_settings(BINDSERVER=setting):
        assert told(checks.check_settings()) == ["bindserver.E001"]


def test_right_settings_are_passed_over() -> None:
    right = {"ORIGINS": ["https://shop.example"], "CAPTURE": "log", "LOG_POLL_SECONDS": 0.5}
    with override_settings(BINDSERVER=right):
        assert checks.check_settings() == []


def test_a_database_in_memory_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections["default"], "is_in_memory_db", lambda: True)
    assert told(checks.check_databases(databases=["default"])) == ["bindserver.W001"]
    assert checks.check_databases() == []


@pytest.mark.parametrize(
    "wrong", [{"groups": "goods"}, {"groups": ["a b"]}, {"group": ""}], ids=str
)
def test_a_wrong_name_of_a_group_is_told(declare: Declare, wrong: dict[str, Any]) -> None:
    declare(**GOOD, **wrong)
    assert told(checks.check_bindings()) == ["bindserver.E030"]


def test_groups_that_nobody_can_tell_are_warned_of(declare: Declare) -> None:
    declare(**GOOD, groups=["goods"])
    layer = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    with override_settings(CHANNEL_LAYERS={}):
        assert told(checks.check_bindings()) == ["bindserver.W030"]
    with override_settings(CHANNEL_LAYERS=layer):
        assert told(checks.check_bindings()) == []


class TenantSyncRouter:
    """As django-tenants' is called."""


@pytest.mark.usefixtures("postgresql_database")
class TestWhoIsShownOtherRows:
    def test_bindings_where_schemas_are_switched_are_refused_but_for_python_s_alone(
        self, declare: Declare
    ) -> None:
        declare(**GOOD)
        declare("Own", model=Product)
        with override_settings(DATABASE_ROUTERS=[f"{__name__}.TenantSyncRouter"]):
            found = [m for m in checks.check_bindings() if m.obj.__name__ in ("Wrong", "Own")]
        assert told(found) == ["bindserver.E050"]
        assert "TenantSyncRouter switches schemas" in str(found[0].msg)

    def test_a_table_with_row_level_security_for_the_server_s_role_is(
        self, declare: Declare
    ) -> None:
        declare(**GOOD)
        with connections["default"].cursor() as cursor:
            cursor.execute("ALTER TABLE app_product ENABLE ROW LEVEL SECURITY")
            cursor.execute("DROP ROLE IF EXISTS server")
            cursor.execute("CREATE ROLE server")
            assert checks.check_databases(databases=["default"]) == []  # by its owner
            cursor.execute("SET ROLE server")
            found = checks.check_databases(databases=["default"])
            cursor.execute("RESET ROLE")
            cursor.execute("DROP ROLE server")
        wrong = [message for message in found if message.obj.__name__ == "Wrong"]
        assert told(wrong) == ["bindserver.E052"]


def test_a_database_view_is_warned_of(each_database: str, declare: Declare) -> None:
    declare(model=Sums, event="wrong", fields=["id", "stock"])
    with connections["default"].cursor() as cursor:
        cursor.execute("DROP VIEW IF EXISTS app_sums")
        cursor.execute("CREATE VIEW app_sums AS SELECT id, stock FROM app_product")
    found = checks.check_databases(databases=["default"])
    assert told(found) == ["bindserver.W051"]
    assert "app_sums, a database view" in str(found[0].msg)
    assert "depends_on" in str(found[0].hint)


def test_a_database_view_that_is_explained_is_not(each_database: str, declare: Declare) -> None:
    declare(model=Sums, event="wrong", fields=["id", "stock"], depends_on=["app.Product"])
    with connections["default"].cursor() as cursor:
        cursor.execute("DROP VIEW IF EXISTS app_sums")
        cursor.execute("CREATE VIEW app_sums AS SELECT id, stock FROM app_product")
    assert checks.check_databases(databases=["default"]) == []


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ("app.Product", "is a list of models"),
        ([Sketch], "Sketch, which is abstract"),
        ([Product.objects], "which is no model"),
        (["Product"], "there is no such model"),
    ],
)
def test_what_stands_behind_is_named_as_models(
    declare: Declare, named: object, problem: str
) -> None:
    declare(**GOOD, depends_on=named)
    [found] = checks.check_bindings()
    assert (found.id, problem in str(found.msg)) == ("bindserver.E064", True)


TESTS = Path(__file__).resolve().parents[2]
OF_DEPLOYMENTS = (
    "unit/checks/test_deploy.py",
    "unit/checks/test_versions.py",
    "databases/management/test_doctor.py",
)


def test_every_check_has_its_test() -> None:
    here = Path(__file__).read_text()
    sources = [path.read_text() for path in Path(checks.__file__).parent.glob("*.py")]
    known = set(re.findall(r'id="bindserver\.([EW]\d+)"', "".join(sources)))
    of_bindings = {name for name in known if name[1] == "0"}
    assert of_bindings == set(re.findall(r"\b([EW]0\d\d)\b", here))
    elsewhere = "".join((TESTS / path).read_text() for path in OF_DEPLOYMENTS)
    assert known - of_bindings <= set(re.findall(r"\b([EW]\d\d\d)\b", elsewhere))


def test_daphne_is_warned_of() -> None:
    with override_settings(INSTALLED_APPS=["daphne", *settings.INSTALLED_APPS]):
        assert told(checks.check_server()) == ["bindserver.W011"]
    assert checks.check_server() == []


class AsksAboutObjects(BasePermission):
    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        return True


@pytest.mark.parametrize(
    "classes",
    [[AsksAboutObjects], [IsAuthenticated | AsksAboutObjects], (DjangoObjectPermissions,)],
)
def test_a_permission_that_asks_about_objects_is_warned_of(declare: Declare, classes: Any) -> None:
    binding = declare(**{**GOOD, "permission_classes": classes})
    assert told(list(check_permissions(binding))) == ["bindserver.W002"]
    quiet = declare("Quiet", model=Product, permission_classes=classes)
    assert told(list(check_permissions(quiet))) == []


def test_a_function_that_cannot_be_imported_is_told() -> None:
    for wrong in ("tests.nothing.here", "nothing", 5, "tests.app.tickets.used"):
        with override_settings(BINDSERVER={"AUTHENTICATE": wrong}):
            assert told(checks.check_settings()) == ["bindserver.E001"]
    with override_settings(BINDSERVER={"AUTHENTICATE": "tests.app.tickets.by_ticket"}):
        assert checks.check_settings() == []


@modify_settings(INSTALLED_APPS={"remove": "django.contrib.auth"})
def test_a_project_without_users_is_told_so() -> None:
    assert told(checks.check_server()) == ["bindserver.E021"]


def test_a_channel_layer_that_drops_messages_is_warned_of() -> None:
    backend = "channels_redis.core.RedisChannelLayer"
    with override_settings(CHANNEL_LAYERS={"default": {"BACKEND": backend}}):
        assert told(checks.check_channel_layer()) == ["bindserver.W020"]
    assert checks.check_channel_layer() == []
