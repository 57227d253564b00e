"""How the smallest project's rows look."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, User
from rest_framework import serializers


class GroupSerializer(serializers.ModelSerializer[Group]):
    permissions: Any = serializers.SlugRelatedField("codename", many=True, read_only=True)
    members = serializers.SerializerMethodField()

    class Meta:
        model = Group
        fields = ["id", "name", "permissions", "members"]

    def get_members(self, group: Group) -> list[str]:
        return sorted(user.username for user in group.user_set.all())


class UserSerializer(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields = ["id", "username", "first_name", "is_active"]
