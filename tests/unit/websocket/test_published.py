"""Bindings that websocket views publish: whom they are chosen for, and who may have them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.permissions import IsAdminUser

from bindserver import Binding, BoundWebsocketView, WebsocketBinding
from bindserver.exceptions import BindingError
from bindserver.testing import Live, Refused
from tests.app import bindings as app
from tests.app.models import Category, Membership, Product, Tag
from tests.unit.websocket.test_views import PlainBinding, make_view, problems


def test_a_binding_that_publishes_itself_is_not_published_twice() -> None:
    class SelfBinding(WebsocketBinding[Product]):
        model = Product
        event = "selves"
        fields = ["id"]

    view = make_view(event=None, binding=SelfBinding())
    assert view.published is SelfBinding
    assert not problems()


# Overriding.


@pytest.mark.django_db
def test_get_binding_chooses_for_each_subscriber() -> None:
    class StaffBinding(PlainBinding):
        fields = ["id", "name", "stock"]
        ordering = ["-stock"]

    class View(BoundWebsocketView):
        event = "goods"
        binding = PlainBinding()

        def get_binding(self) -> Binding[Any]:
            if self.request.user.is_staff:
                return StaffBinding()
            return super().get_binding()

    Product.objects.create(name="pen", stock=1)
    Product.objects.create(name="ink", stock=2)
    ann = User.objects.create(username="ann", is_staff=True)
    live = Live()
    c, everybody = live.subscribe(View, user=ann), live.subscribe(View)
    assert [row["stock"] for row in c.rows] == [2, 1]
    assert [set(row) for row in everybody.rows] == [{"id", "name"}] * 2
    User.objects.update(is_staff=False)
    live.settle()
    assert c.rows == everybody.rows
    assert not problems()


@pytest.mark.django_db
def test_one_binding_for_everybody_takes_nobody_s_user() -> None:
    class OwnBinding(PlainBinding):
        def filters(self) -> dict[str, Any]:
            return {"name": self.user.username}

    shared = OwnBinding()

    class View(BoundWebsocketView):
        event = "goods"
        binding = shared

        def get_binding(self) -> Binding[Any]:
            return shared

    Product.objects.create(name="ann")
    ann = User.objects.create(username="ann")
    live = Live()
    assert len(live.subscribe(View, user=ann)) == 1
    assert shared.user.is_anonymous
    assert len(live.subscribe(View)) == 0


@pytest.mark.django_db
def test_get_binding_is_asked_again_when_what_it_read_has_changed() -> None:
    class TaggedBinding(PlainBinding):
        def filters(self) -> dict[str, Any]:
            return {"tags__name": self.user.username}

    class View(BoundWebsocketView):
        event = "goods"
        binding = PlainBinding()

        def get_binding(self) -> Binding[Any]:
            member = Membership.objects.filter(user=self.request.user.pk).exists()
            return PlainBinding() if member else TaggedBinding()

    Product.objects.create(name="pen")
    ink = Product.objects.create(name="ink")
    ann = User.objects.create(username="ann")
    ink.tags.add(Tag.objects.create(name="ann"))
    live = Live()
    c = live.subscribe(View, user=ann)
    assert [row["name"] for row in c.rows] == ["ink"]
    Membership.objects.create(user=ann, category=Category.objects.create(name="one"))
    live.settle()
    assert [row["name"] for row in c.rows] == ["pen", "ink"]


@pytest.mark.django_db
def test_get_binding_stays_on_its_database() -> None:
    class FarBinding(PlainBinding):
        using = "elsewhere"

    class View(BoundWebsocketView):
        event = "goods"
        binding = PlainBinding()

        def get_binding(self) -> Binding[Any]:
            return FarBinding()

    with pytest.raises(BindingError, match="another database"):
        Live().subscribe(View)


# Permissions.


def code_of(live: Live, view: Any, user: Any = None) -> str | None:
    """Return the code that a user is refused with, None for one who is served."""
    try:
        live.subscribe(view, user=user)
    except Refused as refused:
        return refused.code
    return None


@pytest.mark.django_db
def test_the_binding_s_permissions_are_asked() -> None:
    view = make_view(binding=app.MembersBinding())
    ann = User.objects.create(username="ann")
    live = Live()
    assert code_of(live, view) == "unauthenticated"
    assert code_of(live, view, ann) is None


@pytest.mark.django_db
def test_a_view_s_own_permissions_are_asked_too() -> None:
    plain = make_view(permission_classes=[IsAdminUser])
    both = make_view(
        "Both", event="both", binding=app.GuardedBinding(), permission_classes=[IsAdminUser]
    )
    staff = User.objects.create(username="ann", is_staff=True)
    root = User.objects.create(username="root", is_staff=True, is_superuser=True)
    live = Live()
    assert [code_of(live, plain, user) for user in (None, staff)] == ["unauthenticated", None]
    assert [code_of(live, both, user) for user in (staff, root)] == ["forbidden", None]


@pytest.mark.django_db
def test_the_chosen_binding_s_permissions_are_asked_too() -> None:
    class View(BoundWebsocketView):
        event = "goods"
        binding = PlainBinding()

        def get_binding(self) -> Binding[Any]:
            return app.MembersBinding()

    ann = User.objects.create(username="ann")
    live = Live()
    assert code_of(live, View) == "unauthenticated"
    assert code_of(live, View, ann) is None


@pytest.mark.django_db
def test_a_permission_that_is_taken_away_ends_the_subscription() -> None:
    view = make_view(permission_classes=[IsAdminUser])
    ann = User.objects.create(username="ann", is_staff=True)
    live = Live()
    c = live.subscribe(view, user=ann)
    User.objects.update(is_staff=False)
    live.settle()
    assert c.ended == "revoked"
