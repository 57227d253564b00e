"""How the tables of a query lead back to its model: what is told, and what is not."""

from __future__ import annotations

from typing import Any, cast

import pytest
from django.db import models
from django.db.models import (
    Case,
    Count,
    Exists,
    FilteredRelation,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.expressions import RawSQL
from django.db.models.fields.related import RelatedField
from django.test.utils import isolate_apps

from bindserver.engine.changes import Change
from bindserver.queries.backwards import Chains, Hop, chains_of
from bindserver.queries.compiler import compiled
from bindserver.queries.following import Following
from bindserver.queries.identity import compile_query
from bindserver.queries.prefetches import levels_of
from tests.app.models import Category, Membership, Product, Shelf, Tag, TallShelf

OF_PRODUCT = Hop("app_product", "category_id", "app_category", "id")
OF_LINK = Hop("app_product_tags", "product_id", "app_product", "id")
OF_TAG = Hop("app_tag", "id", "app_product_tags", "tag_id")
OF_MEMBER = Hop("app_membership", "category_id", "app_category", "id")


def chains(queryset: QuerySet[Any]) -> Chains:
    query = queryset.query.chain()
    statement = compile_query(query, "default")
    return chains_of(query, statement.sql, queryset.model)


def of_parent(**conditions: Any) -> QuerySet[Product]:
    return Product.objects.filter(category=OuterRef("pk"), **conditions)


class TestTold:
    def test_a_reverse_foreign_key_is_one_hop(self) -> None:
        found = chains(Category.objects.annotate(n=Count("product")))
        assert found == {"app_category": ((),), "app_product": ((OF_PRODUCT,),)}

    def test_many_to_many_is_two(self) -> None:
        assert chains(Product.objects.filter(tags__name="a")) == {
            "app_product": ((),),
            "app_product_tags": ((OF_LINK,),),
            "app_tag": ((OF_TAG, OF_LINK),),
        }

    def test_subqueries_hang_on_the_column_that_they_name(self) -> None:
        inner = of_parent(tags__name="a")
        for queryset in (
            Category.objects.filter(Exists(inner)),
            Category.objects.filter(~Exists(inner)),
            Category.objects.annotate(n=Subquery(inner.values("name")[:1])),
            Category.objects.exclude(product__tags__name="a"),
        ):
            assert chains(queryset) == {
                "app_category": ((),),
                "app_product": ((OF_PRODUCT,),),
                "app_product_tags": ((OF_LINK, OF_PRODUCT),),
                "app_tag": ((OF_TAG, OF_LINK, OF_PRODUCT),),
            }

    def test_a_subquery_may_be_entered_anywhere(self) -> None:
        inner = Product.objects.filter(tags=OuterRef("pk"), category__name="a")
        found = chains(Tag.objects.filter(Exists(inner)))
        link = Hop("app_product_tags", "tag_id", "app_tag", "id")
        product = Hop("app_product", "id", "app_product_tags", "product_id")
        category = Hop("app_category", "id", "app_product", "category_id")
        assert found["app_product_tags"] == ((link,),)
        assert found["app_product"] == ((product, link),)
        assert found["app_category"] == ((category, product, link),)

    def test_what_is_looked_for_in_a_subquery_is_a_hop(self) -> None:
        inner = Category.objects.filter(membership__user=1)
        found = chains(Product.objects.filter(category__in=inner))
        first = Hop("app_category", "id", "app_product", "category_id")
        assert found["app_membership"] == ((OF_MEMBER, first),)

    def test_a_table_may_lead_back_in_several_ways(self) -> None:
        found = chains(Product.objects.filter(category__product__stock=3))
        first = Hop("app_category", "id", "app_product", "category_id")
        assert found["app_product"] == ((), (OF_PRODUCT, first))

    def test_a_condition_of_a_join_makes_no_difference(self) -> None:
        relation = FilteredRelation("product", condition=Q(product__stock=3))
        found = chains(Category.objects.annotate(some=relation).filter(some__isnull=False))
        assert found["app_product"] == ((OF_PRODUCT,),)

    def test_a_multi_table_child_is_reached_by_its_parent_s_children(self) -> None:
        found = chains(TallShelf.objects.filter(category__membership__user=1))
        first = Hop("app_shelf", "id", "app_tallshelf", "shelf_ptr_id")
        second = Hop("app_category", "id", "app_shelf", "category_id")
        assert found["app_membership"] == ((OF_MEMBER, second, first),) or found[
            "app_membership"
        ] == ((Hop("app_membership", "category_id", "app_shelf", "category_id"), first),)


IN = Membership.objects.filter(user=1)
NULLS = Shelf.objects.filter(size=1).values("category")


class TestNotTold:
    @pytest.mark.parametrize(
        ("queryset", "table"),
        [
            (Category.objects.filter(Exists(Product.objects.filter(stock=3))), "app_product"),
            (
                Category.objects.filter(
                    Exists(Product.objects.filter(Q(category=OuterRef("pk")) | Q(stock=3)))
                ),
                "app_product",
            ),
            (
                Category.objects.filter(Exists(Product.objects.exclude(category=OuterRef("pk")))),
                "app_product",
            ),
            (
                Category.objects.filter(Exists(Product.objects.filter(stock=OuterRef("name")))),
                "app_product",
            ),
            (Category.objects.filter(pk__in=IN.values("category")[:3]), "app_membership"),
            (
                Category.objects.filter(
                    pk__in=IN.values("category").annotate(n=Count("pk")).values("n")
                ),
                "app_membership",
            ),
            (Category.objects.exclude(pk__in=NULLS), "app_shelf"),
            (Product.objects.exclude(category__in=IN.values("category")), "app_membership"),
            (
                Product.objects.annotate(
                    n=Case(When(category__in=NULLS, then=Value(1)), default=Value(2))
                ),
                "app_shelf",
            ),
        ],
        ids=[
            "no column",
            "or",
            "not",
            "other kinds",
            "limit",
            "groups",
            "null in it",
            "null for it",
            "null in a value",
        ],
    )
    def test_other_subqueries_are_not(self, queryset: QuerySet[Any], table: str) -> None:
        found = chains(queryset)[table]
        expected = (
            None if table != "app_shelf" or "name" not in str(queryset.query.where) else found
        )
        assert found == expected

    def test_nulls_may_stand_where_unknown_is_as_good_as_false(self) -> None:
        assert chains(Category.objects.filter(pk__in=NULLS))["app_shelf"] is not None
        either = Q(name="a") | Q(pk__in=NULLS)
        assert chains(Category.objects.filter(either))["app_shelf"] is not None

    def test_unions_and_sql_of_one_s_own_are_not(self) -> None:
        union = Category.objects.filter(product__stock=1).union(Category.objects.all())
        assert chains(union)["app_product"] is None
        raw = Category.objects.filter(product__stock=RawSQL("SELECT 1", ()))
        assert compiled(raw, "default", Category)[2] == {}

    def test_an_unknown_subquery_s_own_subqueries_are_not(self) -> None:
        inner = Tag.objects.filter(product=OuterRef("pk"))
        found = chains(Category.objects.filter(Exists(Product.objects.filter(Exists(inner)))))
        assert (found["app_product"], found["app_tag"]) == (None, None)


class TestPrefetches:
    def test_each_level_is_read_by_a_column(self) -> None:
        prefetch = Prefetch("product_set", Product.objects.prefetch_related("tags"))
        links = ("app_product_tags", "product_id")
        for queryset in (
            Category.objects.prefetch_related("product_set__tags"),
            Category.objects.prefetch_related(prefetch),
        ):
            assert levels_of(queryset) == {
                ("app_product", "category_id"): {(OF_PRODUCT,)},
                links: {(OF_LINK, OF_PRODUCT)},
            }

    def test_many_to_many_is_followed_from_either_side(self) -> None:
        link = Hop("app_product_tags", "tag_id", "app_tag", "id")
        product = Hop("app_product", "id", "app_product_tags", "product_id")
        category = Hop("app_category", "id", "app_product", "category_id")
        assert levels_of(Tag.objects.prefetch_related("product_set__category")) == {
            ("app_product_tags", "tag_id"): {(link,)},
            ("app_category", "id"): {(category, product, link)},
        }

    @isolate_apps("tests.app")
    def test_nothing_is_told_where_a_manager_prefetches(self) -> None:
        class Busy(models.Manager[Any]):
            def get_queryset(self) -> QuerySet[Any]:
                return super().get_queryset().prefetch_related("others")

        class Parent(models.Model):
            class Meta:
                app_label = "app"

        class Child(models.Model):
            parent = models.ForeignKey(Parent, models.CASCADE, related_name="children")
            objects = Busy()

            class Meta:
                app_label = "app"

        assert levels_of(Parent._default_manager.prefetch_related("children")) == {}

    @isolate_apps("tests.app")
    def test_a_relation_to_many_of_another_library_s_making_is_not_followed(self) -> None:
        related, to_many = cast("Any", RelatedField), cast("Any", models.ManyToManyRel)
        kinds = {"many_to_many": True, "many_to_one": False, "one_to_many": False}
        # To many through a table of its own, as django-taggit's is: no kind of Django's own.
        tagger = type("Tagger", (related,), {**kinds, "one_to_one": False})

        class Tagged(models.Model):
            tags = tagger(rel=to_many(None, Tag, through=Product.tags.through))

            class Meta:
                app_label = "app"

        assert levels_of(Tagged._default_manager.prefetch_related("tags")) == {}
        assert levels_of(Tagged._default_manager.prefetch_related("tags__product_set")) == {}


@pytest.mark.usefixtures("database")
class TestFollowing:
    def follow(self, hops: tuple[Hop, ...], budget: int = 100, **change: Any) -> Any:
        told = change.pop("told", {"category_id", "product_id", "tag_id"})
        made = Change(table=hops[0].table, **change)
        return Following(Category, "default", budget).reached(made, [hops], told)

    def test_present_and_old_parents_are_found(self) -> None:
        for number in (1, 2, 3):
            Category.objects.create(pk=number, name="a")
        Product.objects.create(pk=1, name="a", category_id=1)
        old = frozenset({("category_id", "2"), ("other_id", "3")})
        assert self.follow((OF_PRODUCT,), pks=frozenset({1}), old=old) == {1, 2}

    def test_what_nobody_tells_may_be_any(self) -> None:
        assert self.follow((OF_PRODUCT,), pks=frozenset({1}), told=set()) is None
        old = frozenset({("category_id", "no number")})
        assert self.follow((OF_PRODUCT,), pks=frozenset(), old=old) is None

    def test_too_many_are_any(self) -> None:
        for number in range(1, 5):
            Category.objects.create(pk=number, name="a")
            Product.objects.create(pk=number, name="a", category_id=number)
        assert self.follow((OF_PRODUCT,), pks=frozenset({1, 2, 3, 4}), budget=3) is None
        assert self.follow((OF_PRODUCT,), pks=frozenset({1, 2, 3}), budget=3) == {1, 2, 3}

    def test_a_deleted_row_is_followed_from_what_it_held(self) -> None:
        Category.objects.create(pk=1, name="a")
        Product.objects.create(pk=5, name="a", category_id=1)
        old = frozenset({("product_id", "5"), ("tag_id", "9")})
        assert self.follow((OF_LINK, OF_PRODUCT), pks=frozenset({70}), old=old) == {1}
