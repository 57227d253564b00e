"""How the desk's rows look."""

from __future__ import annotations

from typing import Any

from helpdesk.models import (
    Checklist,
    FollowUp,
    FollowUpAttachment,
    KBItem,
    Queue,
    Ticket,
    TicketCustomFieldValue,
)
from rest_framework import serializers


class AttachmentSerializer(serializers.ModelSerializer):
    """With DRF's own `FileField`, which looks for a request and does without one."""

    class Meta:
        model = FollowUpAttachment
        fields = ["id", "file", "filename", "mime_type", "size"]


class FollowUpSerializer(serializers.ModelSerializer):
    by = serializers.CharField(source="user.username", default=None)
    changes = serializers.SerializerMethodField()
    attachments = AttachmentSerializer(source="followupattachment_set", many=True)

    class Meta:
        model = FollowUp
        fields = ["id", "ticket", "title", "comment", "public", "by", "changes", "attachments"]

    def get_changes(self, follow_up: Any) -> list[str]:
        return [str(change) for change in follow_up.ticketchange_set.order_by("pk")]


class TicketSerializer(serializers.ModelSerializer):
    queue = serializers.CharField(source="queue.title")
    owner = serializers.CharField(source="get_assigned_to")
    status = serializers.CharField(source="get_status")
    custom = serializers.SerializerMethodField()
    cc = serializers.StringRelatedField(source="ticketcc_set", many=True)
    followups = serializers.SerializerMethodField()
    merged = serializers.PrimaryKeyRelatedField(source="merged_tickets", many=True, read_only=True)

    class Meta:
        model = Ticket
        fields = [
            "id", "ticket", "title", "queue", "owner", "status", "on_hold", "priority", "due_date",
            "resolution", "can_be_resolved", "merged_to", "merged", "custom", "cc", "followups",
        ]  # fmt: skip

    def get_custom(self, ticket: Any) -> dict[str, Any]:
        return {value.field.name: value.value for value in ticket.public_custom_field_values()}

    def get_followups(self, ticket: Any) -> list[list[Any]]:
        return [[f.title, f.public] for f in ticket.followup_set.order_by("date", "pk")]


class ShortSerializer(serializers.ModelSerializer):
    class Meta:
        model = Ticket
        fields = ["id", "title", "queue", "assigned_to", "status", "priority", "modified"]


class QueueSerializer(serializers.ModelSerializer):
    open = serializers.IntegerField()

    class Meta:
        model = Queue
        fields = ["id", "title", "slug", "allow_public_submission", "time_spent_formated", "open"]


class ValueSerializer(serializers.ModelSerializer):
    field = serializers.CharField(source="field.label")
    ticket = serializers.CharField(source="ticket.title")

    class Meta:
        model = TicketCustomFieldValue
        fields = ["id", "field", "ticket", "value"]


class ItemSerializer(serializers.ModelSerializer):
    category = serializers.CharField(source="category.title")
    voters = serializers.SlugRelatedField("username", source="voted_by", many=True, read_only=True)

    class Meta:
        model = KBItem
        fields = [
            "id", "title", "category", "enabled", "score", "votes", "voters", "num_open_tickets",
        ]  # fmt: skip


class ChecklistSerializer(serializers.ModelSerializer):
    todo = serializers.SerializerMethodField()
    done = serializers.SerializerMethodField()

    class Meta:
        model = Checklist
        fields = ["id", "ticket", "name", "todo", "done"]

    def get_todo(self, checklist: Any) -> list[str]:
        return [task.description for task in checklist.left]

    def get_done(self, checklist: Any) -> int:
        return int(checklist.tasks.completed().count())
