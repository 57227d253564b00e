"""What each tenant has for itself."""

from __future__ import annotations

from django.db import models


class Item(models.Model):
    """Something to buy."""

    name = models.CharField(max_length=20)
