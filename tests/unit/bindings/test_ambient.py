"""What a thread or task has of its own is asked for in the caller's thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, ClassVar

import pytest
from asgiref.local import Local
from django.db.models import Manager, Model, QuerySet
from django.utils import timezone, translation
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.test import APIRequestFactory

from bindserver import Binding, BoundModelViewSet
from bindserver.bindings.ambient import Ambient, read_by
from bindserver.checks.bindings import problems_of
from bindserver.http.api import SnapshotView
from tests.app.models import Product
from tests.databases.http.test_viewsets import get
from tests.support.registered import keep_out
from tests.unit.queries.test_told_apart import Marked, live, people

pytestmark = pytest.mark.usefixtures("live")
__all__ = ["live", "people"]
thread = threading.local()
task: ContextVar[int | None] = ContextVar("task", default=None)
local = Local()


@contextlib.contextmanager
def tenant(number: int) -> Iterator[None]:
    thread.tenant = local.tenant = number
    token = task.set(number)
    try:
        yield
    finally:
        del thread.tenant, local.tenant
        task.reset(token)


def of_thread() -> int | None:
    return getattr(thread, "tenant", None)


class Tenants:
    """Something in between, as packages have it."""

    def current(self) -> int | None:
        return of_thread()


tenants = Tenants()


def seen_by(tenant: int | None) -> QuerySet[Product]:
    """Return all rows to nobody, as many a project does."""
    return Product.objects.all() if tenant is None else Product.objects.filter(stock=tenant)


class Own(Manager[Product]):
    def get_queryset(self) -> QuerySet[Product]:
        found, number = super().get_queryset(), of_thread()
        return found if number is None else found.filter(stock=number)


class OfTenant(Product):
    objects: ClassVar[Any] = Own()

    class Meta:
        app_label = "app"
        proxy = True


class OfFunction(Binding[Product]):
    model = Product
    fields = ("id",)

    def get_queryset(self) -> QuerySet[Product]:
        return seen_by(of_thread())


class OfObject(OfFunction):
    def get_queryset(self) -> QuerySet[Product]:
        return seen_by(tenants.current())


class OfTask(OfFunction):
    def get_queryset(self) -> QuerySet[Product]:
        return seen_by(task.get())


class OfLocal(OfFunction):
    def get_queryset(self) -> QuerySet[Product]:
        return seen_by(getattr(local, "tenant", None))


class OfHelper(OfFunction):
    def get_queryset(self) -> QuerySet[Product]:
        return self._of_tenant()

    def _of_tenant(self) -> QuerySet[Product]:
        return (lambda: seen_by(of_thread()))()


class Showing(serializers.ModelSerializer[Any]):
    mark = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = ("id", "mark")

    def get_mark(self, product: Product) -> int | None:
        return of_thread()


KINDS = [OfFunction, OfObject, OfTask, OfLocal, OfHelper]


def viewset_of(**body: Any) -> Any:
    return type("Rows", (BoundModelViewSet,), {"permission_classes": (AllowAny,), **body})


@pytest.mark.parametrize("kind", KINDS)
def test_a_tenant_s_rows_are_the_tenant_s(kind: type[Binding[Any]]) -> None:
    viewset = viewset_of(binding=kind)
    for number in (1, 2, 1):
        with tenant(number):
            assert kind().keys() == [number]
            assert [row["id"] for row in get(viewset).data] == [number]
            assert get(viewset, pk=3 - number).status_code == 404


def test_so_is_what_a_serializer_says() -> None:
    for kind in (viewset_of(model=Product, serializer_class=Showing), _showing()):
        with tenant(2):
            assert {row["mark"] for row in get(kind).data} == {2}


def _showing() -> Any:
    shown = type("Shown", (Binding,), {"model": Product, "serializer_class": Showing})
    return viewset_of(binding=shown)


def test_so_are_a_manager_s() -> None:
    kind = type("Rows", (Binding,), {"model": OfTenant, "fields": ("id",)})
    with tenant(2):
        assert kind().keys() == [2]
        assert [row["id"] for row in get(viewset_of(binding=kind)).data] == [2]


def test_over_http_too() -> None:
    body = {"event": "of_tenant", "permission_classes": (AllowAny,)}
    kind: Any = type("Rows", (OfFunction,), body)
    view = SnapshotView.as_view()
    with tenant(2):
        response: Any = view(APIRequestFactory().get("/"), event=kind.event)
        assert response.content == b'[{"id":2}]'


def test_the_language_of_a_caller_counts_where_code_asks_for_it() -> None:
    class Translated(OfFunction):
        def get_queryset(self) -> QuerySet[Product]:
            return Product.objects.filter(stock=2 if translation.get_language() == "de" else 1)

    assert Translated().keys() == [1]
    with translation.override("de"):
        assert Translated().keys() == [2]


def test_publishing_is_warned_of() -> None:
    kind = type("Rows", (OfHelper,), {"event": "of_tenant"})
    assert [message.id for message in problems_of(kind)] == ["bindserver.W053"]


def test_other_code_reads_nothing_of_the_kind() -> None:
    class Plain(OfFunction):
        def get_queryset(self) -> QuerySet[Product]:
            return Product.objects.filter(stock__lt=timezone.now().year, pk__gt=self._least())

        def _least(self) -> int:
            return 0

    assert read_by(Plain, Product, Marked) == frozenset()
    assert Ambient.STATE in read_by(OfFunction, Product)


class AskingBinding(Binding[Product]):
    model = Product
    fields = ("id",)

    def get_queryset(self) -> QuerySet[Product]:
        kind: Any = Model if self.user is None else type(self.user)
        return Product.objects.filter(name=getattr(Model, "label", kind.__name__))


def test_code_may_name_what_all_models_derive_from() -> None:
    assert not read_by(AskingBinding, Product)


keep_out(globals())
