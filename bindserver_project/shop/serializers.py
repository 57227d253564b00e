from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework import serializers

from .models import Product

if TYPE_CHECKING:
    ProductModelSerializer = serializers.ModelSerializer[Product]
else:
    ProductModelSerializer = serializers.ModelSerializer


class ProductSerializer(ProductModelSerializer):
    category_name = serializers.CharField(source="category.name", read_only=True)

    class Meta:
        model = Product
        fields = ["id", "name", "sku", "price", "stock", "category", "category_name"]
