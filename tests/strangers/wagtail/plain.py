"""The site's views in plain Django."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, QuerySet
from wagtail.images.models import Image
from wagtail.models import Page, PageLogEntry, Revision
from wagtail.permission_policies.pages import PagePermissionPolicy

from tests.strangers.views import View, members
from tests.strangers.wagtail import serializers as shown
from tests.strangers.wagtail.models import Author, BlogPage


def views() -> list[View]:
    """Return all views."""
    return [*_of_pages(), *_of_posts(), *_of_editors()]


def _children(parent: int) -> QuerySet[Any]:
    page = Page.objects.get(pk=parent)
    return Page.objects.filter(path__startswith=page.path, depth=page.depth + 1)


def _of_pages() -> list[View]:
    return [
        View(
            event="pages",
            rows=lambda user: Page.objects.filter(live=True).order_by("path"),
            serializer=shown.PageSerializer,
        ),
        View(
            event="public",
            rows=lambda user: Page.objects.live().public().order_by("path"),
            serializer=shown.PageSerializer,
        ),
        View(
            event="specific",
            rows=lambda user: Page.objects.live().order_by("path").specific(),
            serializer=shown.SpecificSerializer,
        ),
        *[
            View(
                event="children",
                params={"parent": page.pk},
                rows=lambda user, key=page.pk: _children(key).order_by("-title", "pk"),
                serializer=shown.ChildSerializer,
            )
            for page in Page.objects.filter(slug__in=["home", "blog"])
        ],
    ]


def _of_posts() -> list[View]:
    return [
        View(
            event="posts",
            rows=lambda user: BlogPage.objects.filter(live=True).order_by("-date", "title", "pk"),
            serializer=shown.PostSerializer,
        ),
        View(
            event="dated",
            rows=lambda user: BlogPage.objects.order_by("date", "pk"),
            serializer=shown.DatedSerializer,
        ),
        *[
            View(
                event="tagged",
                params={"tag": tag},
                rows=lambda user, tag=tag: BlogPage.objects.filter(
                    live=True, pk__in=BlogPage.objects.filter(tags__name=tag).values("pk")
                ).order_by("title", "pk"),
                serializer=shown.PostSerializer,
            )
            for tag in ("sea", "hills")
        ],
        View(
            event="authors",
            rows=lambda user: Author.objects.annotate(count=Count("posts")).order_by(
                "-count", "name", "pk"
            ),
            serializer=shown.CountedSerializer,
        ),
    ]


def _of_editors() -> list[View]:
    return [
        View(
            event="editable",
            rows=lambda user: (
                PagePermissionPolicy()
                .instances_user_has_permission_for(user, "change")
                .order_by("path")
            ),
            serializer=shown.PageSerializer,
            allowed=members,
        ),
        View(
            event="revisions",
            rows=lambda user: Revision.page_revisions.order_by("-created_at", "pk"),
            serializer=shown.RevisionSerializer,
            allowed=members,
        ),
        View(
            event="images",
            rows=lambda user: Image.objects.order_by("title", "pk"),
            serializer=shown.ImageSerializer,
        ),
        View(
            event="log",
            rows=lambda user: PageLogEntry.objects.order_by("-timestamp", "-id")[:10],
            serializer=shown.LogSerializer,
            allowed=members,
        ),
    ]
