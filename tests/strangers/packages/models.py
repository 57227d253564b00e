"""A model for each package."""

from __future__ import annotations

from django.db import models
from model_utils import FieldTracker
from model_utils.managers import InheritanceManager
from model_utils.models import SoftDeletableModel, TimeStampedModel
from mptt.models import MPTTModel, TreeForeignKey
from parler.models import TranslatableModel, TranslatedFields
from polymorphic.models import PolymorphicModel
from simple_history.models import HistoricalRecords
from taggit.managers import TaggableManager


class Article(TranslatableModel):
    """Said in several languages, and tagged."""

    slug = models.SlugField(unique=True)
    translations = TranslatedFields(
        title=models.CharField(max_length=80), body=models.TextField(blank=True)
    )
    tags = TaggableManager()


class Item(PolymorphicModel):
    """Of several kinds."""

    name = models.CharField(max_length=80)


class Book(Item):
    pages = models.IntegerField()


class Film(Item):
    minutes = models.IntegerField()
    after = models.ForeignKey(Book, models.SET_NULL, null=True, related_name="films")


class Place(models.Model):
    """A parent whose manager gives its children."""

    name = models.CharField(max_length=80)
    objects = InheritanceManager()


class Bar(Place):
    beers = models.IntegerField()


class Hall(Place):
    seats = models.IntegerField()


class Topic(MPTTModel):
    """A node of a tree."""

    name = models.CharField(max_length=80)
    parent = TreeForeignKey("self", models.CASCADE, null=True, blank=True, related_name="children")

    class MPTTMeta:
        order_insertion_by = ["name"]


class Task(SoftDeletableModel, TimeStampedModel):
    """Tracked, with a history, deleted softly; who may see one is said for each."""

    name = models.CharField(max_length=80)
    points = models.IntegerField(default=0)
    topic = TreeForeignKey(Topic, models.SET_NULL, null=True, related_name="tasks")
    tracker = FieldTracker()
    history = HistoricalRecords()
    all_objects = models.Manager()

    class Meta:
        permissions = [("see_task", "May see it")]


class Step(models.Model):
    """What a task's nested serializer writes."""

    task = models.ForeignKey(Task, models.CASCADE, related_name="steps")
    name = models.CharField(max_length=80)
