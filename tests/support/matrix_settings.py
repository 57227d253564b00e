"""The tests' own project with every way to say who somebody is, and viewsets of its bindings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed

from tests.settings import *

ROOT_URLCONF = "tests.support.matrix_urls"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


class ForwardedUser(BaseAuthentication):
    """Believes a proxy's header, where there is one."""

    def authenticate(self, request: Any) -> Any:
        from django.contrib.auth.models import User

        name = request.META.get("HTTP_X_FORWARDED_USER")
        if name is None:
            return None
        user = User.objects.filter(username=name, is_active=True).first()
        if user is None:
            raise AuthenticationFailed
        return user, None


def by_badge(token: str, headers: Mapping[str, str]) -> Any:
    """Take "badge-of-NAME", of whoever is active."""
    from django.contrib.auth.models import User

    name = token.removeprefix("badge-of-")
    user = User.objects.filter(username=name, is_active=True).first()
    return None if user is None else (user, token)


async def by_badge_async(token: str, headers: Mapping[str, str]) -> Any:
    """Take the same, and wait for it in the event loop."""
    from django.contrib.auth.models import User

    name = token.removeprefix("badge-of-")
    user = await User.objects.filter(username=name, is_active=True).afirst()
    return None if user is None else (user, token)


REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        *REST_FRAMEWORK["DEFAULT_AUTHENTICATION_CLASSES"],
        "tests.support.matrix_settings.ForwardedUser",
    ],
}
