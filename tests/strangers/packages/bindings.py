"""The project's bindings."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from guardian.shortcuts import get_objects_for_user
from rest_framework import serializers
from rest_framework.permissions import AllowAny, IsAuthenticated

from bindserver import Binding
from tests.strangers.packages import serializers as shown
from tests.strangers.packages.models import Article, Book, Item, Place, Task, Topic
from tests.strangers.packages.queries import filtered


class ArticleBinding(Binding):
    event = "articles"
    queryset = Article.objects.prefetch_related("translations", "tags")
    serializer_class = shown.ArticleSerializer
    permission_classes = [AllowAny]


class TitleBinding(Binding):
    event = "titles"
    model = Article
    serializer_class = shown.TitleSerializer
    params = {"language": serializers.ChoiceField(["en", "de", "fr"])}
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        articles = Article.objects.language(self.params["language"])
        return articles.prefetch_related("translations").order_by("slug")


class TranslatedBinding(Binding):
    event = "translated"
    queryset = (
        Article.objects.language("de")
        .translated("de")
        .prefetch_related("translations")  # or its own cache would answer, which nobody watches
        .order_by("translations__title")
    )
    serializer_class = shown.TitleSerializer
    permission_classes = [AllowAny]


class TaggedBinding(Binding):
    event = "tagged"
    model = Article
    serializer_class = shown.ArticleSerializer
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        return Article.objects.filter(tags__name__in=["sea", "hills"]).distinct().order_by("slug")


class ItemBinding(Binding):
    event = "items"
    queryset = Item.objects.order_by("name")
    serializer_class = shown.ItemSerializer
    permission_classes = [AllowAny]


class BookBinding(Binding):
    event = "books"
    queryset = Book.objects.prefetch_related("films").order_by("pages")
    serializer_class = shown.BookSerializer
    permission_classes = [AllowAny]


class LongBinding(Binding):
    """The longest of either kind."""

    event = "long"
    model = Item
    serializer_class = shown.ItemSerializer
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        from django.db.models import Q

        return Item.objects.filter(Q(Book___pages__gte=100) | Q(Film___minutes__gte=100))


class PlaceBinding(Binding):
    event = "places"
    queryset = Place.objects.select_subclasses().order_by("name")
    serializer_class = shown.PlaceSerializer
    permission_classes = [AllowAny]


class TreeBinding(Binding):
    event = "tree"
    model = Topic
    serializer_class = shown.TopicSerializer
    filters = {"level": 0}
    ordering = ["tree_id"]
    permission_classes = [AllowAny]


class BelowBinding(Binding):
    event = "below"
    model = Topic
    serializer_class = shown.NodeSerializer
    params = {"topic": int}
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        topic = Topic.objects.get(pk=self.params["topic"])
        return topic.get_descendants(include_self=True)


class TaskBinding(Binding):
    event = "tasks"
    queryset = Task.available_objects.prefetch_related("steps").order_by("name")
    serializer_class = shown.TaskSerializer
    permission_classes = [AllowAny]


class FlexBinding(Binding):
    event = "flex"
    queryset = Task.all_objects.select_related("topic").order_by("-created")
    serializer_class = shown.FlexTaskSerializer
    request = None
    permission_classes = [AllowAny]


class FilteredBinding(Binding):
    event = "filtered"
    model = Task
    fields = ["id", "name", "points"]
    params = {"least": int}
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        return filtered(points__gte=self.params["least"], topic__name__icontains="a")


class MineBinding(Binding):
    event = "mine"
    model = Task
    fields = ["id", "name", "points"]
    ordering = ["id"]
    permission_classes = [IsAuthenticated]

    def get_queryset(self) -> QuerySet[Any]:
        return get_objects_for_user(self.user, "packages.see_task", Task.available_objects.all())


class HistoryBinding(Binding):
    event = "history"
    queryset = Task.history.select_related("history_user").order_by("-history_date", "-history_id")
    serializer_class = shown.EntrySerializer
    limit = 8
    permission_classes = [AllowAny]
