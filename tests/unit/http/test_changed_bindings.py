"""A viewset whose `get_binding()` returns something else than its class says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from rest_framework import serializers
from rest_framework.filters import BaseFilterBackend
from rest_framework.permissions import AllowAny

from bindserver import Binding, BoundModelViewSet
from bindserver.hub.hub import hub
from tests.app.models import Product
from tests.databases.http.test_viewsets import get
from tests.support.registered import keep_out


@pytest.fixture(autouse=True)
def shop(database: object) -> Iterator[None]:
    for number in (1, 2):
        Product.objects.create(pk=number, name=f"product {number}", stock=number)
        User.objects.create(pk=number, username=f"user {number}", is_staff=number == 1)
    yield
    hub.stop()


def user(pk: int) -> User:
    return User.objects.get(pk=pk)


class Products(Binding[Product]):
    model = Product
    fields = ["id", "name"]


class Mine(BoundModelViewSet):
    binding = Products
    permission_classes = (AllowAny,)

    def get_binding(self) -> Any:
        binding: Any = super().get_binding()
        binding.filters = {"stock": self.request.user.pk}
        return binding


def test_each_is_sent_the_rows_of_the_instance_that_was_made_for_them() -> None:
    for number in (1, 2):
        assert [row["id"] for row in get(Mine, user=user(number)).data] == [number]
    assert get(Mine, user=user(2), pk=1).status_code == 404


def test_each_is_sent_its_fields() -> None:
    class Fields(Mine):
        def get_binding(self) -> Any:
            binding: Any = BoundModelViewSet.get_binding(self)
            binding.fields = ["id", "price"] if self.request.user.is_staff else ["id"]
            return binding

    assert set(get(Fields, user=user(1)).data[0]) == {"id", "price"}
    assert set(get(Fields, user=user(2)).data[0]) == {"id"}


class Masked(serializers.CharField):
    def to_representation(self, value: str) -> str:
        return "product 1"


class Named(Binding[Product]):
    model = Product
    fields = ["id"]
    params = {"name": Masked()}

    def get_q(self) -> Q:
        return Q(name=self.params["name"])


def test_params_are_what_was_given_and_not_what_the_wire_says_of_them() -> None:
    class ByName(BoundModelViewSet):
        binding = Named
        permission_classes = (AllowAny,)

    assert [row["id"] for row in get(ByName, "/?name=product 2", user=user(1)).data] == [2]


def test_params_that_were_changed_count() -> None:
    class Changed(BoundModelViewSet):
        binding = Named
        permission_classes = (AllowAny,)

        def get_binding(self) -> Any:
            binding = super().get_binding()
            binding.params["name"] = f"product {self.request.user.pk}"
            return binding

    for number in (1, 2):
        rows = get(Changed, "/?name=anything", user=user(number)).data
        assert [row["id"] for row in rows] == [number]


def test_who_goes_on_without_the_request_is_read_from_the_database_at_once() -> None:
    class Hiding(serializers.ModelSerializer[Any]):
        class Meta:
            model = Product
            fields = ("id", "price")

        def to_representation(self, product: Any) -> Any:
            data = super().to_representation(product)
            try:
                request = self.context["request"]
            except Exception:
                return data
            return {**data, "price": None} if not request.user.is_staff else data

    class Hidden(BoundModelViewSet):
        binding = Products
        serializer_class = Hiding
        permission_classes = (AllowAny,)

    assert get(Hidden, user=user(2)).data[0]["price"] is None


class Own(QuerySet[Product]):
    def seen_by(self, user: Any) -> Any:
        return self if user.is_staff else self.filter(stock=user.pk)


class OfOwn(Products):
    def get_queryset(self) -> QuerySet[Product]:
        return Own(Product)


class Seen(BaseFilterBackend):
    """A filter that looks at what it is given."""

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        return queryset.seen_by(request.user) if isinstance(queryset, Own) else queryset


def seen(view: Any, queryset: Any) -> Any:
    return Seen().filter_queryset(view.request, queryset, view)


@pytest.mark.parametrize("body", [{"filter_backends": (Seen,)}, {"filter_queryset": seen}])
def test_a_filter_is_given_the_binding_s_own_queryset(body: dict[str, Any]) -> None:
    body = {"binding": OfOwn, "permission_classes": (AllowAny,), **body}
    viewset: Any = type("Filtered", (BoundModelViewSet,), body)
    assert [row["id"] for row in get(viewset, user=user(1)).data] == [1, 2]
    assert [row["id"] for row in get(viewset, user=user(2)).data] == [2]
    assert get(viewset, user=user(2), pk=1).status_code == 404


keep_out(globals())
