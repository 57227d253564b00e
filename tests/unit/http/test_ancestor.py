"""The snippets of the ancestor's README, in today's spelling, run as they stand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.routers import DefaultRouter
from rest_framework.test import APIRequestFactory

from bindserver.bindings.registry import registry
from bindserver.exceptions import BindingError
from bindserver.hub.hub import hub
from bindserver.testing import Live
from tests.app.models import Product
from tests.app.pairs import ProductSerializer

PYTHON = """
from bindserver import Binding
from django.contrib.auth.models import User

class UserBinding(Binding):
    model = User
    filters = dict(is_active=True)

users = UserBinding().all()
"""

VIEWSET = """
from bindserver import BoundModelViewSet

class BoundProductViewset(BoundModelViewSet):
    model = Product
    serializer_class = ProductSerializer
"""

VIEWSET_WITH_A_BINDING = """
from bindserver import Binding, BoundModelViewSet

class ProductBinding(Binding):
    model = Product

    def filters(self):
        return {"active": True}

class BoundProductViewset(BoundModelViewSet):
    binding = ProductBinding
    serializer_class = ProductSerializer
"""

INSTANCE = VIEWSET_WITH_A_BINDING.replace("binding = ProductBinding", "binding = ProductBinding()")


@pytest.fixture(autouse=True)
def rows(database: Path) -> Iterator[None]:
    known = registry.all()
    User.objects.create(username="ann")
    User.objects.create(username="gone", is_active=False)
    Product.objects.create(pk=1, name="tea")
    Product.objects.create(pk=2, name="sold out", active=False)
    yield
    hub.stop()
    for binding in registry.all():
        if binding not in known:
            registry.remove(binding)


def run(code: str) -> dict[str, Any]:
    names = {"__name__": "snippet", "Product": Product, "ProductSerializer": ProductSerializer}
    exec(dedent(code), names)
    return names


def test_a_binding_is_a_live_cache() -> None:
    names = run(PYTHON)
    assert [user.username for user in names["users"]] == ["ann"]
    User.objects.filter(username="gone").update(is_active=True)
    binding = names["UserBinding"]()
    assert {user.username for user in binding.all()} == {"ann", "gone"}
    with CaptureQueriesContext(connection) as queries:
        binding.all()
    assert len(queries) == 0


@pytest.mark.parametrize(
    ("code", "names"),
    [
        (VIEWSET, ["tea", "sold out"]),
        (VIEWSET_WITH_A_BINDING, ["tea"]),
        (INSTANCE, ["tea"]),
    ],
)
def test_a_viewset_serves_lists_and_rows_with_etags(code: str, names: list[str]) -> None:
    viewset = run(code)["BoundProductViewset"]
    router = DefaultRouter()
    router.register("products", viewset)
    urls: list[Any] = router.urls
    views: dict[str, Any] = {url.name: url.callback for url in urls if "format" not in str(url)}
    listed = views["product-list"](APIRequestFactory().get("/"))
    assert [row["name"] for row in listed.render().data] == names
    row = views["product-detail"](APIRequestFactory().get("/"), pk=1).render()
    assert row.data["name"] == "tea"
    for path, answer in (("product-list", listed), ("product-detail", row)):
        request = APIRequestFactory().get("/", headers={"If-None-Match": answer.headers["ETag"]})
        keys = {"pk": 1} if path.endswith("detail") else {}
        assert views[path](request, **keys).render().status_code == 304
    gone = views["product-detail"](APIRequestFactory().get("/"), pk=2)
    assert gone.status_code == (200 if "sold out" in names else 404)


WEBSOCKET = """
from bindserver import Binding, BoundWebsocketView

class GoodsBinding(Binding):
    model = Product
    filters = {"active": True}

class GoodsWebsocketView(BoundWebsocketView):
    event = "goods"
    binding = GoodsBinding()
    groups = ["goods"]
"""


def test_a_websocket_view_needs_one_line_more() -> None:
    view = run(WEBSOCKET)["GoodsWebsocketView"]
    with pytest.raises(BindingError, match=r'E008.*Write `fields = \["id", "name"\]`'):
        Live().subscribe(view)
    with_fields = WEBSOCKET.replace("    filters", '    fields = ["id", "name"]\n    filters')
    view = run(with_fields)["GoodsWebsocketView"]
    assert Live().subscribe(view).rows == [{"id": 1, "name": "tea"}]
