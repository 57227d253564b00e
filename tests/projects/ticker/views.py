"""Bindings published by views."""

from __future__ import annotations

from typing import Any

from bindserver import Binding, BoundWebsocketView
from tests.app.models import Product, Tag


class ShelfBinding(Binding[Product]):
    model = Product
    fields = ["id", "name", "stock"]


class ShelfView(BoundWebsocketView):
    event = "shelf"
    binding = ShelfBinding()
    groups = ["shelf"]


class TagBinding(Binding[Tag]):
    model = Tag
    fields = ["id", "name"]


class BrokenView(BoundWebsocketView):
    """One whose hook fails."""

    event = "broken_hook"
    binding = TagBinding()

    def message(self, action: str, payload: Any) -> None:
        raise RuntimeError("a secret of the hook")
