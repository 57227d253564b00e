"""The project's views in plain Django."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Q
from guardian.shortcuts import get_objects_for_user

from tests.strangers.packages import serializers as shown
from tests.strangers.packages.models import Article, Book, Item, Place, Task, Topic
from tests.strangers.packages.queries import filtered
from tests.strangers.views import View, members


def _view(event: str, rows: Callable[[], Any], serializer: Any, **params: Any) -> View:
    return View(event=event, rows=lambda user: rows(), serializer=serializer, params=params)


def views() -> list[View]:
    """Return all views."""
    return [*_of_articles(), *_of_kinds(), *_of_tasks(), *_of_topics()]


def _of_articles() -> list[View]:
    tagged = Article.objects.filter(tags__name__in=["sea", "hills"]).values("pk")
    said = Article.objects.prefetch_related("translations")  # past parler's own cache
    translated = said.filter(translations__language_code="de").language("de")
    return [
        _view("articles", lambda: Article.objects.order_by("pk"), shown.ArticleSerializer),
        _view(
            "tagged",
            lambda: Article.objects.filter(pk__in=tagged.all()).order_by("slug"),
            shown.ArticleSerializer,
        ),
        _view(
            "translated",
            lambda: translated.order_by("translations__title", "pk"),
            shown.TitleSerializer,
        ),
        *[
            _view(
                "titles",
                lambda code=code: said.language(code).order_by("slug"),
                shown.TitleSerializer,
                language=code,
            )
            for code in ("en", "de", "fr")
        ],
    ]


def _of_kinds() -> list[View]:
    long = Q(Book___pages__gte=100) | Q(Film___minutes__gte=100)
    return [
        _view("items", lambda: Item.objects.order_by("name", "pk"), shown.ItemSerializer),
        _view("books", lambda: Book.objects.order_by("pages", "pk"), shown.BookSerializer),
        _view("long", lambda: Item.objects.filter(long).order_by("pk"), shown.ItemSerializer),
        _view(
            "places",
            lambda: Place.objects.select_subclasses().order_by("name", "pk"),
            shown.PlaceSerializer,
        ),
    ]


def _of_tasks() -> list[View]:
    there = Task.all_objects.filter(is_removed=False)
    return [
        _view("tasks", lambda: there.order_by("name", "pk"), shown.TaskSerializer),
        View(
            event="flex",
            rows=lambda user: Task.all_objects.order_by("-created", "pk"),
            serializer=shown.FlexTaskSerializer,
        ),
        *[
            _view(
                "filtered",
                lambda least=least: filtered(points__gte=least, topic__name__icontains="a"),
                shown.BriefTaskSerializer,
                least=least,
            )
            for least in (0, 5)
        ],
        View(
            event="mine",
            rows=lambda user: get_objects_for_user(
                user, "packages.see_task", Task.all_objects.filter(is_removed=False)
            ).order_by("pk"),
            serializer=shown.BriefTaskSerializer,
            allowed=members,
        ),
        _view(
            "history",
            lambda: Task.history.order_by("-history_date", "-history_id")[:8],
            shown.EntrySerializer,
        ),
    ]


def _of_topics() -> list[View]:
    def below(key: int) -> Any:
        return Topic.objects.get(pk=key).get_descendants(include_self=True)

    return [
        _view(
            "tree",
            lambda: Topic.objects.filter(level=0).order_by("tree_id", "pk"),
            shown.TopicSerializer,
        ),
        *[
            _view("below", lambda key=topic.pk: below(key), shown.NodeSerializer, topic=topic.pk)
            for topic in Topic.objects.filter(name__in=["Art", "Paint"])
        ],
    ]
