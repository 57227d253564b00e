"""Why a row is in a query or not: which condition it fails, asked of that row alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Window
from django.db.models.functions import Lower, RowNumber

from bindserver import Binding
from bindserver.database.pacing import Pacer
from bindserver.queries.compiler import located
from bindserver.queries.query import Query
from bindserver.queries.row_conditions import Condition
from bindserver.queries.why import APART, Reasons, reasons
from tests.app.models import Category, Membership, Product, Restaurant, Shelf, Tag

pytestmark = pytest.mark.django_db


def why(queryset: QuerySet[Any], pk: Any, **declared: Any) -> Reasons:
    """Return why a row is in a binding's rows, or not."""
    return reasons(Query(Binding(queryset=queryset, **declared)), pk, Pacer(10))


def failing(told: Reasons) -> list[str]:
    return [condition.words for condition in told.conditions if condition.holds is False]


def by_words(told: Reasons) -> Mapping[str, Condition]:
    return {condition.words: condition for condition in told.conditions}


@pytest.fixture
def food() -> Category:
    return Category.objects.create(name="Food")


@pytest.fixture
def bread(food: Category) -> Product:
    return Product.objects.create(name="Bread", stock=3, category=food)


def test_a_row_that_meets_all_is_in(bread: Product) -> None:
    told = why(Product.objects.filter(active=True, stock__gt=2), bread.pk)
    assert (told.exists, told.matches, told.inside, failing(told)) == (True, True, True, [])
    assert [condition.words for condition in told.conditions] == ["active = True", "stock > 2"]


def test_the_condition_that_a_row_fails_is_named_with_what_the_row_has(bread: Product) -> None:
    told = why(Product.objects.filter(active=True, stock__gt=5), bread.pk)
    assert not told.inside
    assert failing(told) == ["stock > 5"]
    condition = by_words(told)["stock > 5"]
    assert condition.found == ("3",)
    assert condition.masked == "stock > …"
    assert "stock" in condition.sql
    assert "5" not in condition.sql
    assert condition.models == {Product}


def test_a_row_that_is_not_there_is_said_to_be_missing() -> None:
    told = why(Product.objects.filter(stock__gt=5), 4711)
    assert not told.exists
    assert not told.inside
    assert told.conditions == ()


def test_a_condition_over_a_relation_has_its_path(bread: Product) -> None:
    told = why(Product.objects.filter(category__name__iexact="drinks"), bread.pk)
    assert failing(told) == ["category__name iexact 'drinks'"]
    assert by_words(told)["category__name iexact 'drinks'"].found == ("'Food'",)


def test_a_row_that_a_join_drops_is_said_to_lack_the_other_row() -> None:
    loose = Product.objects.create(name="Loose")
    told = why(Product.objects.filter(category__name__startswith="F"), loose.pk)
    joined = "there is a row of app_category that it is joined to by category"
    assert joined in failing(told)


def test_what_is_excluded_is_a_condition_turned_round(bread: Product) -> None:
    told = why(Product.objects.all(), bread.pk, excludes={"name": "Bread"})
    assert failing(told) == ["not (name = 'Bread')"]


def test_alternatives_are_one_condition(bread: Product) -> None:
    told = why(Product.objects.filter(Q(stock=1) | Q(name__in=["Milk", "Tea"])), bread.pk)
    assert failing(told) == ["stock = 1 or name is one of 'Milk', 'Tea'"]


def test_exists_tells_of_which_rows(bread: Product) -> None:
    tags = Tag.objects.filter(product=OuterRef("pk"), name="new")
    told = why(Product.objects.filter(Exists(tags)), bread.pk)
    assert failing(told) == ["there is a row of app.Tag where name = 'new' and product = id"]


def test_a_subquery_of_in_tells_of_which_rows(bread: Product) -> None:
    told = why(Product.objects.filter(category__in=Category.objects.filter(name="Tea")), bread.pk)
    assert failing(told) == ["category is one of a row of app.Category where name = 'Tea'"]


def test_expressions_and_columns_are_told(bread: Product) -> None:
    told = why(Product.objects.filter(price__gt=F("stock") + 1), bread.pk)
    assert failing(told) == ["price > stock + 1"]
    told = why(Product.objects.annotate(low=Lower("name")).filter(low="tea"), bread.pk)
    assert failing(told) == ["name__lower = 'tea'"]


def test_a_limit_has_the_row_s_rank_told(food: Category) -> None:
    made = [Product.objects.create(name=f"P{n}", price=n) for n in range(5)]
    rows = Product.objects.order_by("price")
    told = why(rows, made[3].pk, limit=3)
    assert (told.matches, told.rank, told.start, told.stop, told.inside) == (True, 4, 0, 3, False)
    told = why(rows, made[2].pk, limit=3)
    assert (told.rank, told.inside) == (3, True)
    told = why(rows[1:4], made[0].pk)
    assert (told.rank, told.start, told.stop, told.inside) == (1, 1, 4, False)


def test_a_condition_of_what_is_summed_up_is_asked_of_the_row_s_group(food: Category) -> None:
    for name in ("one", "two"):
        Product.objects.create(name=name, category=food)
    rows = Category.objects.annotate(n=Count("product"))
    told = why(rows.filter(n__gt=2), food.pk)
    assert failing(told) == ["COUNT(product__id) > 2"]
    assert why(rows.filter(n__gt=1), food.pk).inside


def test_conditions_that_different_joined_rows_meet_are_said_to_be_apart(food: Category) -> None:
    product = Product.objects.create(name="Bread")
    one, other = Tag.objects.create(name="a"), Tag.objects.create(name="b")
    product.tags.add(one, other)
    told = why(Product.objects.filter(tags__name="a", tags__id__gt=one.pk), product.pk)
    assert not told.inside
    assert failing(told) == []
    assert told.note == APART


def test_a_window_s_condition_is_not_asked_of_one_row(bread: Product) -> None:
    ranked = Product.objects.annotate(place=Window(RowNumber(), order_by="id")).filter(place__lt=2)
    told = why(ranked, bread.pk)
    assert told.inside
    assert [condition.holds for condition in told.conditions] == [None]


def test_a_union_is_asked_whole(bread: Product) -> None:
    told = why(Product.objects.filter(stock=1).union(Product.objects.filter(stock=3)), bread.pk)
    assert told.inside
    assert told.conditions == ()
    assert "union" in told.note


def test_an_empty_query_says_so(bread: Product) -> None:
    told = why(Product.objects.filter(pk__in=[]), bread.pk)
    assert not told.inside
    assert len(failing(told)) == 1
    assert why(Product.objects.none(), bread.pk).inside is False


def test_a_child_s_rows_are_asked_by_its_parent_s_columns() -> None:
    place = Restaurant.objects.create(name="Diner", seats=4)
    told = why(Restaurant.objects.filter(name="Bar", seats=4), place.pk)
    assert failing(told) == ["place_ptr__name = 'Bar'"]


def test_what_is_there_for_whoever_asks_is_told(food: Category) -> None:
    class Kept(Binding[Shelf]):
        model = Shelf
        fields = ("id",)
        filters = {"size__gte": 0}

        def get_q(self) -> Q:
            return Q(keeper=self.user.pk)

    ann, bob = (User.objects.create(username=name) for name in ("ann", "bob"))
    shelf = Shelf.objects.create(name="a", keeper=bob)
    nobody = located(Kept(), "default")
    told = reasons(Query(Kept(user=ann)), shelf.pk, Pacer(10), nobody)
    (failed,) = [condition for condition in told.conditions if not condition.holds]
    assert failed.of_caller
    assert failed.users == {ann.pk}
    assert by_words(told)["size >= 0"].of_caller is False


def test_memberships_that_a_query_joins_name_the_user(food: Category) -> None:
    ann = User.objects.create(username="ann")
    rows = Category.objects.filter(membership__user=ann)
    told = why(rows, food.pk)
    assert f"membership__user = {ann.pk}" in failing(told)
    Membership.objects.create(user=ann, category=food)
    assert why(rows, food.pk).inside
