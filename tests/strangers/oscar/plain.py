"""The shop's views in plain Django."""

from __future__ import annotations

from django.db.models import Prefetch, Q
from oscar.apps.basket.models import Basket
from oscar.apps.catalogue.models import Category, Product, ProductAttributeValue
from oscar.apps.catalogue.reviews.models import ProductReview
from oscar.apps.order.models import Order
from oscar.apps.partner.models import StockRecord
from oscar.apps.wishlists.models import WishList

from tests.strangers.oscar import serializers as shown
from tests.strangers.views import View, members


def views() -> list[View]:
    """Return all views."""
    return [*_of_the_catalogue(), *_of_users()]


def _of_the_catalogue() -> list[View]:
    found = [
        View(
            event="products",
            rows=lambda user: Product.objects.browsable().order_by("-rating", "title", "pk"),
            serializer=shown.ProductSerializer,
        ),
        View(
            event="categories",
            rows=lambda user: Category.objects.browsable().order_by("path"),
            serializer=shown.CategorySerializer,
        ),
        View(
            event="deepest",
            rows=lambda user: Category.objects.order_by("-depth", "-numchild", "-pk"),
            serializer=shown.DepthSerializer,
        ),
        View(
            event="shares",
            rows=lambda user: Category.objects.order_by("name", "pk"),
            serializer=shown.ShareSerializer,
        ),
        View(
            event="values",
            rows=lambda user: ProductAttributeValue.objects.filter(
                product__is_public=True
            ).order_by("attribute__code", "product__title", "pk"),
            serializer=shown.ValueSerializer,
        ),
        View(
            event="reviews",
            rows=lambda user: ProductReview.objects.filter(status=ProductReview.APPROVED).order_by(
                "-score", "title", "pk"
            ),
            serializer=shown.ReviewSerializer,
        ),
    ]
    for category in Category.objects.filter(name__in=["Books", "Poems"]):
        found.append(
            View(
                event="in_category",
                params={"category": category.pk},
                rows=lambda user, key=category.pk: Product.objects.filter(
                    pk__in=Product.objects.filter(
                        categories__path__startswith=Category.objects.get(pk=key).path
                    ).values("pk")
                ).order_by("title", "pk"),
                serializer=shown.ProductSerializer,
            )
        )
    return found


def _of_users() -> list[View]:
    return [
        View(
            event="stock",
            rows=lambda user: StockRecord.objects.filter(
                Q(num_in_stock__lt=50) | Q(product__product_class__track_stock=False)
            ).order_by("product__title", "-price", "pk"),
            serializer=shown.RecordSerializer,
            allowed=members,
        ),
        View(
            event="orders",
            rows=lambda user: Order.objects.filter(user=user.pk).order_by("-date_placed", "pk"),
            serializer=shown.OrderSerializer,
            allowed=members,
        ),
        View(
            event="basket",
            rows=lambda user: Basket.objects.filter(
                owner=user, status__in=["Open", "Saved"]
            ).order_by("pk"),
            serializer=shown.BasketSerializer,
            allowed=members,
        ),
        View(
            event="reviewed",
            rows=lambda user: Product.objects.prefetch_related(
                Prefetch(
                    "reviews",
                    ProductReview.objects.filter(user=user.pk).order_by("pk"),
                    to_attr="own_reviews",
                )
            ).order_by("title", "pk"),
            serializer=shown.ReviewedSerializer,
        ),
        View(
            event="wishes",
            rows=lambda user: (
                WishList.objects.filter(Q(owner=user) | Q(shared_emails__email=user.email))
                .distinct()
                .order_by("pk")
            ),
            serializer=shown.WishListSerializer,
            allowed=members,
        ),
    ]
