"""Models whose keys, columns and relations are of rarer types."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F
from django.db.models.functions import Lower

from tests.differential.models import Shelf, Special


class Typed(models.Model):
    """A column of each type that orders in its own way, and an order that says where nulls are."""

    price = models.DecimalField(max_digits=6, decimal_places=2, default=0)
    at = models.TimeField(null=True)
    took = models.DurationField(null=True)
    raw = models.BinaryField(null=True)
    uid = models.UUIDField(null=True)
    data = models.JSONField(null=True)
    address = models.GenericIPAddressField(null=True)
    small = models.SmallIntegerField(null=True)
    seen = models.DateTimeField(null=True)
    text = models.CharField(max_length=20, default="")
    doubled = models.GeneratedField(
        expression=F("small") * 2, output_field=models.IntegerField(), db_persist=True
    )

    objects: ClassVar[models.Manager[Typed]] = models.Manager()

    class Meta:
        ordering = [F("small").desc(nulls_last=True), Lower("text")]


class Rare(Special):
    """A child of a child: its key is that of its parent's parent."""

    oddity = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Rare]] = models.Manager()

    class Meta:
        ordering: ClassVar[list[str]] = []


class Cased(models.Model):
    """A text as a key, which MariaDB compares without its case and its trailing spaces."""

    key = models.CharField(max_length=10, primary_key=True)
    rank = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Cased]] = models.Manager()

    class Meta:
        ordering = ["key"]

    def __str__(self) -> str:
        return f"{self.key}:{self.rank}"


class Leaf(models.Model):
    """Points at a text."""

    cased = models.ForeignKey(Cased, models.CASCADE, null=True, related_name="leaves")
    rank = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Leaf]] = models.Manager()

    class Meta:
        ordering = ["cased", "id"]


class Holder(models.Model):
    """What others know by something else than its key."""

    code = models.CharField(max_length=10, unique=True)
    rank = models.IntegerField(null=True)

    objects: ClassVar[models.Manager[Holder]] = models.Manager()

    class Meta:
        ordering = ["-rank"]


class Held(models.Model):
    """Points at what is no key."""

    holder = models.ForeignKey(
        Holder, models.CASCADE, null=True, to_field="code", related_name="held"
    )
    shelf = models.ForeignKey(Shelf, models.SET_NULL, null=True, related_name="held")
    rank = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Held]] = models.Manager()

    class Meta:
        ordering = ["holder", "-rank"]


class Priced(models.Model):
    """A model whose key is a decimal."""

    price = models.DecimalField(max_digits=6, decimal_places=2, primary_key=True)
    rank = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Priced]] = models.Manager()


class Due(models.Model):
    """Points at a decimal."""

    priced = models.ForeignKey(Priced, models.CASCADE, null=True, related_name="due")
    rank = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Due]] = models.Manager()


class Timed(models.Model):
    """A model whose key is a time of the day."""

    at = models.TimeField(primary_key=True)
    rank = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Timed]] = models.Manager()


class Spanned(models.Model):
    """A model whose key is a duration."""

    took = models.DurationField(primary_key=True)
    rank = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Spanned]] = models.Manager()


class Stamped(models.Model):
    """A model whose key is a moment."""

    seen = models.DateTimeField(primary_key=True)
    rank = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Stamped]] = models.Manager()
