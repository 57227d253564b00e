"""How the site's rows look."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from wagtail.images.models import Image
from wagtail.models import Page, PageLogEntry, Revision

from tests.strangers.wagtail.models import Author, BlogPage, BlogPageImage


class PageSerializer(serializers.ModelSerializer):
    class Meta:
        model = Page
        fields = ["id", "title", "slug", "path", "depth", "numchild", "url_path", "live"]


class ChildSerializer(serializers.ModelSerializer):
    parent = serializers.SerializerMethodField()
    owner = serializers.CharField(source="owner.username", default=None)

    class Meta:
        model = Page
        fields = ["id", "title", "parent", "owner", "has_unpublished_changes", "show_in_menus"]

    def get_parent(self, page: Any) -> str:
        return str(page.get_parent().title)


class AuthorSerializer(serializers.ModelSerializer):
    class Meta:
        model = Author
        fields = ["id", "name"]


class CountedSerializer(serializers.ModelSerializer):
    count = serializers.IntegerField()

    class Meta:
        model = Author
        fields = ["id", "name", "count"]


class PictureSerializer(serializers.ModelSerializer):
    title = serializers.CharField(source="image.title")

    class Meta:
        model = BlogPageImage
        fields = ["title", "caption", "sort_order"]


class PostSerializer(serializers.ModelSerializer):
    """Its key is called `page_ptr`."""

    page_ptr = serializers.PrimaryKeyRelatedField(read_only=True)
    author = AuthorSerializer()
    tags = serializers.SerializerMethodField()
    topics = serializers.StringRelatedField(many=True)
    gallery = PictureSerializer(many=True)
    body = serializers.SerializerMethodField()

    class Meta:
        model = BlogPage
        fields = ["page_ptr", "title", "date", "author", "tags", "topics", "gallery", "body"]

    def get_tags(self, page: Any) -> list[str]:
        return sorted(tag.name for tag in page.tags.all())

    def get_body(self, page: Any) -> list[list[str]]:
        return [[block.block_type, str(block.value)] for block in page.body]


class DatedSerializer(serializers.ModelSerializer):
    page_ptr = serializers.PrimaryKeyRelatedField(read_only=True)

    class Meta:
        model = BlogPage
        fields = ["page_ptr", "id", "title", "date", "author"]


class SpecificSerializer(serializers.ModelSerializer):
    kind = serializers.SerializerMethodField()
    detail = serializers.SerializerMethodField()

    class Meta:
        model = Page
        fields = ["id", "title", "kind", "detail"]

    def get_kind(self, page: Any) -> str:
        return type(page).__name__

    def get_detail(self, page: Any) -> str | None:
        return next(
            (
                str(getattr(page, name))
                for name in ("place", "intro", "author")
                if hasattr(page, name)
            ),
            None,
        )


class RevisionSerializer(serializers.ModelSerializer):
    title = serializers.CharField(source="content_object.title")
    by = serializers.CharField(source="user.username", default=None)
    draft = serializers.CharField(source="content.title")

    class Meta:
        model = Revision
        fields = ["id", "object_id", "title", "draft", "by"]


class ImageSerializer(serializers.ModelSerializer):
    tags = serializers.SlugRelatedField("name", many=True, read_only=True)
    renditions = serializers.SlugRelatedField("filter_spec", many=True, read_only=True)
    collection = serializers.CharField(source="collection.name")
    file = serializers.CharField(source="file.name")

    class Meta:
        model = Image
        fields = ["id", "title", "width", "height", "file", "tags", "renditions", "collection"]


class LogSerializer(serializers.ModelSerializer):
    page = serializers.CharField(source="page.title", default=None)
    by = serializers.CharField(source="user.username", default=None)

    class Meta:
        model = PageLogEntry
        fields = ["id", "label", "action", "page", "by", "deleted", "data"]
