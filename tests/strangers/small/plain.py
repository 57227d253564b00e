"""The smallest project's views in plain Django."""

from __future__ import annotations

from django.contrib.auth.models import Group, User

from tests.strangers.small.serializers import GroupSerializer, UserSerializer
from tests.strangers.views import View, members


def views() -> list[View]:
    """Return all views."""
    return [
        View(
            event="groups",
            rows=lambda user: Group.objects.order_by("name", "pk"),
            serializer=GroupSerializer,
        ),
        View(
            event="users",
            rows=lambda user: User.objects.filter(is_active=True).order_by("-username"),
            serializer=UserSerializer,
            allowed=members,
        ),
        View(
            event="own groups",
            rows=lambda user: Group.objects.filter(user=user.pk).order_by("pk"),
            serializer=GroupSerializer,
        ),
    ]
