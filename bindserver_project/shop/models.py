from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now


class Category(models.Model):
    name = models.CharField(max_length=60, unique=True)

    objects: ClassVar[models.Manager[Category]] = models.Manager()

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "categories"

    def __str__(self) -> str:
        return self.name


class Product(models.Model):
    """Something for sale. Columns have database defaults, so that plain SQL can add one too."""

    name = models.CharField(max_length=120)
    sku = models.CharField(
        "SKU",
        max_length=20,
        unique=True,
        validators=[RegexValidator(r"^[A-Z0-9-]+\Z", "Use capital letters, digits and hyphens.")],
    )
    price = models.DecimalField(
        max_digits=8, decimal_places=2, validators=[MinValueValidator(Decimal("0.01"))]
    )
    stock = models.PositiveIntegerField(default=0, db_default=0)
    active = models.BooleanField(
        "in the shop", default=True, db_default=True, help_text="Only these are shown."
    )
    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="products")
    updated_at = models.DateTimeField(auto_now=True, db_default=Now())

    objects: ClassVar[models.Manager[Product]] = models.Manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
