"""A model for each package."""

from __future__ import annotations

import reversion
from auditlog.registry import auditlog
from django.conf import settings
from django.db import models
from django_scopes import ScopedManager
from djmoney.models.fields import MoneyField
from ordered_model.models import OrderedModel
from safedelete.config import SOFT_DELETE_CASCADE
from safedelete.models import SafeDeleteModel
from treebeard.mp_tree import MP_Node
from treebeard.ns_tree import NS_Node


class Menu(models.Model):
    title = models.CharField(max_length=80)


class Dish(models.Model):
    """Its name, note and rank are columns for each language."""

    menu = models.ForeignKey(Menu, models.CASCADE, related_name="dishes")
    name = models.CharField(max_length=80)
    note = models.TextField(blank=True, default="")
    rank = models.IntegerField(default=0)

    class Meta:
        ordering = ["name"]


@reversion.register()
class Bill(models.Model):
    """What it costs is two columns."""

    name = models.CharField(max_length=80)
    amount = MoneyField(max_digits=12, decimal_places=2, default_currency="EUR")
    tip = MoneyField(max_digits=12, decimal_places=2, null=True, default_currency="EUR")


auditlog.register(Bill)


class Shelf(SafeDeleteModel):
    """Deleted softly, with what is on it."""

    _safedelete_policy = SOFT_DELETE_CASCADE
    name = models.CharField(max_length=80)


class Jar(SafeDeleteModel):
    _safedelete_policy = SOFT_DELETE_CASCADE
    shelf = models.ForeignKey(Shelf, models.CASCADE, related_name="jars")
    name = models.CharField(max_length=80)


class Room(MP_Node):
    """A tree by paths."""

    name = models.CharField(max_length=80)
    node_order_by = ["name"]


class Branch(NS_Node):
    """A tree by nested sets."""

    name = models.CharField(max_length=80)


class Song(OrderedModel):
    """In an order that is kept for each of its menus."""

    menu = models.ForeignKey(Menu, models.CASCADE, related_name="songs")
    name = models.CharField(max_length=80)
    order_with_respect_to = "menu"


class Area(models.Model):
    """A tree that a common table expression walks."""

    name = models.CharField(max_length=80, unique=True)
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="areas")
    people = models.IntegerField(default=0)


class Firm(models.Model):
    name = models.CharField(max_length=80)
    users = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="firms")


class Memo(models.Model):
    """Of one firm; asked without a scope it refuses."""

    firm = models.ForeignKey(Firm, models.CASCADE, related_name="memos")
    text = models.CharField(max_length=80)
    objects = ScopedManager(firm="firm")


class Reply(models.Model):
    memo = models.ForeignKey(Memo, models.CASCADE, related_name="replies")
    text = models.CharField(max_length=80)
    objects = ScopedManager(firm="memo__firm")
