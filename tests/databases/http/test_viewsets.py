"""What `BoundModelViewSet` serves from memory, when it asks the database, and its ETags."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.db import connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import serializers
from rest_framework.filters import OrderingFilter
from rest_framework.pagination import LimitOffsetPagination, PageNumberPagination
from rest_framework.permissions import AllowAny, IsAdminUser
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.test import APIRequestFactory, force_authenticate

from bindserver import Binding, BoundModelViewSet
from bindserver.bindings.registry import registry
from bindserver.exceptions import Unavailable
from bindserver.http import cached
from bindserver.hub.hub import hub
from tests.app.bindings import (
    CheapBinding,
    GuardedBinding,
    InCategoryBinding,
    MineBinding,
    ProductBinding,
    StaffBinding,
)
from tests.app.models import Category, Membership, Moment, Product
from tests.app.pairs import (
    AskingSerializer,
    NestedSerializer,
    OwnCodeSerializer,
    ProductSerializer,
    SometimesAskingSerializer,
)
from tests.support.program import Program
from tests.support.sqlite import SQLiteProgram


@pytest.fixture(params=["log", "signals"])
def shop(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Three products, once with a change log and once without."""
    path = request.getfixturevalue("database" if request.param == "log" else "bare_database")
    for number in (1, 2, 3):
        Product.objects.create(pk=number, name=f"product {number}", stock=number)
    yield path
    hub.stop()


FILTERS: dict[str, Any] = {
    "filter_backends": [DjangoFilterBackend, OrderingFilter],
    "filterset_fields": ["name"],
    "ordering_fields": "__all__",
}


class Products(BoundModelViewSet):
    binding = ProductBinding


class Modelled(BoundModelViewSet):
    model = Product
    serializer_class = ProductSerializer


def get(viewset: Any, path: str = "/", pk: Any = None, user: Any = None, **headers: str) -> Any:
    """Ask a viewset for its list or a row, and return the rendered answer."""
    request = APIRequestFactory().get(path, headers=headers)
    if user is not None:
        force_authenticate(request, user)
    view = viewset.as_view({"get": "list" if pk is None else "retrieve"})
    response = view(request) if pk is None else view(request, pk=pk)
    return response.render() if isinstance(response, Response) else response


def names(response: Any) -> list[str]:
    return [row["name"] for row in response.data]


@pytest.fixture
def count(shop: Path) -> Iterator[Callable[[], int]]:
    """Count the queries of the request's own connection since the last look."""
    with CaptureQueriesContext(connection) as queries:
        seen = 0

        def since() -> int:
            nonlocal seen
            new, seen = len(queries) - seen, len(queries)
            return new

        yield since


Count = Callable[[], int]


@pytest.mark.usefixtures("shop")
def test_a_key_that_the_wire_writes_otherwise_is_read_from_the_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Actives(BoundModelViewSet):
        binding = Binding(model=Product, fields=["name", "active"], ordering=["name"])

    monkeypatch.setattr(Product._meta, "pk", Product._meta.get_field("active"))
    assert '"active":true' in get(Actives).content.decode()


@pytest.mark.usefixtures("shop")
def test_so_is_a_time_that_is_written_in_no_format(settings: Any) -> None:
    class Moments(BoundModelViewSet):
        binding = Binding(model=Moment, fields=["at", "text"])

    settings.REST_FRAMEWORK = {"DATETIME_FORMAT": None}
    Moment.objects.create(at="2026-05-04T03:02:01Z")
    assert '"at":"2026-05-04T03:02:01Z"' in get(Moments).content.decode()


class TestFromMemory:
    @pytest.mark.parametrize("viewset", [Products, Modelled])
    def test_list_retrieve_and_304_read_no_table_of_the_project_s(
        self, viewset: Any, count: Count
    ) -> None:
        listed, row = get(viewset), get(viewset, pk=2)
        assert names(listed) == ["product 1", "product 2", "product 3"]
        assert row.data["name"] == "product 2"
        assert get(viewset, If_None_Match=listed.headers["ETag"]).status_code == 304
        assert get(viewset, pk=2, If_None_Match=row.headers["ETag"]).status_code == 304
        assert count() == 0

    @pytest.mark.parametrize("paginator", [PageNumberPagination, LimitOffsetPagination])
    def test_so_does_a_page(self, paginator: Any, count: Count) -> None:
        paginator = type("Two", (paginator,), {"page_size": 2, "default_limit": 2})
        viewset = type("Paged", (Modelled,), {"pagination_class": paginator})
        page = get(viewset)
        assert page.data["count"] == 3
        assert [row["id"] for row in page.data["results"]] == [1, 2]
        assert get(viewset, If_None_Match=page.headers["ETag"]).status_code == 304
        assert count() == 0

    @pytest.mark.parametrize("serializer", [OwnCodeSerializer, NestedSerializer])
    def test_so_does_a_serializer_of_one_s_own(self, serializer: Any, count: Count) -> None:
        viewset = type("Own", (Modelled,), {"serializer_class": serializer})
        assert len(get(viewset).data) == 3
        assert count() == 0

    def test_a_serializer_that_asks_for_the_request_gets_it(self, count: Count) -> None:
        viewset = type("Asking", (Modelled,), {"serializer_class": AskingSerializer})
        for _ in range(2):
            assert get(viewset).data[0]["who"] == "product 1 for AnonymousUser"
            assert count() > 0

    def test_one_that_asks_for_it_later_gets_it_from_then_on(self, count: Count) -> None:
        serializer = type("Later", (SometimesAskingSerializer,), {})
        viewset = type("Later", (Modelled,), {"serializer_class": serializer})
        assert get(viewset).data[0]["who"] == "product 1"
        assert count() == 0
        product = Product.objects.get(pk=1)
        product.stock = 101
        product.save()
        assert get(viewset).data[0]["who"] == "product 1 for AnonymousUser"

    def test_it_is_as_fresh_as_the_database(self, shop: Path) -> None:
        for number in range(10):
            Product.objects.get(pk=1).delete() if number == 9 else None
            product = Product.objects.get(pk=2)
            product.name = f"name {number}"
            product.save()
            assert f"name {number}" in names(get(Modelled))
        assert len(get(Modelled).data) == 2

    def test_what_the_answer_s_data_is_changed_to_is_sent(self, shop: Path) -> None:
        class Changing(Modelled):
            def list(self, *args: Any, **kwargs: Any) -> Response:
                response = super().list(*args, **kwargs)
                response.data.append("more")
                return response

        response = get(Changing)
        assert response.data[-1] == "more"
        assert response.content.endswith(b',"more"]')

    def test_a_binding_s_limit_is_the_viewset_s(self, count: Count) -> None:
        cheap = type("Cheap", (BoundModelViewSet,), {"binding": CheapBinding})
        Product.objects.create(pk=4, name="dear", price=99)
        count()
        assert [row["id"] for row in get(cheap).data] == [1, 2, 3]
        assert get(cheap, pk=1).status_code == 200
        assert count() == 0
        assert get(cheap, pk=4).status_code == 404

    def test_a_binding_s_limit_is_the_viewset_s_on_mariadb_too(self, on_maria: Program) -> None:
        on_maria.add_products(5)
        cheap = type("Cheap", (BoundModelViewSet,), {"binding": CheapBinding, **FILTERS})
        assert [row["id"] for row in get(cheap).data] == [1, 2, 3]
        assert names(get(cheap, "/?name=product 2")) == ["product 2"]
        assert get(cheap, pk=4).status_code == 404
        hub.stop()

    def test_params_come_from_the_query(self, shop: Path) -> None:
        toys = Category.objects.create(name="toys")
        Product.objects.create(pk=4, name="ball", category=toys)
        viewset = type("InCategory", (BoundModelViewSet,), {"binding": InCategoryBinding})
        assert names(get(viewset, f"/?category={toys.pk}&page=1")) == ["ball"]
        refused = get(viewset, "/?category=x")
        assert refused.status_code == 400
        assert refused.data["code"] == "invalid_params"
        assert get(viewset).status_code == 400

    def test_a_binding_that_reads_to_say_what_it_serves_is_not_asked_again(
        self, count: Count
    ) -> None:
        ann = User.objects.create(username="ann")
        toys = Category.objects.create(name="toys")
        Product.objects.filter(pk=2).update(category=toys)
        viewset = type("Mine", (BoundModelViewSet,), {"binding": MineBinding, **FILTERS})
        assert get(viewset, user=ann).data == []
        Membership.objects.create(user=ann, category=toys)
        count()
        listed = get(viewset, user=ann)
        assert [row["id"] for row in listed.data] == [2]
        assert get(viewset, user=ann, If_None_Match=listed.headers["ETag"]).status_code == 304
        assert get(viewset, pk=2, user=ann).data["id"] == 2
        assert count() == 0
        assert get(viewset, "/?name=product+2", user=ann).data == listed.data
        assert get(viewset, "/?name=other", user=ann).data == []
        assert get(viewset, "/?ordering=-name", user=ann).data == listed.data
        assert count() > 0

    def test_the_cursor_of_a_published_binding_is_told(self, shop: Path) -> None:
        assert get(Products).headers["Bindserver-Cursor"]
        assert "Bindserver-Cursor" not in get(Modelled).headers


class TestFromTheDatabase:
    def test_inside_a_transaction_that_wrote(self, count: Count) -> None:
        with transaction.atomic():
            Product.objects.filter(pk=1).update(name="not committed")
            count()
            assert "not committed" in names(get(Modelled))
            assert count() > 0
            transaction.set_rollback(True)
        assert "not committed" not in names(get(Modelled))

    def test_inside_a_transaction_that_only_reads_memory_serves(self, count: Count) -> None:
        with transaction.atomic():
            get(Modelled)
            assert count() <= 1  # BEGIN

    @pytest.mark.parametrize("problem", [Unavailable(), TimeoutError()])
    def test_when_the_hub_cannot_answer(
        self, problem: Exception, count: Count, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Failing:
            def result(self, timeout: float) -> Any:
                raise problem

            def cancel(self) -> None: ...

        monkeypatch.setattr(hub, "snapshot", lambda *args, **kwargs: Failing())
        response = get(Modelled)
        assert len(response.data) == 3
        assert count() == 1
        assert get(Modelled, If_None_Match=response.headers["ETag"]).status_code == 304

    def test_when_there_are_more_rows_than_the_view_may_have(
        self, count: Count, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cached, "_oversized_until", {})

        class SmallBinding(Binding[Product]):
            model = Product
            fields = ["id"]
            max_rows = 2

        viewset = type("Small", (BoundModelViewSet,), {"binding": SmallBinding})
        for _ in range(2):
            assert len(get(viewset).data) == 3
            assert count() == 1
        assert SmallBinding in cached._oversized_until

    def test_in_another_language_or_time_zone(self, count: Count) -> None:
        with translation.override("de"):
            get(Modelled)
            assert count() == 1
        with timezone.override("Asia/Tokyo"):
            get(Modelled)
            assert count() == 1

    def test_has_the_same_tag_as_memory(self, count: Count) -> None:
        tag = get(Modelled).headers["ETag"]
        with transaction.atomic():
            Product.objects.filter(pk=1).update(stock=1)
            count()
            assert get(Modelled, If_None_Match=tag).status_code == 304
            assert count() == 1


class TestConditions:
    def test_a_date_counts_only_exactly_and_once_it_is_old(self, shop: Path) -> None:
        date = get(Modelled).headers["Last-Modified"]
        assert get(Modelled, If_Modified_Since=date).status_code == 200
        time.sleep(2.1)
        assert get(Modelled, If_Modified_Since=date).status_code == 304
        later = "Fri, 01 Jan 2100 00:00:00 GMT"
        assert get(Modelled, If_Modified_Since=later).status_code == 200
        both = get(Modelled, If_Modified_Since=date, If_None_Match='"other"')
        assert both.status_code == 200

    def test_tags_in_all_their_forms(self, shop: Path) -> None:
        tag = get(Modelled).headers["ETag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            assert get(Modelled, If_None_Match=known).status_code == 304
        assert get(Modelled, If_None_Match='"other"').status_code == 200

    def test_a_row_keeps_its_tag_while_others_change(self, shop: Path) -> None:
        tag = get(Modelled, pk=2).headers["ETag"]
        Product.objects.get(pk=1).delete()
        assert get(Modelled, pk=2, If_None_Match=tag).status_code == 304
        Product.objects.filter(pk=2).delete()
        assert get(Modelled, pk=2, If_None_Match=tag).status_code == 404

    def test_a_304_keeps_the_other_headers(self, shop: Path) -> None:
        class Headed(Modelled):
            def list(self, *args: Any, **kwargs: Any) -> Response:
                response = super().list(*args, **kwargs)
                response.headers["X-Mine"] = "1"
                return response

        response = get(Headed)
        again = get(Headed, If_None_Match=response.headers["ETag"])
        assert again.status_code == 304
        assert again.headers["X-Mine"] == "1"
        assert again.headers["Vary"] == response.headers["Vary"]
        assert again.headers["Cache-Control"] == "private, no-cache"

    def test_a_project_s_own_cache_control_stands(self, shop: Path) -> None:
        class Cached(Modelled):
            def list(self, *args: Any, **kwargs: Any) -> Response:
                response = super().list(*args, **kwargs)
                response.headers["Cache-Control"] = "max-age=60"
                return response

        assert get(Cached).headers["Cache-Control"] == "max-age=60"


class TestUsers:
    def test_each_is_served_their_own_rows(self, shop: Path) -> None:
        viewset = type("Staff", (BoundModelViewSet,), {"binding": StaffBinding})
        staff = User.objects.create(username="staff", is_staff=True)
        other = User.objects.create(username="other")
        for _ in range(2):
            assert len(get(viewset, user=staff).data) == 3
            assert get(viewset, user=other).data == []
            assert get(viewset, user=AnonymousUser()).data == []
            assert get(viewset, pk=1, user=other).status_code == 404


class TestPermissions:
    def test_the_binding_s_are_asked_beside_the_viewset_s_for_every_method(
        self, shop: Path
    ) -> None:
        guarded: Any = type("Guarded", (BoundModelViewSet,), {"binding": GuardedBinding})
        both = type("Both", (guarded,), {"permission_classes": [IsAdminUser]})
        ann = User.objects.create(username="ann")
        refused = get(guarded, user=ann)
        assert refused.status_code == 403
        assert refused.data["detail"] == "ask for the right to see products"
        request = APIRequestFactory().post("/", {"name": "new"})
        force_authenticate(request, ann)
        assert guarded.as_view({"post": "create"})(request).status_code == 403
        ann.user_permissions.add(Permission.objects.get(codename="view_product"))
        ann = User.objects.get(pk=ann.pk)
        assert len(get(guarded, user=ann).data) == 3
        assert get(guarded, pk=1, user=ann).status_code == 200
        assert get(both, user=ann).status_code == 403
        staff = User.objects.create(username="staff", is_staff=True)
        assert get(both, user=staff).status_code == 403

    def test_a_viewset_s_own_stand_for_drf_s_setting(self, shop: Path, settings: Any) -> None:
        settings.REST_FRAMEWORK = {
            "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"]
        }
        public = type("Public", (Modelled,), {"permission_classes": [AllowAny]})
        assert get(public).status_code == 200


class TestDeclaring:
    def test_routers_name_routes_by_the_model(self) -> None:
        router = SimpleRouter()
        router.register("things", Modelled)
        assert {getattr(url, "name", None) for url in router.urls} == {
            "product-list",
            "product-detail",
        }

    def test_nothing_publishes_itself(self, shop: Path) -> None:
        viewset = type("Bare", (BoundModelViewSet,), {"model": Product})
        with pytest.raises(AssertionError, match="Name a `serializer_class` in the viewset"):
            get(viewset)

    def test_without_a_model_it_says_what_to_write(self, shop: Path) -> None:
        viewset = type("Bare", (BoundModelViewSet,), {"serializer_class": ProductSerializer})
        with pytest.raises(AssertionError, match="needs `binding = YourBinding` or `model ="):
            get(viewset)

    def test_a_model_s_binding_is_not_published(self, shop: Path) -> None:
        published = registry.published()
        get(Modelled)
        assert registry.published() == published

    def test_a_binding_without_a_class_is_served(self, count: Count) -> None:
        some: Binding[Product] = Binding(model=Product, filters={"stock__gt": 1}, fields=["name"])
        few: Binding[Product] = Binding(model=Product, filters={"stock": 1}, fields=["id"])
        for _ in range(2):
            viewset = type("Some", (BoundModelViewSet,), {"binding": some})
            assert get(viewset).data == [{"name": "product 2"}, {"name": "product 3"}]
            viewset = type("Few", (BoundModelViewSet,), {"binding": few})
            assert get(viewset).data == [{"id": 1}]
        assert count() == 0

    def test_a_queryset_of_one_s_own_is_served(self, count: Count) -> None:
        same = type("Same", (Modelled,), {"queryset": Product.objects.all()})
        less = type("Less", (Modelled,), {"queryset": Product.objects.filter(stock=1)})
        assert len(get(same).data) == 3
        assert count() == 0
        assert names(get(less)) == ["product 1"]
        assert count() == 1


def test_what_another_program_writes_is_served(database: Path) -> None:
    program = SQLiteProgram(database)
    program.add_products(2)
    try:
        tag = get(Modelled).headers["ETag"]
        program.run("UPDATE app_product SET name = 'changed' WHERE id = 2")
        again = get(Modelled, If_None_Match=tag)
        assert names(again) == ["product 1", "changed"]
    finally:
        program.close()
        hub.stop()


def test_half_made_rows_of_a_test_case_are_served_from_its_own_connection(db: None) -> None:
    Product.objects.create(name="only here")
    assert names(get(Modelled)) == ["only here"]


@override_settings(USE_I18N=False)
def test_it_works_without_translations(database: Path) -> None:
    Product.objects.create(name="one")
    with CaptureQueriesContext(connection) as queries:
        assert names(get(Modelled)) == ["one"]
    assert len(queries) == 0
    hub.stop()


def test_a_serializer_s_own_fields_are_served_whole(database: Path) -> None:
    class Wide(serializers.ModelSerializer[Product]):
        class Meta:
            model = Product
            fields = "__all__"

    product = Product.objects.create(name="a\u2028b \U0001f600 <&>")
    viewset = type("All", (Modelled,), {"serializer_class": Wide})
    assert get(viewset).content.decode() == (
        f'[{{"id":{product.pk},"name":"a\\u2028b \U0001f600 <&>","sku":null,"price":"0.00",'
        '"stock":0,"active":true,"category":null,"tags":[]}]'
    )
    hub.stop()
