"""What another deploy of a project may have changed of a binding."""

from __future__ import annotations

import os
from collections.abc import Callable

from django.apps import AppConfig


def nothing() -> None:
    """Change what no client can tell."""
    from tests.app.bindings import ProductBinding

    ProductBinding.max_rows = 5000


def fields() -> None:
    """Serve a field more."""
    from tests.app.bindings import ProductBinding

    ProductBinding.fields = ["id", "name", "price", "stock", "category", "sku"]


def serializer() -> None:
    """Serve the same fields by another serializer."""
    from rest_framework import serializers

    from tests.app.bindings import ProductBinding
    from tests.app.models import Product

    class Another(serializers.ModelSerializer[Product]):
        class Meta:
            model = Product
            fields = ["id", "name", "price", "stock", "category"]

        def to_representation(self, instance: Product) -> dict[str, object]:
            row = super().to_representation(instance)
            return {**row, "name": str(row["name"]).upper()}

    del ProductBinding.fields
    ProductBinding.serializer_class = Another


def conditions() -> None:
    """Serve other rows."""
    from tests.app.bindings import ProductBinding

    ProductBinding.filters = {"stock__gt": 0}


DEPLOYS: dict[str, Callable[[], None]] = {
    change.__name__: change for change in (nothing, fields, serializer, conditions)
}


class Deploy(AppConfig):
    """An app that changes a binding, as DEPLOY says."""

    name = "tests.support.deploys"
    label = "deploys"

    def ready(self) -> None:
        DEPLOYS[os.environ["DEPLOY"]]()
