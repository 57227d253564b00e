"""Serializers that no binding can have."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from tests.app.models import Product, Shelf


class Every(serializers.ListSerializer[Any]):
    def to_representation(self, data: Any) -> Any:
        return super().to_representation(data)[:1]


class First(serializers.ModelSerializer[Product]):
    class Meta:
        model = Product
        fields = ("id",)
        list_serializer_class = Every


class Keyless(serializers.ModelSerializer[Product]):
    id = serializers.IntegerField(source="stock")
    pk = serializers.IntegerField(source="stock")

    class Meta:
        model = Product
        fields = ("id", "pk")


class Deep(serializers.ModelSerializer[Shelf]):
    class Meta:
        model = Shelf
        fields = ("id", "keeper")
        depth = 1


class Named(serializers.Serializer[Any]):
    name = serializers.CharField()
