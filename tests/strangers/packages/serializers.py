"""How the rows look: each package's own serializers where it has some."""

from __future__ import annotations

from typing import Any

from drf_writable_nested import WritableNestedModelSerializer
from parler_rest.fields import TranslatedFieldsField
from parler_rest.serializers import TranslatableModelSerializer
from rest_flex_fields import FlexFieldsModelSerializer
from rest_framework import serializers
from rest_polymorphic.serializers import PolymorphicSerializer
from taggit.serializers import TaggitSerializer, TagListSerializerField

from tests.strangers.packages.models import Article, Bar, Book, Film, Item, Place, Step, Task, Topic


class ArticleSerializer(TaggitSerializer, TranslatableModelSerializer):
    translations = TranslatedFieldsField(shared_model=Article)
    tags = TagListSerializerField()

    class Meta:
        model = Article
        fields = ["id", "slug", "translations", "tags"]


class TitleSerializer(serializers.ModelSerializer):
    """In the language that a row has been asked for in."""

    language = serializers.SerializerMethodField()

    class Meta:
        model = Article
        fields = ["id", "title", "body", "language"]

    def get_language(self, article: Any) -> str:
        return str(article.get_current_language())


class PlainItemSerializer(serializers.ModelSerializer):
    class Meta:
        model = Item
        fields = ["id", "name"]


class BookSerializer(serializers.ModelSerializer):
    films = serializers.SlugRelatedField("name", many=True, read_only=True)

    class Meta:
        model = Book
        fields = ["id", "name", "pages", "films"]


class FilmSerializer(serializers.ModelSerializer):
    after = serializers.CharField(source="after.name", default=None)

    class Meta:
        model = Film
        fields = ["id", "name", "minutes", "after"]


class ItemSerializer(PolymorphicSerializer):
    model_serializer_mapping = {
        Item: PlainItemSerializer,
        Book: BookSerializer,
        Film: FilmSerializer,
    }


class PlaceSerializer(serializers.ModelSerializer):
    kind = serializers.SerializerMethodField()
    size = serializers.SerializerMethodField()

    class Meta:
        model = Place
        fields = ["id", "name", "kind", "size"]

    def get_kind(self, place: Any) -> str:
        return type(place).__name__

    def get_size(self, place: Any) -> int | None:
        if isinstance(place, Bar):
            return place.beers
        return getattr(place, "seats", None)


class TopicSerializer(serializers.ModelSerializer):
    """A node with all below it."""

    children = serializers.SerializerMethodField()
    tasks = serializers.SlugRelatedField("name", many=True, read_only=True)

    class Meta:
        model = Topic
        fields = ["id", "name", "level", "lft", "rght", "children", "tasks"]

    def get_children(self, topic: Any) -> Any:
        return TopicSerializer(topic.get_children(), many=True).data


class NodeSerializer(serializers.ModelSerializer):
    above = serializers.SerializerMethodField()

    class Meta:
        model = Topic
        fields = ["id", "name", "level", "above"]

    def get_above(self, topic: Any) -> list[str]:
        return [node.name for node in topic.get_ancestors()]


class StepSerializer(serializers.ModelSerializer):
    id = serializers.IntegerField(required=False)

    class Meta:
        model = Step
        fields = ["id", "name"]


class TaskSerializer(WritableNestedModelSerializer):
    steps = StepSerializer(many=True)
    last = serializers.SerializerMethodField()

    class Meta:
        model = Task
        fields = ["id", "name", "points", "topic", "steps", "last"]

    def get_last(self, task: Any) -> str | None:
        entry = task.history.first()  # written after the task, in a transaction of its own
        return entry and f"{entry.history_type} {entry.name}"


class BriefTaskSerializer(serializers.ModelSerializer):
    class Meta:
        model = Task
        fields = ["id", "name", "points"]


class BriefTopicSerializer(FlexFieldsModelSerializer):
    class Meta:
        model = Topic
        fields = ["id", "name", "level"]


class FlexTaskSerializer(FlexFieldsModelSerializer):
    class Meta:
        model = Task
        fields = ["id", "name", "points", "topic", "is_removed"]
        expandable_fields = {
            "topic": BriefTopicSerializer,
            "steps": (StepSerializer, {"many": True}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, expand=["topic", "steps"], omit=["is_removed"], **kwargs)


class EntrySerializer(serializers.ModelSerializer):
    by = serializers.CharField(source="history_user.username", default=None)

    class Meta:
        model = Task.history.model
        fields = ["history_id", "id", "name", "points", "history_type", "by"]
