"""A binding of Python's own, and one that is published and must not be."""

from __future__ import annotations

from bindserver import Binding
from tests.projects.tenants.shop.models import Item


class ItemBinding(Binding[Item]):
    model = Item
    fields = ["id", "name"]
    permission_classes = []


class PublishedBinding(ItemBinding):
    event = "items"
