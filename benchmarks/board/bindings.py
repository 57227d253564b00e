"""One binding for each way in which a queryset may be read, as Django teams write them."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Exists, F, OuterRef, QuerySet, Sum, Window
from django.db.models.functions import RowNumber
from django.utils import timezone
from rest_framework import serializers

from benchmarks.board.models import Comment, Notice, Project, Task
from bindserver import Binding

PRAISED = 4
"""A comment with so many stars brings its task into some bindings."""


class NoticeBinding(Binding[Notice]):
    """The plain one: a row that changes with every change that is measured."""

    model = Notice
    event = "notices"
    fields = ["id", "number"]


class MemberJoinBinding(Binding[Task]):
    """A user's tasks, by a join to the members of their projects."""

    model = Task
    event = "member_join"
    fields = ["id", "title", "project"]

    def filters(self) -> dict[str, Any]:
        return {"project__members": self.user}


class MemberInBinding(MemberJoinBinding):
    """The same, by a subquery."""

    event = "member_in"

    def filters(self) -> dict[str, Any]:
        return {"project__in": Project.objects.filter(members=self.user)}


class MemberListBinding(MemberJoinBinding):
    """The same, by keys that are read when the binding is asked."""

    event = "member_list"

    def filters(self) -> dict[str, Any]:
        projects = Project.objects.filter(members=self.user)
        return {"project__in": list(projects.values_list("pk", flat=True))}


class LastBinding(Binding[Task]):
    """A user's last twenty: an equality beside a limit."""

    model = Task
    event = "last"
    fields = ["id", "title"]
    ordering = ["-id"]
    limit = 20

    def filters(self) -> dict[str, Any]:
        return {"owner": self.user}


class CountedSerializer(serializers.ModelSerializer[Task]):
    count = serializers.IntegerField(read_only=True)

    class Meta:
        model = Task
        fields = ["id", "title", "count"]


class CountBinding(Binding[Task]):
    """How many children each row has."""

    queryset = Task.objects.annotate(count=Count("comments"))
    event = "count"
    serializer_class = CountedSerializer


class SumBinding(CountBinding):
    """What the children of each row come to."""

    queryset = Task.objects.annotate(count=Sum("comments__hours"))
    event = "sum"


class TaggedSerializer(serializers.ModelSerializer[Task]):
    tags: Any = serializers.SlugRelatedField(many=True, read_only=True, slug_field="name")

    class Meta:
        model = Task
        fields = ["id", "title", "tags"]


class TagsBinding(Binding[Task]):
    """Rows of another table in each row, over links."""

    queryset = Task.objects.prefetch_related("tags")
    event = "task_tags"
    serializer_class = TaggedSerializer


class CommentSerializer(serializers.ModelSerializer[Comment]):
    class Meta:
        model = Comment
        fields = ["id", "text", "stars"]


class CommentedSerializer(serializers.ModelSerializer[Task]):
    comments: Any = CommentSerializer(many=True, read_only=True)

    class Meta:
        model = Task
        fields = ["id", "title", "comments"]


class NestedBinding(Binding[Task]):
    """The children of each row in it, by a serializer of their own."""

    queryset = Task.objects.prefetch_related("comments")
    event = "nested"
    serializer_class = CommentedSerializer


class DistinctBinding(Binding[Task]):
    """Rows that are there for a child's sake, by a join that may bring them twice."""

    queryset = Task.objects.filter(comments__stars__gte=PRAISED).distinct()
    event = "distinct"
    fields = ["id", "title"]


class ExistsBinding(Binding[Task]):
    """The same, by a subquery."""

    queryset = Task.objects.filter(
        Exists(Comment.objects.filter(task=OuterRef("pk"), stars__gte=PRAISED))
    )
    event = "exists"
    fields = ["id", "title"]


class ByTitleBinding(Binding[Task]):
    """An order by text, which only the database knows."""

    model = Task
    event = "by_title"
    fields = ["id", "title"]
    ordering = ["title"]


class WindowBinding(Binding[Task]):
    """Some rows from a place on."""

    model = Task
    event = "window"
    fields = ["id", "title", "place"]
    ordering = ["place"]
    params = {"start": int, "size": int}

    def get_window(self) -> tuple[int, int]:
        return self.params["size"], self.params["start"]


class DearBinding(Binding[Task]):
    """Rows that say how many came before them, so that every change may concern each of them."""

    model = Task
    event = "dear"
    serializer_class = CountedSerializer
    params = {"owner": int}

    def get_queryset(self) -> QuerySet[Any]:
        numbered = Task.objects.annotate(count=Window(RowNumber(), order_by=F("id").asc()))
        return numbered.filter(owner=self.params["owner"])


class OpenBinding(Binding[Task]):
    """What is open yet, by the clock of whoever asks; without a time to refresh it is refused."""

    model = Task
    event = "open"
    fields = ["id", "title"]
    refresh_seconds = 3600

    def get_queryset(self) -> QuerySet[Any]:
        return Task.objects.filter(until__gt=timezone.now())
