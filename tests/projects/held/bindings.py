"""Bindings whose third row is rendered once a test lets go of a file that it has locked.

Where SYNC_ROWS is 1, the cycle leaves them to the loader after two.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

from rest_framework import serializers

from bindserver import Binding
from tests.app.models import Product


class HeldSerializer(serializers.ModelSerializer[Product]):
    class Meta:
        model = Product
        fields = ["id", "name"]

    def to_representation(self, instance: Product) -> Any:
        if instance.pk == 3:
            with Path(os.environ["HELD_BY"]).open() as file:
                fcntl.flock(file, fcntl.LOCK_SH)
        return super().to_representation(instance)


class HeldBinding(Binding[Product]):
    model = Product
    event = "held"
    serializer_class = HeldSerializer


class HeldTooBinding(HeldBinding):
    """Another view, which waits for its turn with the loader."""

    event = "held_too"
    filters = {"id__gt": 0}
