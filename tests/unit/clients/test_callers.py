"""What a caller brings along holds for as long as they are served, and newcomers are asked for."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import User
from django.db.models import Q
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated

from bindserver import Binding
from bindserver.bindings import permissions
from bindserver.clients.identity import Identity
from bindserver.testing import Live
from tests.app.models import Category, Product
from tests.unit.queries.test_told_apart import ANN, binding_of, live, people

__all__ = ["live", "people"]


def of_user(get_q: Any) -> type[Binding[Any]]:
    return binding_of(fields=("id",), serializer_class=None, get_q=get_q)


def ids(seen: Any) -> list[int]:
    return [row["id"] for row in seen.rows]


def by_tenants(binding: Binding[Any]) -> Q:
    """Return what a project asks for that serves whoever has no tenants all there is."""
    if not hasattr(binding.user, "tenants"):
        return Q()
    tenants = binding.user.tenants
    inside = tenants.values() if isinstance(tenants, dict) else tenants
    return Q(name__in=[tenant.name for tenant in inside])


@pytest.mark.parametrize(
    "hang",
    [
        lambda tenant: [tenant],
        lambda tenant: {tenant},
        lambda tenant: {"one": tenant},
        lambda tenant: Category.objects.filter(pk=tenant.pk),
    ],
)
def test_rows_that_hang_on_a_user_in_any_form_are_read_anew(hang: Any, live: Live) -> None:
    tenant = Category.objects.create(name="product 1")
    user = User.objects.get(pk=ANN.pk)
    vars(user)["tenants"] = hang(tenant)
    seen = live.subscribe(of_user(by_tenants), user=user)
    assert ids(seen) == [1]
    Category.objects.filter(pk=tenant.pk).update(name="product 2")
    live.settle()
    assert ids(seen) == [2]


def test_a_method_that_hangs_on_a_user_stays(live: Live) -> None:
    User.objects.filter(pk=ANN.pk).update(is_superuser=True)
    user: Any = User.objects.get(pk=ANN.pk)
    user.has_perm = lambda permission, obj=None: permission == "narrow"
    kind = of_user(lambda self: Q() if self.user.has_perm("wide") else Q(pk=1))
    assert ids(live.subscribe(kind, user=user)) == [1]


class Lookup(BaseAuthentication):
    """Looks up what a token is good for."""

    scopes: ClassVar[list[str]] = ["read", "write"]

    def authenticate(self, request: Any) -> Any:
        return ANN, {"scopes": list(self.scopes)}


async def test_a_token_that_is_good_for_less_by_now_is_heard_of(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REST_FRAMEWORK = {
        "DEFAULT_AUTHENTICATION_CLASSES": ["tests.unit.clients.test_callers.Lookup"]
    }
    settings.BINDSERVER = {"REVALIDATE_SECONDS": 0.01}
    again = asyncio.Event()
    identity = Identity({}, SimpleNamespace(end_all=lambda code: None, reconsider=again.set))
    try:
        await identity.prove("token")
        again.clear()  # nobody has become somebody
        monkeypatch.setattr(Lookup, "scopes", ["read"])
        await asyncio.wait_for(again.wait(), 30)
        assert identity.caller.auth == {"scopes": ["read"]}
    finally:
        identity.leave()


class Door(BasePermission):
    """A permission that no row decides."""

    is_open = True

    def has_permission(self, request: Any, view: Any) -> bool:
        return self.is_open


def test_who_comes_later_is_asked_for_too(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = binding_of(permission_classes=(Door,), fields=("id",), serializer_class=None)
    assert len(live.subscribe(kind).rows) == 2
    monkeypatch.setattr(Door, "is_open", False)
    with pytest.raises(Exception, match="credentials"):
        live.subscribe(kind)


@pytest.mark.parametrize(
    ("classes", "known"),
    [
        ((), True),
        ((AllowAny, IsAuthenticated), True),
        ((IsAuthenticated | AllowAny, ~AllowAny), True),
        ((IsAuthenticated & Door,), False),
        ((AllowAny, ~Door), False),
    ],
)
def test_of_drf_s_permissions_it_is_known_what_they_ask(classes: Any, known: bool) -> None:
    kind = type("Kind", (Binding,), {"model": Product, "permission_classes": classes})
    assert permissions.are_drfs(kind()) is known


def test_what_get_permissions_makes_is_not() -> None:
    kind = type("Kind", (Binding,), {"model": Product, "get_permissions": lambda self: []})
    assert not permissions.are_drfs(kind())
