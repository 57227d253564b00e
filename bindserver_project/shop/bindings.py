from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from rest_framework import serializers

from bindserver import Binding

from .models import Category, Product
from .serializers import ProductSerializer


class ProductBinding(Binding[Product]):
    """The products in the shop; ``category`` and ``q`` narrow them down."""

    model = Product
    event = "products"
    serializer_class = ProductSerializer
    filters = {"active": True}
    ordering = ["name"]
    params = {
        "category": serializers.IntegerField(required=False),
        "q": serializers.CharField(required=False, max_length=80),
    }

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().select_related("category")

    def get_q(self) -> Q:
        q = Q()
        if "category" in self.params:
            q &= Q(category=self.params["category"])
        for word in self.params.get("q", "").split():
            q &= (
                Q(name__icontains=word) | Q(sku__icontains=word) | Q(category__name__icontains=word)
            )
        return q


class CategoryBinding(Binding[Category]):
    model = Category
    event = "categories"
    fields = ["id", "name"]
    ordering = ["name"]
