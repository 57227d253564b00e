"""Models of every shape that a binding may meet."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from bindserver import LiveManager, LiveQuerySetMixin


class Category(models.Model):
    name = models.CharField(max_length=50)


class Parcel(models.Model):
    """Set to null with its category, by a manager that says nothing."""

    name = models.CharField(max_length=50)
    category = models.ForeignKey(Category, on_delete=models.SET_NULL, null=True)


class Tag(models.Model):
    name = models.CharField(max_length=50)


class Product(models.Model):
    name = models.CharField(max_length=50)
    sku = models.CharField(max_length=50, unique=True, null=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    stock = models.IntegerField(default=0)
    active = models.BooleanField(default=True)
    category = models.ForeignKey(Category, on_delete=models.CASCADE, null=True)
    tags = models.ManyToManyField(Tag)


class Place(models.Model):
    name = models.CharField(max_length=50)


class Restaurant(Place):
    seats = models.IntegerField(default=0)


class Token(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    label = models.CharField(max_length=50)


class Word(models.Model):
    text = models.CharField(primary_key=True, max_length=50)
    count = models.BigIntegerField(default=0)


class Moment(models.Model):
    """A key that most databases hold otherwise than Python does."""

    at = models.DateTimeField(primary_key=True)
    text = models.CharField(max_length=50, default="")


class Stretch(models.Model):
    """Another one, and a row that is reached by the first."""

    length = models.DurationField(primary_key=True)
    moment = models.ForeignKey(Moment, on_delete=models.CASCADE)


class Booking(models.Model):
    """Rows that come and go with the time."""

    name = models.CharField(max_length=50, default="")
    start = models.DateTimeField(null=True)
    end = models.DateTimeField(null=True)
    length = models.DurationField(null=True)
    day = models.DateField(null=True)
    category = models.ForeignKey(Category, on_delete=models.CASCADE, null=True)
    after = models.ForeignKey("self", on_delete=models.SET_NULL, null=True)


class Membership(models.Model):
    """Which categories a user may see."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    category = models.ForeignKey(Category, on_delete=models.CASCADE)


class ShelfQuerySet(LiveQuerySetMixin, models.QuerySet["Shelf"]):
    """A project's own queryset, with the mixin."""

    def full(self) -> ShelfQuerySet:
        return self.filter(size=0)


class Shelf(models.Model):
    """Followed in bulk, by a queryset of the project's own; related managers are too."""

    name = models.CharField(max_length=50)
    size = models.IntegerField(default=0)
    category = models.ForeignKey(Category, on_delete=models.SET_NULL, null=True)
    keeper = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True)
    objects = ShelfQuerySet.as_manager()

    class Meta:
        base_manager_name = "objects"


class TallShelf(Shelf):
    """A multi-table child."""

    height = models.IntegerField(default=1)


class Note(models.Model):
    """A key that is no number, by the manager."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    slug = models.CharField(max_length=50, unique=True)
    text = models.CharField(max_length=50, default="")
    objects = LiveManager()


class ShortNote(Note):
    """A proxy."""

    class Meta:
        proxy = True
