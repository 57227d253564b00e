"""How the rows look."""

from __future__ import annotations

from typing import Any

from auditlog.models import LogEntry
from django_scopes import scopes_disabled
from rest_framework import serializers
from reversion.models import Version

from tests.strangers.habits.models import (
    Area,
    Bill,
    Branch,
    Dish,
    Jar,
    Memo,
    Menu,
    Room,
    Shelf,
    Song,
)


class DishSerializer(serializers.ModelSerializer):
    class Meta:
        model = Dish
        fields = ["id", "name", "note", "rank"]


class AllNamesSerializer(serializers.ModelSerializer):
    menu = serializers.CharField(source="menu.title")

    class Meta:
        model = Dish
        fields = ["id", "name_en", "name_de", "menu"]


class MenuSerializer(serializers.ModelSerializer):
    dishes = DishSerializer(many=True)
    songs = serializers.SlugRelatedField("name", many=True, read_only=True)

    class Meta:
        model = Menu
        fields = ["id", "title", "dishes", "songs"]


class BillSerializer(serializers.ModelSerializer):
    class Meta:
        model = Bill
        fields = ["id", "name", "amount", "amount_currency", "tip"]


class SaidBillSerializer(serializers.ModelSerializer):
    said = serializers.SerializerMethodField()

    class Meta:
        model = Bill
        fields = ["id", "said"]

    def get_said(self, bill: Any) -> str:
        return f"{bill.name}: {bill.amount}, {bill.tip}"


class JarSerializer(serializers.ModelSerializer):
    class Meta:
        model = Jar
        fields = ["id", "name"]


class ShelfSerializer(serializers.ModelSerializer):
    jars = JarSerializer(many=True)

    class Meta:
        model = Shelf
        fields = ["id", "name", "deleted", "jars"]


class RoomSerializer(serializers.ModelSerializer):
    rooms = serializers.SerializerMethodField()
    up = serializers.SerializerMethodField()

    class Meta:
        model = Room
        fields = ["id", "name", "depth", "numchild", "rooms", "up"]

    def get_rooms(self, room: Any) -> list[str]:
        return [child.name for child in room.get_children()]

    def get_up(self, room: Any) -> str | None:
        parent = room.get_parent()
        return parent and parent.name


class BranchSerializer(serializers.ModelSerializer):
    below = serializers.SerializerMethodField()

    class Meta:
        model = Branch
        fields = ["id", "name", "lft", "rgt", "below"]

    def get_below(self, branch: Any) -> int:
        return branch.get_descendant_count()


class SongSerializer(serializers.ModelSerializer):
    class Meta:
        model = Song
        fields = ["id", "name", "menu", "order"]


class DeepSerializer(serializers.ModelSerializer):
    path = serializers.CharField()
    depth = serializers.IntegerField()

    class Meta:
        model = Area
        fields = ["id", "name", "path", "depth"]


class SumSerializer(serializers.ModelSerializer):
    total = serializers.IntegerField()

    class Meta:
        model = Area
        fields = ["id", "name", "total"]


class MemoSerializer(serializers.ModelSerializer):
    replies = serializers.SerializerMethodField()
    firm = serializers.CharField(source="firm.name")

    class Meta:
        model = Memo
        fields = ["id", "text", "firm", "replies"]

    def get_replies(self, memo: Any) -> list[str]:
        with scopes_disabled():
            return [reply.text for reply in memo.replies.order_by("id")]


class VersionSerializer(serializers.ModelSerializer):
    by = serializers.CharField(source="revision.user.username", default=None)
    comment = serializers.CharField(source="revision.comment")
    data = serializers.SerializerMethodField()

    class Meta:
        model = Version
        fields = ["id", "object_id", "by", "comment", "data"]

    def get_data(self, version: Any) -> Any:
        return str(version.field_dict)


class LogEntrySerializer(serializers.ModelSerializer):
    changes = serializers.SerializerMethodField()

    class Meta:
        model = LogEntry
        fields = ["id", "object_repr", "action", "changes"]

    def get_changes(self, entry: Any) -> Any:
        return entry.changes_display_dict
