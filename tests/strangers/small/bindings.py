"""The smallest project's bindings."""

from __future__ import annotations

from django.contrib.auth.models import Group, User
from rest_framework.permissions import AllowAny, IsAuthenticated

from bindserver import Binding
from tests.strangers.small.serializers import GroupSerializer


class GroupBinding(Binding[Group]):
    queryset = Group.objects.prefetch_related("permissions", "user_set")
    event = "groups"
    serializer_class = GroupSerializer
    ordering = ["name"]
    permission_classes = [AllowAny]


class UserBinding(Binding[User]):
    model = User
    event = "users"
    fields = ["id", "username", "first_name", "is_active"]
    filters = {"is_active": True}
    ordering = ["-username"]
    permission_classes = [IsAuthenticated]


class OwnGroupBinding(Binding[Group]):
    model = Group
    event = "own groups"
    serializer_class = GroupSerializer
    permission_classes = [AllowAny]

    def filters(self) -> dict[str, object]:
        return {"user": self.user.pk}
