"""Views that never load: whoever waits is told why, and the log hears of each failure once."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import DatabaseError, connections, models
from django.db.models import Q, QuerySet, Sum
from django.test import Client, override_settings
from rest_framework import serializers

from bindserver import Binding
from bindserver.bindings.registry import registry
from bindserver.capture.log import log_of
from bindserver.cycle.failure_log import AGAIN_SECONDS, FailureLog, is_of_values
from bindserver.cycle.inbox import Caller, SnapshotRequest
from bindserver.cycle.live_view import ViewState
from bindserver.engine.events import Rejected
from bindserver.engine.protocol import Code
from bindserver.exceptions import Failed
from bindserver.hub.hub import hub
from tests.app.models import Moment, Product, Tag
from tests.conftest import BARE
from tests.support.logs import is_ours
from tests.support.turning import Turning, add


class Declared(Binding[Product]):
    """Whatever a test wants."""

    model = Product
    event = "declared"
    fields = ["id", "name"]


class Rendered(serializers.Serializer[Product]):
    name = serializers.SerializerMethodField()

    def get_name(self, product: Product) -> str:
        if self.context.get("leaves"):
            sys.exit()
        if product.name == "broken":
            raise ValueError(f"a secret about {product.pk}")
        return product.name


class ByRow(Binding[Product]):
    """Fails with a product that is broken."""

    model = Product
    event = "by_row"
    serializer_class = Rendered


class ByRowAndTag(ByRow):
    """Leaves out what a tag names, and so has another query when that changes."""

    event = "by_row_and_tag"

    def get_queryset(self) -> Any:
        return Product.objects.exclude(name=Tag.objects.get().name)


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    before = set(registry.all())
    own: set[type[Binding[Any]]] = {Declared, ByRow, ByRowAndTag, Leaving}
    for binding in own - before:
        registry.add(binding)
    yield
    for binding in set(registry.all()) - before | own:
        registry.remove(binding)


def reference(refused: Rejected | None) -> str:
    assert refused is not None
    return refused.detail.rpartition("reference ")[2]


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [r for r in caplog.records if is_ours(r) and "reference" in r.getMessage()]


class Ending(serializers.Serializer[Product]):
    raises: BaseException

    def to_representation(self, product: Product) -> Any:
        raise self.raises


def again(turning: Turning) -> None:
    for live in turning.views():
        live.retry_at = 0.0


class TestAFreshView:
    @pytest.fixture
    def broken(self, sqlite_turning: Turning) -> Product:
        return add(1, name="broken")

    def test_answers_those_who_wait_with_an_error_in_place_of_their_acceptance(
        self, sqlite_turning: Turning, broken: Product
    ) -> None:
        followers = [sqlite_turning.follow(ByRow()) for _ in range(3)]
        sqlite_turning.turn()
        assert [f.told() for f in followers] == [["error"]] * 3
        assert {f.refused.code for f in followers if f.refused} == {Code.INTERNAL}
        assert len({reference(f.refused) for f in followers}) == 1
        assert "secret" not in str(followers[0].refused)

    def test_tells_the_reason_in_debug_mode(self, sqlite_turning: Turning, broken: Product) -> None:
        with override_settings(DEBUG=True):
            follower = sqlite_turning.follow(ByRow())
            sqlite_turning.turn()
        assert follower.refused is not None
        assert "(ValueError: a secret about 1)" in follower.refused.detail

    def test_says_the_same_to_whoever_comes_before_it_is_tried_again_and_asks_nothing(
        self, sqlite_turning: Turning, broken: Product
    ) -> None:
        first = sqlite_turning.follow(ByRow())
        sqlite_turning.turn()
        second, asked = (
            sqlite_turning.follow(ByRow()),
            SnapshotRequest(binding=ByRow, caller=Caller(), params={}, trusted=True),
        )
        sqlite_turning.ask(asked)
        sqlite_turning.turn()
        assert reference(second.refused) == reference(first.refused)
        problem = asked.answer.exception(0)
        assert isinstance(problem, Failed)
        assert problem.reference == reference(first.refused)
        assert sqlite_turning.statements == []

    def test_is_not_tried_again_while_nobody_asks(
        self, sqlite_turning: Turning, broken: Product
    ) -> None:
        sqlite_turning.follow(ByRow())
        sqlite_turning.turn()
        again(sqlite_turning)
        assert sqlite_turning.store.due() == float("inf")
        Product.objects.update(stock=1)
        sqlite_turning.turn()
        assert sqlite_turning.statements == []
        (live,) = sqlite_turning.views()
        assert not live.wanted
        live.used_at -= 1e6
        sqlite_turning.store.evict()
        assert sqlite_turning.views() == []

    def test_is_tried_again_for_whoever_asks_then_and_heals(
        self, sqlite_turning: Turning, broken: Product, caplog: pytest.LogCaptureFixture
    ) -> None:
        sqlite_turning.follow(ByRow())
        sqlite_turning.turn()
        again(sqlite_turning)
        second = sqlite_turning.follow(ByRow())
        sqlite_turning.turn()
        assert second.told() == ["error"]
        (live,) = sqlite_turning.views()
        assert live.failures == 2
        Product.objects.update(name="mended")
        again(sqlite_turning)
        sqlite_turning.follow_again(second, ByRow())
        sqlite_turning.turn()
        assert second.told() == ["sync"]
        assert [r.getMessage().partition(" (ref")[0] for r in errors(caplog)] == [
            f"bindserver: by_row ({__name__}.ByRow) is set aside, as it failed",
            f"bindserver: by_row ({__name__}.ByRow) is well again",
        ]

    def test_once_it_has_had_rows_is_stale_and_tried_again_by_itself(
        self, sqlite_turning: Turning
    ) -> None:
        add(1)
        follower = sqlite_turning.follow(ByRow())
        sqlite_turning.turn()
        Product.objects.update(name="broken")
        sqlite_turning.turn()
        asked = SnapshotRequest(binding=ByRow, caller=Caller(), params={}, trusted=True)
        sqlite_turning.ask(asked)
        sqlite_turning.turn()
        assert follower.told() == ["sync", "stale"]
        assert isinstance(asked.answer.exception(0), Failed)  # there are no present rows to give
        Product.objects.update(name="mended")
        again(sqlite_turning)
        sqlite_turning.turn()
        assert follower.told() == ["update"]

    def test_that_the_loader_reads_answers_too(
        self, sqlite_turning: Turning, broken: Product
    ) -> None:
        add(2)
        with override_settings(BINDSERVER={"SYNC_ROWS": 1}):
            add(0)
            follower = sqlite_turning.follow(ByRow())
            sqlite_turning.turn()
        assert follower.told() == ["error"]
        assert [live.state for live in sqlite_turning.views()] == [ViewState.FAILED]


class Moving(Binding[Product]):
    """Leads to another view while there is a tag, whose rows cannot be read."""

    model = Product
    serializer_class = Rendered

    def get_queryset(self) -> QuerySet[Any]:
        return Product.objects.filter(name="broken" if Tag.objects.exists() else "fine")


class Leaving(Binding[Product]):
    """Ends its thread, where a test says."""

    model = Product
    event = "leaving"
    serializer_class = Rendered
    where = ""

    def get_queryset(self) -> QuerySet[Any]:
        if self.where == "queryset":
            sys.exit()
        return super().get_queryset()

    def get_serializer_context(self) -> dict[str, Any]:
        return {"leaves": self.where == "serializer"}


@pytest.mark.parametrize("where", ["queryset", "serializer"])
def test_code_that_ends_its_thread_fails_alone(
    sqlite_turning: Turning, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(1, name="fine")
    monkeypatch.setattr(Leaving, "where", where)
    leaving, declared = sqlite_turning.follow(Leaving()), sqlite_turning.follow(Declared())
    sqlite_turning.turn()
    assert (leaving.told(), declared.told()) == (["error"], ["sync"])


def test_who_has_rows_and_is_led_to_a_view_that_fails_keeps_them_and_hears_that_they_are_old(
    sqlite_turning: Turning,
) -> None:
    add(1, name="fine"), add(2, name="broken")
    first, second = (sqlite_turning.follow(Moving()) for _ in range(2))
    sqlite_turning.turn()
    Tag.objects.create(name="x")
    sqlite_turning.turn()
    assert [f.told() for f in (first, second)] == [["sync", "stale"]] * 2
    assert first.column("name") == ["fine"]
    Product.objects.filter(pk=2).update(name="mended")
    Product.objects.filter(pk=1).update(name="broken")
    Tag.objects.all().delete()
    again(sqlite_turning)
    sqlite_turning.turn()
    assert first.told() == ["delete"]  # what differs: its view has taken both queries
    assert first.column("name") == []


class TestTheLog:
    def test_has_one_traceback_for_a_failure_that_many_views_share(
        self, sqlite_turning: Turning, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Closed(Binding[Product]):
            model = Product
            params = {"n": int}

            def get_queryset(self) -> Any:
                return [Product()]

        for number in range(20):
            sqlite_turning.follow(Closed(params={"n": number}))
        sqlite_turning.turn()
        (record,) = errors(caplog)
        assert record.exc_info
        assert "Closed" in record.getMessage()

    def test_hears_rarely_of_what_goes_on(self, caplog: pytest.LogCaptureFixture) -> None:
        times = [0.0]
        failures = FailureLog(lambda: times[-1])
        references = set()
        for seconds in range(0, int(2.5 * AGAIN_SECONDS), 60):
            times.append(seconds)
            references.add(failures.note(ByRow, ValueError("x"), "view"))
        assert len(references) == 1
        assert [bool(r.exc_info) for r in errors(caplog)] == [True, False, False]
        assert "has failed 60 times more" in errors(caplog)[1].getMessage()
        failures.note(ByRow, ValueError("y"), "view")
        assert len(errors(caplog)) == 4

    def test_hears_that_it_is_over_when_the_last_view_is_well(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        failures = FailureLog()
        for view in ("a", "b"):
            failures.note(ByRow, ValueError("x"), view)
        failures.healed("a")
        assert len(errors(caplog)) == 1
        failures.healed("b")
        assert "is well again" in errors(caplog)[1].getMessage()

    def test_hears_that_it_is_over_of_a_view_whose_query_is_another_by_then(
        self, sqlite_turning: Turning, caplog: pytest.LogCaptureFixture
    ) -> None:
        add(1, name="fine")
        tag = Tag.objects.create(name="hidden")
        follower = sqlite_turning.follow(ByRowAndTag())
        sqlite_turning.turn()
        Product.objects.update(name="broken")
        sqlite_turning.turn()
        tag.name = "hidden from now on"
        tag.save()
        Product.objects.update(name="fine again")
        again(sqlite_turning)
        sqlite_turning.turn()
        assert follower.column("name") == ["fine again"]
        assert "is well again" in errors(caplog)[-1].getMessage()

    def test_forgets_old_failures(self) -> None:
        failures = FailureLog()
        for number in range(2000):
            failures.note(ByRow, ValueError(str(number)))
        assert len(failures._known) == 500


NO_ROWS: dict[str, Callable[[], Any]] = {
    "a dict, as aggregate() does": lambda: Product.objects.aggregate(Sum("stock")),
    "rows of values_list()": lambda: Product.objects.values_list("name", flat=True),
    "rows of values_list(), dates()": lambda: Moment.objects.dates("at", "day"),
    "what raw() gives": lambda: Product.objects.raw("SELECT * FROM app_product"),
    "a list": lambda: list(Product.objects.all()),
    "a generator": lambda: (product for product in Product.objects.all()),
    "a NoneType": lambda: None,
}


@pytest.mark.parametrize("what", NO_ROWS)
def test_what_is_no_queryset_of_instances_is_named(
    what: str, sqlite_turning: Turning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Declared, "get_queryset", lambda self: NO_ROWS[what]())
    with override_settings(DEBUG=True):
        follower = sqlite_turning.follow(Declared())
        sqlite_turning.turn()
    assert follower.refused is not None
    assert f"Declared.get_queryset() returns {what}" in follower.refused.detail


class Stock(Declared):
    event = "stock"
    params = {"q": serializers.CharField(required=False)}

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset()
        return rows.filter(category=self.params["q"]) if self.params else rows


class Regex(Declared):
    event = "regex"
    params = {"q": serializers.CharField(required=False)}

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().filter(name__regex=self.params.get("q", "x"))


class Dear(Declared):
    event = "dear"
    params = {"q": serializers.CharField(required=False)}

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().filter(price__gt=self.params.get("q", 0))


class TestValuesThatNoColumnTakes:
    def test_are_invalid_params_where_django_converts_them(self, turning: Turning) -> None:
        follower = turning.follow(Stock(params={"q": "abc"}))
        turning.turn()
        assert follower.refused is not None
        assert follower.refused.code == Code.INVALID_PARAMS
        assert "a param's value" in follower.refused.detail

    @pytest.mark.parametrize("given", ["x", "NaN"])
    def test_and_where_its_fields_validate_them(self, sqlite_turning: Turning, given: str) -> None:
        follower = sqlite_turning.follow(Dear(params={"q": given}))
        sqlite_turning.turn()
        assert follower.refused is not None
        assert follower.refused.code == Code.INVALID_PARAMS

    @pytest.mark.parametrize("each_database", ["postgresql"], indirect=True)
    def test_and_where_the_database_refuses_them(
        self, each_database: str, turning: Turning, caplog: pytest.LogCaptureFixture
    ) -> None:
        follower = turning.follow(Regex(params={"q": "("}))
        turning.turn()
        assert follower.refused is not None
        assert follower.refused.code == Code.INVALID_PARAMS
        assert not any(record.exc_info for record in caplog.records)

    def test_over_http_too(self, each_database: str) -> None:
        registry.add(Stock) if Stock not in registry.all() else None
        answer = Client().get("/bindings/stock/?q=abc", HTTP_ACCEPT="application/json")
        assert answer.status_code == 400
        assert answer.json()["code"] == "invalid_params"
        hub.stop()

    def test_are_told_from_what_the_project_s_own_code_raises(self) -> None:
        def own() -> None:
            int("x")

        with pytest.raises(ValueError, match="invalid literal") as ours:
            own()
        with pytest.raises(ValueError, match="expected a number") as django:
            Product.objects.filter(pk="x")
        assert not is_of_values(ours.value)
        assert is_of_values(django.value)
        with pytest.raises(ValidationError) as validated:
            raise ValidationError("of their own")
        assert not is_of_values(validated.value)


class WritingSerializer(serializers.ModelSerializer[Product]):
    """Writes what it reads, as `save()`, `get_or_create()` and other atomic blocks do."""

    swallows = False

    def to_representation(self, instance: Product) -> Any:
        try:
            instance.save()
        except DatabaseError:
            if not self.swallows:
                raise
        return super().to_representation(instance)

    class Meta:
        model = Product
        fields = ["id"]


class SwallowingSerializer(WritingSerializer):
    """Has writes fail in silence."""

    swallows = True


class Writing(Binding[Product]):
    """Is served by one of these."""

    model = Product
    serializer_class = WritingSerializer


class Swallowing(Writing):
    """And by the other."""

    serializer_class = SwallowingSerializer


@pytest.mark.parametrize("writing", [Writing, Swallowing])
def test_code_that_writes_fails_alone(turning: Turning, writing: type[Binding[Product]]) -> None:
    follower, declared = turning.follow(writing()), turning.follow(Declared())
    turning.turn()
    assert declared.told() == ["sync"]
    # PostgreSQL takes no more statements after one that fails, be it in silence.
    assert follower.told() in ([["error"]] if writing is Writing else [["error"], ["sync"]])
    Product.objects.filter(pk=10).update(name="renamed")
    turning.turn()
    assert declared.told() == ["update"]


class Total(models.Model):
    """What a database view gives."""

    stock = models.IntegerField()

    class Meta:
        app_label = "app"
        managed = False


@pytest.mark.parametrize("vendor", sorted(BARE))
class TestADatabaseView:
    @pytest.fixture
    def view(self, vendor: str, request: pytest.FixtureRequest) -> type[Binding[Total]]:
        request.getfixturevalue(BARE[vendor])
        with connections["default"].cursor() as cursor:
            cursor.execute("CREATE VIEW app_total AS SELECT id, stock FROM app_product")

        class Totals(Binding[Total]):
            model = Total
            event = "totals"
            fields = ["id", "stock"]

        return Totals

    def test_keeps_nobody_from_watching_the_others(self, view: type[Binding[Total]]) -> None:
        call_command("bindings", "capture", "install", verbosity=0)
        log = log_of(connections["default"])
        assert "app_product" in log.status()["tables"]
        call_command("migrate", verbosity=0)
        assert "app_product" in log.status()["tables"]

    def test_is_followed_by_comparing_it(self, view: type[Binding[Total]]) -> None:
        call_command("bindings", "capture", "install", verbosity=0)
        with Turning() as turning:
            Product.objects.create(pk=1, name="a", price=1, stock=5)
            totals = turning.follow(view())
            turning.turn()
            assert totals.column("stock") == [5]
            Product.objects.update(stock=6)
            turning.compare_suspects()
            turning.turn()
            assert totals.column("stock") == [6]


def test_http_is_answered_at_once_with_the_reference(
    database: Any, caplog: pytest.LogCaptureFixture
) -> None:
    add(1, name="broken")
    answer = Client().get("/bindings/by_row/", HTTP_ACCEPT="application/json")
    assert answer.status_code == 500  # who waits in vain is answered by 503
    (known, *_) = errors(caplog)
    assert answer.json()["detail"].rpartition("reference ")[2] in known.getMessage()
    hub.stop()


def test_all_raises_what_the_query_raises(database: Any) -> None:
    class Wrong(Binding[Product]):
        model = Product

        def get_queryset(self) -> QuerySet[Any]:
            return Product.objects.extra(where=["no_such_column = 1"])

    with pytest.raises(Exception, match="no such column"):  # and not that it took too long
        Wrong().all()
    hub.stop()


class Panic(BaseException):
    """As extensions that are written in Rust raise it: it is no Exception."""


def mute(problem: BaseException) -> Exception:
    """Return an exception whose text cannot be told."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise problem

    return Mute()


@pytest.mark.parametrize(
    "problem",
    [SystemExit(3), asyncio.CancelledError(), GeneratorExit(), Panic()],
    ids=lambda problem: type(problem).__name__,
)
@pytest.mark.parametrize(
    "where", ["serializer", "queryset", "permission", "params", "q", "context", "text"]
)
def test_what_would_end_the_thread_harms_its_own_binding_alone(
    sqlite_turning: Turning, problem: BaseException, where: str
) -> None:
    def pass_by(place: str) -> None:
        if place == where:
            raise problem

    class Argument(serializers.IntegerField):
        def to_internal_value(self, data: Any) -> int:
            pass_by("params")
            return int(data)

    class Ends(Binding[Product]):
        model = Product
        event = "ends"
        params = {"argument": Argument()}

        def get_q(self) -> Q:
            pass_by("q")
            if where == "text":
                raise mute(problem)
            return Q()

        def get_serializer_context(self) -> Any:
            pass_by("context")
            return super().get_serializer_context()

        def get_serializer_class(self) -> Any:
            return Ending if where == "serializer" else Rendered

        def get_queryset(self) -> QuerySet[Product]:
            pass_by("queryset")
            return Product.objects.all()

        def get_permissions(self) -> list[Any]:
            pass_by("permission")
            return []

    Ending.raises = problem
    add(1)
    asked = SnapshotRequest(binding=Ends, caller=Caller(), params={"argument": 1})
    sqlite_turning.ask(asked)
    declared = sqlite_turning.follow(Declared())
    sqlite_turning.turn()
    assert isinstance(asked.answer.exception(0), Failed)
    assert declared.column("id") == [1]
