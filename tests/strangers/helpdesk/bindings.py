"""The desk's bindings."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Prefetch, Q, QuerySet
from helpdesk.models import (
    Checklist,
    ChecklistTask,
    FollowUp,
    KBItem,
    Queue,
    Ticket,
    TicketCustomFieldValue,
)
from helpdesk.user import HelpdeskUser
from rest_framework.permissions import AllowAny, IsAdminUser, IsAuthenticated

from bindserver import Binding
from tests.strangers.helpdesk import serializers as shown


class TicketBinding(Binding):
    """What helpdesk's own rule lets a user see, whose permissions hang on the user."""

    event = "tickets"
    model = Ticket
    serializer_class = shown.TicketSerializer
    permission_classes = [IsAuthenticated]

    def get_queryset(self) -> QuerySet[Any]:
        tickets = HelpdeskUser(self.user).accessible_tickets()
        return (
            tickets.select_related("queue", "assigned_to")
            .prefetch_related("ticketcc_set__user", "merged_tickets", "ticketdependency")
            .order_by("priority", "-created")
        )


class QueueBinding(Binding):
    event = "queues"
    model = Queue
    serializer_class = shown.QueueSerializer
    ordering = ["title"]
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        count = Count("ticket", filter=Q(ticket__status__in=Ticket.OPEN_STATUSES))
        return HelpdeskUser(self.user).get_queues().annotate(open=count)


class FollowUpBinding(Binding):
    event = "followups"
    serializer_class = shown.FollowUpSerializer
    queryset = FollowUp.objects.public_followups().select_related("user")
    params = {"ticket": int}
    ordering = ["-date"]
    permission_classes = [AllowAny]

    def filters(self) -> dict[str, Any]:
        return {"ticket": self.params["ticket"]}


class OwnBinding(Binding):
    event = "own"
    model = Ticket
    fields = ["id", "title", "queue", "assigned_to", "status", "priority", "modified"]
    ordering = ["priority", "-modified"]
    permission_classes = [IsAuthenticated]

    def get_q(self) -> Q:
        return Q(assigned_to=self.user) | Q(ticketcc__user=self.user)

    def get_queryset(self) -> QuerySet[Any]:
        return Ticket.objects.exclude(status=Ticket.CLOSED_STATUS).distinct()


class ValueBinding(Binding):
    event = "values"
    queryset = TicketCustomFieldValue.objects.select_related("field", "ticket")
    serializer_class = shown.ValueSerializer
    filters = {"field__staff_only": False}
    ordering = ["field__ordering", "ticket__title"]
    permission_classes = [IsAuthenticated]


class AttachmentBinding(Binding):
    event = "attachments"
    model = shown.FollowUpAttachment
    serializer_class = shown.AttachmentSerializer
    filters = {"followup__public": True}
    permission_classes = [AllowAny]


class ItemBinding(Binding):
    event = "knowledge"
    queryset = KBItem.objects.select_related("category").prefetch_related("voted_by")
    serializer_class = shown.ItemSerializer
    filters = {"enabled": True, "category__public": True}
    ordering = ["category__title", "order", "title"]
    permission_classes = [AllowAny]


class ChecklistBinding(Binding):
    """Staff's alone: who becomes staff may see them, who is no more may not."""

    event = "checklists"
    model = Checklist
    serializer_class = shown.ChecklistSerializer
    permission_classes = [IsAdminUser]

    def get_queryset(self) -> QuerySet[Any]:
        left = ChecklistTask.objects.todo().order_by("position", "pk")
        return Checklist.objects.prefetch_related(Prefetch("tasks", left, to_attr="left"))
