"""The shop's bindings."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch, Q, QuerySet
from oscar.apps.basket.models import Basket
from oscar.apps.catalogue.models import Category, Product, ProductAttributeValue
from oscar.apps.catalogue.reviews.models import ProductReview
from oscar.apps.order.models import Order
from oscar.apps.partner.models import StockRecord
from oscar.apps.wishlists.models import WishList
from rest_framework.permissions import AllowAny, IsAuthenticated

from bindserver import Binding
from tests.strangers.oscar import serializers as shown


class ProductBinding(Binding):
    """What the shop window shows, in oscar's own way: prefetches inside prefetches."""

    event = "products"
    model = Product
    serializer_class = shown.ProductSerializer
    ordering = ["-rating", "title"]
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        return (
            Product.objects.browsable()
            .base_queryset()
            .prefetch_public_children()
            .prefetch_attribute_values()
            .prefetch_related("stockrecords__partner")
        )


class CategoryBinding(Binding):
    """A tree: each row shows its ancestors' names and its products'."""

    event = "categories"
    queryset = Category.objects.browsable().order_by("path")
    serializer_class = shown.CategorySerializer
    permission_classes = [AllowAny]


class DeepestBinding(Binding):
    event = "deepest"
    queryset = Category.objects.order_by("depth", "numchild", "pk").reverse()
    fields = ["id", "depth", "numchild", "is_public"]
    permission_classes = [AllowAny]


class ShareBinding(Binding):
    event = "shares"
    model = Category
    queryset = Category.objects.order_by("name")
    serializer_class = shown.ShareSerializer
    permission_classes = [AllowAny]


class InCategoryBinding(Binding):
    """Products below a category, however deep."""

    event = "in_category"
    model = Product
    serializer_class = shown.ProductSerializer
    params = {"category": int}
    ordering = ["title"]
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        below = Category.objects.get(pk=self.params["category"]).get_descendants_and_self()
        return Product.objects.filter(categories__in=below).distinct()


class StockBinding(Binding):
    event = "stock"
    model = StockRecord
    fields = ["id", "product", "partner", "partner_sku", "price", "num_in_stock", "num_allocated"]
    ordering = ["product__title", "-price"]
    permission_classes = [IsAuthenticated]

    def get_q(self) -> Q:
        return Q(num_in_stock__lt=50) | Q(product__product_class__track_stock=False)


class ValueBinding(Binding):
    event = "values"
    queryset = ProductAttributeValue.objects.select_related("attribute", "product")
    serializer_class = shown.ValueSerializer
    excludes = {"product__is_public": False}
    ordering = ["attribute__code", "product__title"]
    permission_classes = [AllowAny]


class OrderBinding(Binding):
    """Each user's own, newest first."""

    event = "orders"
    queryset = Order.objects.select_related("shipping_address__country").prefetch_related("lines")
    serializer_class = shown.OrderSerializer
    ordering = ["-date_placed"]
    permission_classes = [IsAuthenticated]

    def filters(self) -> dict[str, Any]:
        return {"user": self.user.pk}


class BasketBinding(Binding):
    event = "basket"
    model = Basket
    serializer_class = shown.BasketSerializer
    permission_classes = [IsAuthenticated]

    def get_queryset(self) -> QuerySet[Any]:
        return Basket.open.filter(owner=self.user)


class ReviewedBinding(Binding):
    """The same products for everybody, each with what oneself has written of them."""

    event = "reviewed"
    model = Product
    serializer_class = shown.ReviewedSerializer
    ordering = ["title"]
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        own = ProductReview.objects.filter(user=self.user.pk).order_by("pk")
        return Product.objects.prefetch_related(Prefetch("reviews", own, to_attr="own_reviews"))


class ReviewBinding(Binding):
    event = "reviews"
    model = ProductReview
    serializer_class = shown.ReviewSerializer
    ordering = ["-score", "title"]
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        return ProductReview.objects.approved().select_related("product", "user")


class WishListBinding(Binding):
    event = "wishes"
    model = WishList
    serializer_class = shown.WishListSerializer
    permission_classes = [IsAuthenticated]

    def get_queryset(self) -> QuerySet[Any]:
        shared = Q(shared_emails__email=self.user.email)
        return WishList.objects.filter(Q(owner=self.user) | shared).distinct()
