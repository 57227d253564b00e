"""What DRF answers by 400, 401, 403 or 404 is refused in the contract's words, wherever a binding
raises it; it is no failure, and the log has nothing of it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.test import Client
from rest_framework import exceptions, permissions, serializers

from bindserver import Binding
from bindserver.bindings.permissions import ask
from bindserver.bindings.refusals import refusal_of
from bindserver.bindings.registry import registry
from bindserver.cycle.inbox import Caller, SessionRequest, SnapshotRequest, SubscriptionRef
from bindserver.engine.effects import Ask, Reconsider
from bindserver.engine.protocol import Code, Subscribe, Unsubscribe
from bindserver.exceptions import (
    Forbidden,
    InvalidParams,
    NotFound,
    Refusal,
    Unauthenticated,
)
from bindserver.hub.hub import hub
from tests.app.models import Product, Tag, Token
from tests.support.logs import logged
from tests.support.registered import keep_out
from tests.support.turning import Follower, Turning, add

pytestmark = pytest.mark.slow


class Gone(exceptions.APIException):
    status_code = 410
    default_detail = "It was moved away."


class Secret(exceptions.APIException):
    status_code = 500
    default_detail = "a secret"


RAISED: dict[str, tuple[Callable[[], Exception], Code, int, str]] = {
    "Django's 404": (lambda: Http404("no shelf"), Code.UNKNOWN_EVENT, 404, "no shelf"),
    "DRF's 404": (lambda: exceptions.NotFound("no shelf"), Code.UNKNOWN_EVENT, 404, "no shelf"),
    "an own 410": (lambda: Gone(), Code.UNKNOWN_EVENT, 404, "It was moved away."),
    "Django's 403": (lambda: PermissionDenied("not you"), Code.FORBIDDEN, 403, "not you"),
    "DRF's 403": (lambda: exceptions.PermissionDenied("not you"), Code.FORBIDDEN, 403, "not you"),
    "DRF's 401": (
        lambda: exceptions.NotAuthenticated("who?"),
        Code.UNAUTHENTICATED,
        403,  # DRF's own status, where no authenticator names a header
        "who?",
    ),
    "a wrong proof": (
        lambda: exceptions.AuthenticationFailed("who?"),
        Code.UNAUTHENTICATED,
        403,
        "who?",
    ),
    "DRF's 400": (
        lambda: exceptions.ValidationError({"shelf": ["is no shelf"]}),
        Code.INVALID_PARAMS,
        400,
        "shelf: is no shelf",
    ),
    "a list's 400": (
        lambda: exceptions.ValidationError(["one", "two"]),
        Code.INVALID_PARAMS,
        400,
        "one two",
    ),
    "what cannot be parsed": (
        lambda: exceptions.ParseError("no JSON"),
        Code.INVALID_PARAMS,
        400,
        "no JSON",
    ),
    "Django's 400": (
        lambda: ValidationError("%(it)s is no shelf", params={"it": "x"}),
        Code.INVALID_PARAMS,
        400,
        "x is no shelf",
    ),
}


class Odd(serializers.Field[Any, Any, Any, Any]):
    """A param that raises whatever a test wants."""

    def to_internal_value(self, data: Any) -> Any:
        Raising.raise_in("params")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class Raising(Binding[Product]):
    """Raises whatever a test wants, where it wants."""

    model = Product
    event = "raising"
    fields = ("id", "name")
    params = {"q": Odd(required=False)}
    raised: Callable[[], Exception] | None = None
    where = ""

    @classmethod
    def raise_in(cls, where: str) -> None:
        if cls.where == where and cls.raised is not None:
            raise cls.raised()

    def get_queryset(self) -> QuerySet[Any]:
        list(Tag.objects.all())  # so that it is asked again when one comes or goes
        self.raise_in("get_queryset")
        return Product.objects.all()

    def get_serializer_context(self) -> dict[str, Any]:
        self.raise_in("get_serializer_context")
        return {}

    def get_permissions(self) -> list[Any]:
        self.raise_in("get_permissions")
        return []


class Shelf(Binding[Product]):
    """Serves the products of a tag, to whoever may know of it."""

    model = Product
    event = "shelf"
    fields = ("id", "name")
    params = {"tag": str}

    def get_queryset(self) -> QuerySet[Any]:
        get_object_or_404(Tag, name=self.params["tag"])
        return Product.objects.all()


class Keyed(Binding[Product]):
    """Looks for a UUID, which may be none."""

    model = Product
    event = "keyed"
    fields = ("id",)
    params = {"key": serializers.CharField(required=False)}

    def get_queryset(self) -> QuerySet[Any]:
        keys = Token.objects.filter(pk=self.params.get("key", "none"))
        return Product.objects.filter(stock=keys.count())


WHERE = ["get_queryset", "get_serializer_context", "params"]


@pytest.fixture(autouse=True)
def _published() -> Iterator[None]:
    own: list[type[Binding[Any]]] = [Raising, Shelf, Keyed]
    for binding in set(own) - set(registry.all()):
        registry.add(binding)
    yield
    Raising.raised, Raising.where = None, ""
    for binding in own:
        registry.remove(binding)


@pytest.fixture(params=RAISED)
def raised(request: pytest.FixtureRequest) -> tuple[Code, int, str]:
    raised, code, status, detail = RAISED[request.param]
    Raising.raised = staticmethod(raised)
    return code, status, detail


def subscribe(
    turning: Turning, event: str = "raising", **params: Any
) -> tuple[Follower, SubscriptionRef]:
    """Subscribe as a client does."""
    follower = Follower()
    ref = SubscriptionRef(follower, 1)
    message = Subscribe(event=event, params=params)
    turning.ask(SessionRequest(ref.listener, Caller(), Ask(number=ref.number, message=message)))
    return follower, ref


def of_param(detail: str, where: str) -> str:
    """Return what is told without the name of the param that DRF says it of."""
    return detail.removeprefix("q: ") if where == "params" else detail


def ends(follower: Follower) -> list[Code]:
    return [event.code for event in follower.ends]


@pytest.mark.parametrize("where", WHERE)
class TestWhatABindingRaises:
    def test_refuses_a_subscriber_in_the_contract_s_words(
        self,
        where: str,
        raised: tuple[Code, int, str],
        sqlite_turning: Turning,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        Raising.where = where
        follower, _ = subscribe(sqlite_turning, q="x")
        sqlite_turning.turn()
        assert follower.told() == ["error"]
        assert follower.refused is not None
        assert follower.refused.code == raised[0]
        assert of_param(follower.refused.detail, where) == raised[2]
        assert logged(caplog) == []

    def test_is_drf_s_status_over_http(
        self,
        where: str,
        raised: tuple[Code, int, str],
        database: Any,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        Raising.where = where
        answer = Client().get("/bindings/raising/?q=x", HTTP_ACCEPT="application/json")
        assert answer.status_code == raised[1]
        assert of_param(answer.json()["detail"], where) == raised[2]
        assert [r for r in caplog.records if r.name.startswith("bindserver")] == []
        hub.stop()

    def test_harms_no_view(
        self, where: str, raised: tuple[Code, int, str], sqlite_turning: Turning
    ) -> None:
        add(1)
        first, _ = subscribe(sqlite_turning, q="x")
        sqlite_turning.turn()
        Raising.where = where
        subscribe(sqlite_turning, q="y")
        sqlite_turning.turn()
        Raising.where = ""
        assert first.told() == ["sync"]


@pytest.mark.parametrize("where", WHERE)
def test_who_has_rows_is_ended_where_it_is_raised_when_the_binding_is_asked_again(
    where: str,
    raised: tuple[Code, int, str],
    sqlite_turning: Turning,
    caplog: pytest.LogCaptureFixture,
) -> None:
    add(1)
    follower, _ = subscribe(sqlite_turning, q="x")
    sqlite_turning.turn()
    Raising.where = where
    Product.objects.update(name="secret by now")
    Tag.objects.create(name="x")
    sqlite_turning.turn()
    wrong = raised[0] is Code.INVALID_PARAMS
    assert follower.told() == ["sync"]
    assert ends(follower) == [Code.INVALID_PARAMS if wrong else Code.REVOKED]
    assert logged(caplog) == []


@pytest.mark.parametrize("where", ["get_queryset", "get_serializer_context"])
def test_who_is_asked_about_with_another_proof_is_ended_too(
    where: str, raised: tuple[Code, int, str], sqlite_turning: Turning
) -> None:
    add(1)
    follower, ref = subscribe(sqlite_turning)
    sqlite_turning.turn()
    Raising.where = where
    sqlite_turning.ask(
        SessionRequest(
            ref.listener, Caller(auth="another"), Reconsider(number=ref.number, event="products")
        )
    )
    sqlite_turning.turn()
    assert Raising.raised is not None
    if isinstance(Raising.raised(), ValidationError):
        expected = Code.INTERNAL  # no params were given that could be wrong
    else:
        expected = raised[0] if raised[0] is Code.INVALID_PARAMS else Code.REVOKED
    assert ends(follower) == [expected]


def test_leaving_is_refused_in_the_same_words(
    raised: tuple[Code, int, str], sqlite_turning: Turning
) -> None:
    Raising.where = "params"
    follower = Follower()
    message = Unsubscribe(event="raising", params={"q": "x"})
    sqlite_turning.ask(SessionRequest(follower, Caller(), Ask(number=1, message=message)))
    sqlite_turning.turn()
    assert follower.refused is not None
    assert follower.refused.code == raised[0]


def test_a_right_that_hangs_on_a_row_ends_with_it(sqlite_turning: Turning) -> None:
    Tag.objects.create(name="top")
    add(1)
    follower, _ = subscribe(sqlite_turning, "shelf", tag="top")
    asked = SnapshotRequest(binding=Shelf, caller=Caller(), params={"tag": "low"}, trusted=True)
    sqlite_turning.ask(asked)
    sqlite_turning.turn()
    assert isinstance(asked.answer.exception(0), NotFound)
    Tag.objects.all().delete()
    Product.objects.update(name="secret by now")
    sqlite_turning.turn()
    assert follower.told() == ["sync"]
    assert ends(follower) == [Code.REVOKED]


def test_all_raises_what_the_binding_raises(raised: tuple[Code, int, str], database: Any) -> None:
    Raising.where = "get_queryset"
    assert Raising.raised is not None
    with pytest.raises(type(Raising.raised())):
        Raising().all()
    hub.stop()


def test_a_value_that_django_refuses_is_wrong_where_one_was_given(
    sqlite_turning: Turning, caplog: pytest.LogCaptureFixture
) -> None:
    given, _ = subscribe(sqlite_turning, "keyed", key="x")
    fine, _ = subscribe(sqlite_turning, "keyed", key=str(uuid.uuid4()))
    sqlite_turning.turn()
    assert given.refused is not None
    assert given.refused.code == Code.INVALID_PARAMS
    assert "UUID" in given.refused.detail
    assert fine.told() == ["sync"]
    assert logged(caplog) == []


def test_and_the_binding_s_own_fault_where_none_was(
    sqlite_turning: Turning, caplog: pytest.LogCaptureFixture
) -> None:
    follower, _ = subscribe(sqlite_turning, "keyed")
    sqlite_turning.turn()
    assert follower.refused is not None
    assert follower.refused.code == Code.INTERNAL
    assert ["Traceback" in line for line in logged(caplog, logging.ERROR)] == [True]


@pytest.mark.parametrize("problem", [Secret(), RuntimeError("a secret"), Product.DoesNotExist()])
def test_anything_else_is_a_failure(problem: Exception) -> None:
    assert refusal_of(problem, given=True) is None


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (Http404(), NotFound),
        (exceptions.NotFound(), NotFound),
        (exceptions.ValidationError("x"), InvalidParams),
        (exceptions.NotAuthenticated(), Unauthenticated),
        (PermissionDenied(), Forbidden),
    ],
)
def test_a_permission_class_s_are_the_same(problem: Exception, kind: type[Refusal]) -> None:
    class Asking(permissions.BasePermission):
        def has_permission(self, request: Any, view: Any) -> bool:
            raise problem

    made: Any = type("Guarded", (Binding,), {"model": Product, "permission_classes": [Asking]})
    with pytest.raises(kind) as caught:
        ask(made(user=User(pk=1, username="ann")))
    assert str(caught.value)  # also where nothing was said
    registry.remove(made)


keep_out(globals())
