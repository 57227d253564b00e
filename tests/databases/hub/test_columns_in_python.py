"""Rows of columns in Python and over HTTP: groups, sums and dicts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from io import StringIO
from typing import Any, ClassVar

import pytest
from django.core.management import call_command
from django.db import transaction
from django.db.models import Count, Sum
from django.test import Client
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory

from bindserver import Binding, BoundModelViewSet
from bindserver.bindings.registry import registry
from tests.app.models import Product
from tests.support.shop import Shop


@pytest.fixture
def kinds(shop: Shop) -> Iterator[dict[str, type[Binding[Any]]]]:
    """Bindings of groups, of one row, and of dicts; products 1 and 2 are of stock 0 and 1."""

    class Groups(Binding[Any]):
        event = "groups"
        queryset = Product.objects.values("stock").annotate(total=Sum("price"))

    class Pairs(Binding[Any]):
        event = "pairs"
        queryset = Product.objects.values("stock", "active").annotate(n=Count("pk"))

    class Sums(Binding[Any]):
        model = Product
        event = "sums"
        aggregate: ClassVar[Any] = {"total": Sum("price"), "n": Count("pk")}

    class Dicts(Binding[Any]):
        event = "dicts"
        queryset = Product.objects.values("name", "stock")
        ordering = ("-stock",)

    shop.add_products(1, first=1, price=5, stock=0)
    shop.add_products(1, first=2, price=6, stock=1)
    declared = {"groups": Groups, "pairs": Pairs, "sums": Sums, "dicts": Dicts}
    yield declared
    for binding in declared.values():
        registry.remove(binding)


Kinds = dict[str, type[Binding[Any]]]


def test_rows_are_dicts_with_keys(kinds: Kinds) -> None:
    groups = kinds["groups"]().all()
    assert list(groups) == [
        {"stock": 0, "total": Decimal(5)},
        {"stock": 1, "total": Decimal(6)},
    ]
    assert (groups.keys(), groups.get(1)) == ([0, 1], {"stock": 1, "total": Decimal(6)})
    assert 1 in groups
    assert {"stock": 0, "total": Decimal(5)} in groups
    assert 7 not in groups
    with pytest.raises(Product.DoesNotExist):
        groups.get(7)
    assert kinds["pairs"]().keys() == ["[0,true]", "[1,true]"]
    assert list(kinds["sums"]().all()) == [{"total": Decimal(11), "n": 2}]
    assert list(kinds["dicts"]().all()) == [
        {"name": "product 2", "stock": 1},
        {"name": "product 1", "stock": 0},
    ]
    assert kinds["dicts"]().keys() == [2, 1]


def test_they_are_as_fresh_as_the_database(kinds: Kinds, shop: Shop) -> None:
    groups, sums, dicts = (kinds[name]() for name in ("groups", "sums", "dicts"))
    versions = [binding.version for binding in (groups, sums, dicts)]
    assert versions == [binding.version for binding in (groups, sums, dicts)]
    shop.run("UPDATE app_product SET price = 9, stock = 4 WHERE id = 1")
    assert groups.keys() == [1, 4]
    assert sums.get("[]") == {"total": Decimal(15), "n": 2}
    assert dicts.keys() == [1, 2]
    assert not set(versions) & {binding.version for binding in (groups, sums, dicts)}
    shop.run("DELETE FROM app_product")
    assert (groups.keys(), list(sums.all())) == ([], [{"total": None, "n": 0}])


def test_what_a_caller_changes_is_a_copy(kinds: Kinds) -> None:
    kinds["groups"]().all()[0]["stock"] = 77
    assert kinds["groups"]().keys() == [0, 1]
    assert kinds["groups"]().all()[0]["stock"] == 0


def test_inside_a_transaction_they_are_queried_on_its_connection(kinds: Kinds) -> None:
    with transaction.atomic():
        Product.objects.filter(pk=1).delete()
        assert kinds["groups"]().keys() == [1]
        assert list(kinds["sums"]().all()) == [{"total": Decimal(6), "n": 1}]


def test_they_are_served_over_http(kinds: Kinds) -> None:
    client = Client()
    listed = {entry["event"]: entry["key"] for entry in client.get("/bindings/").json()}
    expected = {"groups": "stock", "pairs": "key", "sums": "key", "dicts": "id"}
    assert {event: listed[event] for event in expected} == expected
    answer = client.get("/bindings/pairs/")
    assert answer.json()[0] == {"key": "[0,true]", "stock": 0, "active": True, "n": 1}
    again = client.get("/bindings/pairs/", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    assert client.get("/bindings/pairs/[0,true]/").json()["n"] == 1
    group = client.get("/bindings/groups/1/").json()
    assert (group["stock"], float(group["total"])) == (1, 6)
    [row] = client.get("/bindings/sums/").json()
    assert (row["key"], float(row["total"]), row["n"]) == ("[]", 11, 2)
    assert [row["id"] for row in client.get("/bindings/dicts/").json()] == [2, 1]


def test_the_command_says_by_what_rows_are_told_apart(kinds: Kinds) -> None:
    told = StringIO()
    call_command("bindings", "list", stdout=told)
    assert "rows of columns: stock, active, n; told apart by stock, active" in told.getvalue()
    assert "rows of columns: one row of total, n" in told.getvalue()
    assert "read whole at each change that touches it: its rows are groups" in told.getvalue()


def ask(viewset: Any, method: str = "get", action: str = "list", **given: Any) -> Any:
    request = getattr(APIRequestFactory(), method)("/")
    response = viewset.as_view({method: action})(request, **given)
    return response.render() if isinstance(response, Response) else response


def with_numbers(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its total as a number, of which databases write more places or fewer."""
    return {name: Decimal(item) if name == "total" else item for name, item in row.items()}


class SumRow(serializers.Serializer[Any]):
    total = serializers.DecimalField(max_digits=9, decimal_places=1)


@pytest.mark.parametrize("inside", [False, True])
def test_a_viewset_lists_them(kinds: Kinds, inside: bool) -> None:
    expected = {
        "groups": [{"stock": 0, "total": 5}, {"stock": 1, "total": 6}],
        "pairs": [
            {"stock": 0, "active": True, "n": 1},
            {"stock": 1, "active": True, "n": 1},
        ],
        "sums": [{"total": 11, "n": 2}],
        "dicts": [{"name": "product 2", "stock": 1}, {"name": "product 1", "stock": 0}],
    }
    for name, rows in expected.items():
        viewset = type(name, (BoundModelViewSet,), {"binding": kinds[name]})
        with transaction.atomic():
            if inside:  # the connection's own rows are asked for
                Product.objects.filter(pk=1).update(price=5)
            answer = ask(viewset)
        assert [with_numbers(row) for row in json.loads(answer.content)] == rows
        assert answer.headers["ETag"]
    summed = type("S", (BoundModelViewSet,), {"binding": kinds["sums"], "serializer_class": SumRow})
    assert json.loads(ask(summed).content) == [{"total": "11.0"}]


@pytest.mark.parametrize(
    ("method", "action", "given"),
    [
        ("get", "retrieve", {"pk": "1"}),
        ("post", "create", {}),
        ("put", "update", {"pk": "1"}),
        ("delete", "destroy", {"pk": "1"}),
    ],
)
def test_a_viewset_refuses_what_asks_for_an_instance(
    kinds: Kinds, method: str, action: str, given: dict[str, str]
) -> None:
    for name in kinds:
        viewset = type(name, (BoundModelViewSet,), {"binding": kinds[name]})
        answer = ask(viewset, method, action, **given)
        assert answer.status_code == 405
        assert "can only list" in answer.data["detail"]
    assert Product.objects.count() == 2


def test_values_of_a_method_are_listed_and_not_retrieved(kinds: Kinds) -> None:
    class Row(serializers.Serializer[Any]):
        n = serializers.IntegerField()

    class Of(Binding[Any]):
        model = Product
        event = "of"
        serializer_class = Row

        def get_queryset(self) -> Any:
            return Product.objects.values("stock").annotate(n=Count("pk"))

    try:
        viewset = type("Of", (BoundModelViewSet,), {"binding": Of})
        assert json.loads(ask(viewset).content) == [{"n": 1}, {"n": 1}]
        assert ask(viewset, "get", "retrieve", pk="1").status_code == 405
        assert Client().get("/bindings/of/").json() == [{"stock": 0, "n": 1}, {"stock": 1, "n": 1}]
    finally:
        registry.remove(Of)
