"""`permission_classes` on bindings: who may subscribe, and until when."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import override_settings
from rest_framework import exceptions, permissions
from rest_framework.request import Request

from bindserver import Binding
from bindserver.bindings.permissions import PermissionFailed, ask, asks_about_objects
from bindserver.cycle.inbox import Caller, SessionRequest, SubscriptionRef
from bindserver.cycle.loader import Loader
from bindserver.cycle.outage import out_of_reach
from bindserver.cycle.view_store import ViewStore
from bindserver.engine.effects import Reconsider
from bindserver.engine.events import Ended
from bindserver.engine.protocol import Code
from bindserver.exceptions import Forbidden, Unauthenticated
from bindserver.hub.hub import hub
from tests.app.bindings import MembersBinding, ShakyBinding
from tests.app.models import Product, Tag
from tests.servers.transports.test_rest import ask as get
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import Talk, talking


def binding_with(*classes: Any, user: Any = None, auth: Any = None) -> Binding[Product]:
    kind = type("Guarded", (Binding,), {"model": Product, "permission_classes": list(classes)})
    guarded: Binding[Product] = kind(user=user, auth=auth)
    return guarded


def asking(decide: Any) -> type[permissions.BasePermission]:
    """Return a permission class that decides by a function of request and view."""

    def has_permission(self: Any, request: Any, view: Any) -> Any:
        return decide(request, view)

    return type("Asking", (permissions.BasePermission,), {"has_permission": has_permission})


ANN = User(pk=1, username="ann")
STAFF = User(pk=2, username="staff", is_staff=True)


class TestAsking:
    @pytest.mark.parametrize(
        ("kind", "user", "problem"),
        [
            (permissions.AllowAny, None, None),
            (permissions.IsAuthenticated, None, Unauthenticated),
            (permissions.IsAuthenticated, ANN, None),
            (permissions.IsAdminUser, ANN, Forbidden),
            (permissions.IsAdminUser, STAFF, None),
            (permissions.IsAuthenticatedOrReadOnly, None, None),
            (permissions.DjangoModelPermissions, None, Unauthenticated),
            (permissions.DjangoModelPermissions, ANN, None),
            (permissions.DjangoModelPermissionsOrAnonReadOnly, None, None),
            (permissions.IsAuthenticated & permissions.IsAdminUser, ANN, Forbidden),
            (permissions.IsAuthenticated | permissions.IsAdminUser, ANN, None),
            (~permissions.IsAuthenticated, ANN, Forbidden),
        ],
    )
    def test_drf_s_own_classes_decide_as_for_a_get(
        self, kind: Any, user: Any, problem: type[Exception] | None
    ) -> None:
        if problem is None:
            ask(binding_with(kind, user=user))
        else:
            with pytest.raises(problem):
                ask(binding_with(kind, user=user))

    def test_a_permission_sees_a_request_of_drf_s_and_the_binding_as_its_view(self) -> None:
        seen: list[Any] = []

        class Sees(permissions.BasePermission):
            def has_permission(self, request: Any, view: Any) -> bool:
                seen.extend([request, view, request.user, request.auth, request.method])
                seen.extend([dict(request.query_params), dict(request.data), request.META])
                seen.extend([request.headers.get("X"), request.successful_authenticator])
                seen.extend([view.action, view.kwargs, view.request is request, request.user])
                return True

        class Params(Binding[Product]):
            model = Product
            permission_classes = [Sees]
            params = {"category": int}

        binding = Params(user=ANN, auth={"scope": "a"}, params={"category": 3})
        before = dict(vars(binding))
        ask(binding)
        assert isinstance(seen[0], Request)
        assert seen[1] is binding
        expected = [ANN, {"scope": "a"}, "GET", {"category": ["3"]}, {}, {}, None, None]
        assert seen[2:] == [*expected, "list", {}, True, ANN]
        assert vars(binding) == before

    @pytest.mark.parametrize(
        "asks",
        [
            lambda request: request.META["REMOTE_ADDR"],
            lambda request: request.META.get("REMOTE_ADDR") not in {"10.0.0.1"},
            lambda request: "REMOTE_ADDR" not in request.META,
            lambda request: request.get_host() != "internal.example",
        ],
    )
    def test_who_asks_for_what_every_request_has_does_not_allow(self, asks: Any) -> None:
        with pytest.raises(PermissionFailed) as failed:
            ask(binding_with(asking(lambda request, view: asks(request)), user=ANN))
        assert "permission classes have no" in str(failed.value.__cause__)

    def test_who_looks_for_a_header_that_may_be_missing_finds_none(self) -> None:
        key = asking(lambda request, view: "HTTP_AUTHORIZATION" in request.META)
        ask(binding_with(key | permissions.IsAuthenticated, user=ANN))

    def test_the_message_is_the_class_s_own(self) -> None:
        kind: Any = asking(lambda request, view: False)
        kind.message = "not you"
        with pytest.raises(Forbidden, match="not you"):
            ask(binding_with(kind, user=ANN))
        with pytest.raises(Unauthenticated, match="not you"):
            ask(binding_with(kind))

    def test_what_has_a_token_and_no_user_is_forbidden_and_not_unknown(self) -> None:
        with pytest.raises(Forbidden):
            ask(binding_with(permissions.IsAuthenticated, user=AnonymousUser(), auth="key"))

    @pytest.mark.parametrize(
        ("raised", "problem"),
        [
            (exceptions.PermissionDenied("no"), Forbidden),
            (exceptions.NotAuthenticated(), Unauthenticated),
            (RuntimeError("a secret"), PermissionFailed),
            (KeyError("x"), PermissionFailed),
        ],
    )
    def test_what_a_class_raises_never_allows(self, raised: Exception, problem: Any) -> None:
        def decide(request: Any, view: Any) -> bool:
            raise raised

        with pytest.raises(problem) as caught:
            ask(binding_with(asking(decide), user=ANN))
        assert "a secret" not in str(caught.value)

    def test_without_classes_drf_s_setting_decides(self, settings: Any) -> None:
        class Default(Binding[Product]):
            model = Product

        ask(Default())
        settings.REST_FRAMEWORK = {
            "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"]
        }
        with pytest.raises(Unauthenticated):
            ask(Default())
        ask(binding_with())  # none are asked

    def test_get_permissions_can_be_overridden(self) -> None:
        class Own(Binding[Product]):
            model = Product

            def get_permissions(self) -> list[Any]:
                return [permissions.IsAdminUser()]

        with pytest.raises(Forbidden):
            ask(Own(user=ANN))
        ask(Own(user=STAFF))

    def test_classes_that_ask_about_objects_are_told(self) -> None:
        class Objects(permissions.BasePermission):
            def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
                return True

        assert asks_about_objects([Objects])
        assert asks_about_objects([permissions.IsAuthenticated | Objects])
        assert asks_about_objects([~Objects])
        assert not asks_about_objects([permissions.IsAuthenticated | permissions.IsAdminUser])


def give_right(program: Program, user: int) -> None:
    [[right]] = program.run("SELECT id FROM auth_permission WHERE codename = 'view_product'")
    program.run("INSERT INTO auth_user_user_permissions VALUES (NULL, ?, ?)", user, right)


@pytest.fixture
def products(program: Program) -> Program:
    program.add_products(2)
    return program


async def refusal(talk: Talk, event: str, **data: Any) -> Any:
    """Subscribe, and return the error's payload."""
    await talk.say(event, **data)
    told = await talk.hear_data(event)
    assert told["action"] == "error"
    return told["payload"]


class TestSubscribing:
    async def test_anonymous_is_unauthenticated_and_a_user_is_welcome(
        self, server: Server, products: Program
    ) -> None:
        async with talking(server.ws) as talk:
            assert (await refusal(talk, "members"))["code"] == "unauthenticated"
            assert (await talk.follow("products")).column("id") == [1, 2]
        async with talking(server.ws, products.log_in("ann")) as talk:
            assert (await talk.follow("members")).column("id") == [1, 2]

    async def test_who_may_not_is_forbidden_with_the_class_s_message(
        self, server: Server, products: Program
    ) -> None:
        async with talking(server.ws, products.log_in("ann")) as talk:
            payload = await refusal(talk, "guarded")
            assert payload == {"code": "forbidden", "detail": "ask for the right to see products"}

    async def test_a_refusal_is_not_remembered_and_neither_is_a_right_that_is_gone(
        self, server: Server, products: Program
    ) -> None:
        async with talking(server.ws, products.log_in("ann")) as talk:
            for _ in range(2):
                assert (await refusal(talk, "guarded"))["code"] == "forbidden"
                give_right(products, 1)
                await talk.follow("guarded")
                products.run("DELETE FROM auth_user_user_permissions")
                ended = await talk.hear_data("guarded")
                assert ended == {"action": "disconnect", "code": "revoked"}

    async def test_a_permission_class_that_raises_never_allows(
        self, server: Server, products: Program
    ) -> None:
        products.run("INSERT INTO app_tag VALUES (1, 'broken permission')")
        async with talking(server.ws) as talk:
            payload = await refusal(talk, "shaky")
            assert payload["code"] == "internal"
            assert "secret" not in json.dumps(payload)
            assert (await talk.follow("products")).column("id") == [1, 2]


class TestRevoking:
    async def test_a_right_that_is_taken_ends_the_subscription_before_any_later_row(
        self, server: Server, products: Program
    ) -> None:
        ann, bob = products.log_in("ann"), products.log_in("bob")
        give_right(products, 1)
        give_right(products, 2)
        async with talking(server.ws, ann) as one, talking(server.ws, bob) as other:
            await one.follow("guarded")
            followed = await other.follow("guarded")
            with products.transaction():
                products.run("DELETE FROM auth_user_user_permissions WHERE user_id = 1")
                products.run("UPDATE app_product SET name = 'a secret'")
            ended = await one.hear_data("guarded")
            assert ended == {"action": "disconnect", "code": "revoked"}
            await other.until(lambda: followed.column("name") == ["a secret", "a secret"])
            await one.ping()
            assert not any("a secret" in json.dumps(message) for message in one.heard)

    async def test_so_does_a_group_that_the_user_leaves(
        self, server: Server, products: Program
    ) -> None:
        headers = products.log_in("ann")
        [[right]] = products.run("SELECT id FROM auth_permission WHERE codename = 'view_product'")
        products.run("INSERT INTO auth_group VALUES (7, 'buyers')")
        products.run("INSERT INTO auth_group_permissions VALUES (NULL, 7, ?)", right)
        products.run("INSERT INTO auth_user_groups VALUES (NULL, 1, 7)")
        async with talking(server.ws, headers) as talk:
            await talk.follow("guarded")
            products.run("DELETE FROM auth_group_permissions")
            assert (await talk.hear_data("guarded"))["code"] == "revoked"

    async def test_a_user_who_is_deactivated_is_nobody(
        self, server: Server, products: Program
    ) -> None:
        async with talking(server.ws, products.log_in("ann")) as talk:
            await talk.follow("products")
            await talk.follow("members")
            products.run("UPDATE auth_user SET is_active = 0")
            assert await talk.hear_data("members") == {"action": "disconnect", "code": "revoked"}
            assert (await refusal(talk, "members"))["code"] == "unauthenticated"
            await talk.silence(0.1)  # what everybody may have goes on
            products.run("UPDATE auth_user SET is_active = 1")
            await talk.follow("members")

    async def test_rows_of_the_project_s_own_decide_and_are_watched(
        self, server: Server, products: Program
    ) -> None:
        async with talking(server.ws) as one, talking(server.ws) as other:
            await one.follow("shaky")
            await other.follow("shaky", params={"category": 5})
            products.run("INSERT INTO app_tag VALUES (1, 'closed')")
            for talk in (one, other):
                assert (await talk.hear_data("shaky"))["code"] == "revoked"
                assert (await refusal(talk, "shaky"))["code"] == "unauthenticated"

    async def test_a_permission_that_breaks_ends_its_subscriptions(
        self, server: Server, products: Program
    ) -> None:
        async with talking(server.ws) as talk:
            await talk.follow("shaky")
            products.run("INSERT INTO app_tag VALUES (1, 'broken permission')")
            ended = await talk.hear_data("shaky")
            assert (ended["action"], ended["code"]) == ("disconnect", "internal")
            products.run("DELETE FROM app_tag")
            await talk.follow("shaky")

    async def test_what_a_permission_reads_and_does_not_mind_ends_nothing(
        self, server: Server, products: Program
    ) -> None:
        async with talking(server.ws) as talk:
            shaky = await talk.follow("shaky")
            products.run("INSERT INTO app_tag VALUES (1, 'harmless')")
            products.run("UPDATE app_product SET name = 'new' WHERE id = 1")
            await talk.until(lambda: shaky.column("name") == ["new", "product 2"])
            assert shaky.actions == ["sync", "update"]


class TestOverHTTP:
    def test_a_snapshot_asks_the_binding_s_classes(self, server: Server, products: Program) -> None:
        assert get(server, "/bindings/members/").status in (401, 403)
        assert get(server, "/bindings/members/1/").status in (401, 403)
        headers = products.log_in("ann")
        assert len(get(server, "/bindings/members/", **headers).data) == 2
        refused = get(server, "/bindings/guarded/", **headers)
        assert refused.status == 403
        assert refused.data == {"detail": "ask for the right to see products"}
        give_right(products, 1)
        tag = get(server, "/bindings/guarded/", **headers).headers["ETag"]
        products.run("DELETE FROM auth_user_user_permissions")
        assert get(server, "/bindings/guarded/", **headers, If_None_Match=tag).status == 403

    def test_the_list_shows_what_the_caller_may_have(
        self, server: Server, products: Program
    ) -> None:
        def events(**headers: str) -> set[str]:
            return {item["event"] for item in get(server, "/bindings/", **headers).data}

        assert not {"members", "guarded", "rights"} & events()
        headers = products.log_in("ann")
        assert events(**headers) & {"members", "guarded", "rights"} == {"members", "rights"}
        give_right(products, 1)
        assert "guarded" in events(**headers)

    def test_a_list_does_not_show_what_cannot_be_asked(
        self, server: Server, products: Program
    ) -> None:
        products.run("INSERT INTO app_tag VALUES (1, 'broken permission')")
        answer = get(server, "/bindings/")
        assert answer.status == 200
        assert "shaky" not in {item["event"] for item in answer.data}
        assert get(server, "/bindings/shaky/").status == 500


def test_python_code_is_not_asked(database: Any) -> None:
    Product.objects.create(name="one")
    try:
        assert [product.name for product in MembersBinding().all()] == ["one"]
    finally:
        hub.stop()


@pytest.fixture
def shaky(database: Any) -> Iterator[Any]:
    """A server of this process, in which every view is a big one."""
    Product.objects.bulk_create([Product(name="one"), Product(name="two")])
    with override_settings(BINDSERVER={"SYNC_ROWS": 1}):
        yield hub
        hub.stop()


def test_who_waits_for_a_big_view_is_asked_again_before_it_is_served(
    shaky: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, may_go_on = threading.Event(), threading.Event()
    load = Loader._load

    def slow(*args: Any) -> Any:
        began.set()
        assert may_go_on.wait(60)
        return load(*args)

    monkeypatch.setattr(Loader, "_load", slow)
    answer = shaky.snapshot(ShakyBinding, Caller(), {})
    assert began.wait(60)
    Tag.objects.create(name="closed")
    with pytest.raises(Unauthenticated):
        answer.result(timeout=60)
    may_go_on.set()


def test_while_the_database_is_away_nobody_new_takes_over_a_subscription() -> None:
    store = ViewStore("default", b"secret")
    nobody: Any = type("Nobody", (), {"loop": None})()
    ref = SubscriptionRef(listener=nobody, number=1)
    outbound = out_of_reach(
        store,
        [SessionRequest(ref.listener, Caller(), Reconsider(number=ref.number, event="products"))],
    )
    assert list(outbound) == [([ref], Ended(code=Code.UNAVAILABLE))]
