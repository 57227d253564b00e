"""The site's bindings."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, QuerySet
from rest_framework import serializers
from rest_framework.permissions import AllowAny, IsAuthenticated
from wagtail.images.models import Image
from wagtail.models import Page, PageLogEntry, Revision
from wagtail.permission_policies.pages import PagePermissionPolicy

from bindserver import Binding
from tests.strangers.wagtail import serializers as shown
from tests.strangers.wagtail.models import BlogPage


class LivePageBinding(Binding):
    event = "pages"
    queryset = Page.objects.live().order_by("path")
    fields = ["id", "title", "slug", "path", "depth", "numchild", "url_path", "live"]
    permission_classes = [AllowAny]


class ChildBinding(Binding):
    """A page's children, wherever it is moved to."""

    event = "children"
    model = Page
    serializer_class = shown.ChildSerializer
    params = {"parent": int}
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        parent = Page.objects.get(pk=self.params["parent"])
        return Page.objects.child_of(parent).select_related("owner").order_by("-title")


class PostBinding(Binding):
    event = "posts"
    serializer_class = shown.PostSerializer
    queryset = (
        BlogPage.objects.live()
        .select_related("author")
        .prefetch_related("tagged_items__tag", "topics", "gallery__image")
    )
    ordering = ["-date", "title"]
    permission_classes = [AllowAny]


class DatedBinding(Binding):
    event = "dated"
    model = BlogPage
    serializer_class = shown.DatedSerializer
    ordering = ["date"]
    permission_classes = [AllowAny]


class TaggedBinding(Binding):
    event = "tagged"
    model = BlogPage
    serializer_class = shown.PostSerializer
    params = {"tag": serializers.CharField()}
    ordering = ["title"]
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        return BlogPage.objects.live().filter(tags__name=self.params["tag"]).distinct()


class PublicBinding(Binding):
    """What visitors may see. What is private is read by `public()`, not by the query."""

    event = "public"
    model = Page
    serializer_class = shown.PageSerializer
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        return Page.objects.live().public().order_by("path")


class SpecificBinding(Binding):
    event = "specific"
    model = Page
    serializer_class = shown.SpecificSerializer
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        return Page.objects.live().specific().order_by("path")


class EditableBinding(Binding):
    """What a user may change, by Wagtail's own policy."""

    event = "editable"
    model = Page
    serializer_class = shown.PageSerializer
    permission_classes = [IsAuthenticated]

    def get_queryset(self) -> QuerySet[Any]:
        policy = PagePermissionPolicy()
        return policy.instances_user_has_permission_for(self.user, "change").order_by("path")


class RevisionBinding(Binding):
    event = "revisions"
    model = Revision
    serializer_class = shown.RevisionSerializer
    ordering = ["-created_at"]
    permission_classes = [IsAuthenticated]

    def get_queryset(self) -> QuerySet[Any]:
        pages = Revision.page_revisions  # reads a content type, so not while this is imported
        return pages.select_related("user").prefetch_related("content_object")


class ImageBinding(Binding):
    event = "images"
    queryset = Image.objects.select_related("collection").prefetch_related("tags", "renditions")
    serializer_class = shown.ImageSerializer
    ordering = ["title"]
    permission_classes = [AllowAny]


class LogBinding(Binding):
    """The newest entries; the pages of some are gone, so `select_related` would lose these."""

    event = "log"
    model = PageLogEntry
    serializer_class = shown.LogSerializer
    limit = 10
    permission_classes = [IsAuthenticated]

    def get_queryset(self) -> QuerySet[Any]:
        return PageLogEntry.objects.select_related("user").order_by("-timestamp", "-id")


class PopularBinding(Binding):
    """Authors' posts are counted by the database."""

    event = "authors"
    serializer_class = shown.CountedSerializer
    queryset = shown.Author.objects.annotate(count=Count("posts")).order_by("-count", "name")
    permission_classes = [AllowAny]
