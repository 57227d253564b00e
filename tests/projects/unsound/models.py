"""Models that bindings cannot serve."""

from __future__ import annotations

from django.db import models


class Pair(models.Model):
    """A model that no one field tells rows of apart."""

    pk = models.CompositePrimaryKey("left", "right")
    left = models.IntegerField()
    right = models.IntegerField()

    class Meta:
        managed = False
