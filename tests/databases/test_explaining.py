"""`manage.py bindings explain`: what it says of bindings of each kind."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from tests.app.models import Category, Membership, Product
from tests.conftest import EVERY_DATABASE
from tests.support.turning import Turning, add

pytestmark = EVERY_DATABASE


def explain(event: str, **options: Any) -> str:
    out = io.StringIO()
    call_command("bindings", "explain", event, stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def stocked(turning: Turning) -> None:
    Category.objects.get_or_create(pk=1, defaults={"name": "first"})
    add(900, 1)


def test_a_view_by_an_equality_is_read_by_key_and_together(stocked: None) -> None:
    told = explain("part", params=json.dumps({"category": 1}))
    assert "read: by key" in told
    assert "its slot is app_product.category_id = 1" in told
    assert "app_product: its own rows, by key\n    1 statement, 1 row" in told


def test_a_join_says_over_what_it_is_followed(stocked: None) -> None:
    told = explain("catalogue", params=json.dumps({"category": 1}))
    assert "app_category: by key, over category__pk" in told
    assert "ordered by: the database" in told


def test_what_cannot_be_told_is_said_with_what_to_do(stocked: None) -> None:
    for event, options, words in (
        ("nothing", {}, "No binding has the event"),
        ("part", {"params": "{"}, "no JSON"),
        ("part", {"params": "[]"}, "a JSON object"),
        ("part", {"params": '{"category": "x"}'}, "part is refused (invalid_params)"),
        ("part", {"user": "nobody"}, "no user with the name or the key 'nobody'"),
    ):
        with pytest.raises(CommandError, match=r".") as caught:
            explain(event, **options)
        assert words in str(caught.value)


def test_a_user_is_named_or_told_by_key(stocked: None) -> None:
    user = User.objects.create_user("ann", is_active=True)
    for named in ("ann", str(user.pk)):
        assert "read:" in explain("part", user=named, params='{"category": 1}')


def test_a_row_that_is_out_has_the_condition_told_that_it_fails(stocked: None) -> None:
    key = Product.objects.values_list("pk", flat=True)[0]
    Product.objects.filter(pk=key).update(active=False, category=None)
    told = explain("products", row=str(key))
    assert f"row {key} is out: it fails one condition" in told
    assert "  fails: active = True (it has False)\n    SQL: " in told
    assert "last written: 20" in told
    assert "UTC, inserted or updated, " in told
    told = explain("of_category", row=str(key), params='{"name": "first"}')
    assert "  fails: category__name = 'first' (it has None)" in told
    assert "  fails: there is a row of app_category that it is joined to by category" in told


def test_a_row_that_is_in_or_gone_or_behind_a_limit_is_told_so(stocked: None) -> None:
    keys = list(Product.objects.order_by("price", "pk").values_list("pk", flat=True))
    assert f"row {keys[0]} is in: it meets all conditions" in explain("products", row=str(keys[0]))
    told = explain("cheapest", row=str(keys[3]))
    assert "is out: it is number 4 in order, and rows 1 to 3 are shown" in told
    Product.objects.filter(pk=keys[0]).delete()
    told = explain("products", row=str(keys[0]))
    assert "is out: there is no such row in app_product" in told
    assert "UTC, deleted, " in told


def test_a_condition_that_is_there_for_a_user_is_told_so(stocked: None) -> None:
    user = User.objects.create_user("bob")
    row = str(Product.objects.values_list("pk", flat=True)[0])
    Membership.objects.create(user=user, category_id=1)
    Product.objects.filter(pk=row).update(category=None)
    told = explain("mine", user="bob", row=row)
    assert "it is another one, or none, for other users" in told


def test_a_text_that_is_no_key_is_told_so(stocked: None) -> None:
    with pytest.raises(CommandError, match=r"'x' is no primary key of app\.Product"):
        explain("products", row="x")
