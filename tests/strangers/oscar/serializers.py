"""How the shop's rows look."""

from __future__ import annotations

from typing import Any

from django.utils.functional import cached_property
from oscar.apps.basket.models import Basket
from oscar.apps.catalogue.models import Category, Product, ProductAttributeValue
from oscar.apps.catalogue.reviews.models import ProductReview
from oscar.apps.order.models import Line, Order, ShippingAddress
from oscar.apps.partner.models import StockRecord
from oscar.apps.partner.strategy import Default
from oscar.apps.wishlists.models import WishList
from rest_framework import serializers


class StockSerializer(serializers.ModelSerializer):
    partner = serializers.CharField(source="partner.name")

    class Meta:
        model = StockRecord
        fields = ["partner", "partner_sku", "price_currency", "price", "net_stock_level"]


class ProductSerializer(serializers.ModelSerializer):
    title = serializers.CharField(source="get_title")
    kind = serializers.CharField(source="get_product_class.name")
    categories = serializers.SlugRelatedField("full_name", many=True, read_only=True)
    stock = StockSerializer(source="stockrecords", many=True)
    children = serializers.PrimaryKeyRelatedField(
        source="get_public_children", many=True, read_only=True
    )
    attributes = serializers.SerializerMethodField()
    availability = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = [
            "id", "upc", "title", "kind", "structure", "is_public", "rating", "categories", "stock",
            "children", "attributes", "availability",
        ]  # fmt: skip

    def get_attributes(self, product: Any) -> dict[str, str]:
        return {
            value.attribute.code: value.value_as_text for value in product.get_attribute_values()
        }

    def get_availability(self, product: Any) -> str:
        found = Default().fetch_for_parent if product.is_parent else Default().fetch_for_product
        return str(found(product).availability.message)


class CategorySerializer(serializers.ModelSerializer):
    products = serializers.SerializerMethodField()

    class Meta:
        model = Category
        fields = ["id", "name", "full_name", "full_slug", "depth", "path", "numchild", "products"]

    def get_products(self, category: Any) -> list[str]:
        return list(category.product_set.order_by("pk").values_list("title", flat=True))


class DepthSerializer(serializers.ModelSerializer):
    class Meta:
        model = Category
        fields = ["id", "depth", "numchild", "is_public"]


class ShareSerializer(serializers.ModelSerializer):
    """Counts all categories once for all rows."""

    of = serializers.SerializerMethodField()

    class Meta:
        model = Category
        fields = ["id", "name", "of"]

    @cached_property
    def count(self) -> int:
        return Category.objects.count()

    def get_of(self, category: Any) -> int:
        return self.count


class AddressSerializer(serializers.ModelSerializer):
    country = serializers.CharField(source="country.printable_name")

    class Meta:
        model = ShippingAddress
        fields = ["first_name", "line1", "line4", "postcode", "country", "summary"]


class LineSerializer(serializers.ModelSerializer):
    title = serializers.CharField(source="product.get_title", default=None)

    class Meta:
        model = Line
        fields = ["title", "quantity", "line_price_incl_tax", "status", "num_allocated"]


class OrderSerializer(serializers.ModelSerializer):
    lines = LineSerializer(many=True)
    shipping_address = AddressSerializer()
    history = serializers.SerializerMethodField()

    class Meta:
        model = Order
        fields = [
            "id", "number", "status", "total_incl_tax", "num_items", "date_placed", "lines",
            "shipping_address", "history",
        ]  # fmt: skip

    def get_history(self, order: Any) -> list[str]:
        return [change.new_status for change in order.status_changes.order_by("date_created")]


class BasketSerializer(serializers.ModelSerializer):
    total = serializers.SerializerMethodField()
    items = serializers.SerializerMethodField()

    class Meta:
        model = Basket
        fields = ["id", "status", "items", "total"]

    def get_total(self, basket: Any) -> str:
        basket.strategy = Default()
        return str(basket.total_incl_tax)

    def get_items(self, basket: Any) -> list[list[Any]]:
        lines = basket.lines.select_related("product").order_by("pk")
        return [[line.product.get_title(), line.quantity] for line in lines]


class ReviewedSerializer(serializers.ModelSerializer):
    own_reviews = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = ["id", "title", "own_reviews"]

    def get_own_reviews(self, product: Any) -> list[list[Any]]:
        return [[review.title, review.score] for review in product.own_reviews]


class ReviewSerializer(serializers.ModelSerializer):
    by = serializers.CharField(source="reviewer_name")
    product = serializers.CharField(source="product.title")

    class Meta:
        model = ProductReview
        fields = ["id", "product", "title", "score", "by", "status", "total_votes", "delta_votes"]


class ValueSerializer(serializers.ModelSerializer):
    code = serializers.CharField(source="attribute.code")
    product = serializers.CharField(source="product.title")

    class Meta:
        model = ProductAttributeValue
        fields = ["id", "product", "code", "value_as_text"]


class RecordSerializer(serializers.ModelSerializer):
    class Meta:
        model = StockRecord
        fields = [
            "id",
            "product",
            "partner",
            "partner_sku",
            "price",
            "num_in_stock",
            "num_allocated",
        ]


class WishListSerializer(serializers.ModelSerializer):
    lines = serializers.SerializerMethodField()

    class Meta:
        model = WishList
        fields = ["id", "name", "visibility", "lines"]

    def get_lines(self, wish_list: Any) -> list[list[Any]]:
        return [[line.get_title(), line.quantity] for line in wish_list.lines.order_by("pk")]
