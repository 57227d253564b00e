"""The desk's views in plain Django."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Prefetch, Q
from helpdesk.models import (
    Checklist,
    ChecklistTask,
    FollowUp,
    FollowUpAttachment,
    KBItem,
    Queue,
    Ticket,
    TicketCustomFieldValue,
)

from tests.strangers.helpdesk import serializers as shown
from tests.strangers.views import View, members

OPEN = (Ticket.OPEN_STATUS, Ticket.REOPENED_STATUS)


def staff(user: Any) -> bool:
    return bool(user.is_staff)


def _granted(user: Any) -> Any:
    """Return the queues that a user is let into, by the rights that stand in the database."""
    if user.is_superuser:
        return Queue.objects.all()
    return Queue.objects.filter(permission_name__in=user.get_all_permissions())


def views() -> list[View]:
    """Return all views."""
    return [*_of_tickets(), *_of_the_desk()]


def _of_tickets() -> list[View]:
    return [
        View(
            event="tickets",
            rows=lambda user: Ticket.objects.filter(
                Q(assigned_to=user) | Q(queue__in=_granted(user))
            ).order_by("priority", "-created", "pk"),
            serializer=shown.TicketSerializer,
            allowed=members,
        ),
        View(
            event="own",
            rows=lambda user: (
                Ticket.objects.exclude(status=Ticket.CLOSED_STATUS)
                .filter(Q(assigned_to=user) | Q(pk__in=user.ticketcc_set.values("ticket")))
                .order_by("priority", "-modified", "pk")
            ),
            serializer=shown.ShortSerializer,
            allowed=members,
        ),
        *[
            View(
                event="followups",
                params={"ticket": ticket.pk},
                rows=lambda user, key=ticket.pk: FollowUp.objects.filter(
                    public=True, ticket=key
                ).order_by("-date", "pk"),
                serializer=shown.FollowUpSerializer,
            )
            for ticket in Ticket.objects.order_by("pk")[:2]
        ],
    ]


def _of_the_desk() -> list[View]:
    return [
        View(
            event="queues",
            rows=lambda user: (
                Queue.objects.filter(Q(allow_public_submission=True) | Q(pk__in=_granted(user)))
                .annotate(open=Count("ticket", filter=Q(ticket__status__in=OPEN)))
                .order_by("title", "pk")
            ),
            serializer=shown.QueueSerializer,
        ),
        View(
            event="values",
            rows=lambda user: TicketCustomFieldValue.objects.filter(
                field__staff_only=False
            ).order_by("field__ordering", "ticket__title", "pk"),
            serializer=shown.ValueSerializer,
            allowed=members,
        ),
        View(
            event="attachments",
            rows=lambda user: FollowUpAttachment.objects.filter(followup__public=True).order_by(
                "filename", "pk"
            ),
            serializer=shown.AttachmentSerializer,
        ),
        View(
            event="knowledge",
            rows=lambda user: KBItem.objects.filter(enabled=True, category__public=True).order_by(
                "category__title", "order", "title", "pk"
            ),
            serializer=shown.ItemSerializer,
        ),
        View(
            event="checklists",
            rows=lambda user: Checklist.objects.prefetch_related(
                Prefetch(
                    "tasks",
                    ChecklistTask.objects.filter(completion_date=None).order_by("position", "pk"),
                    to_attr="left",
                )
            ).order_by("pk"),
            serializer=shown.ChecklistSerializer,
            allowed=staff,
        ),
    ]
