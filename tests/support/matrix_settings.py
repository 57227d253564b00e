"""The tests' own project with every way to say who somebody is, and viewsets of its bindings."""

from __future__ import annotations

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


REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        *REST_FRAMEWORK["DEFAULT_AUTHENTICATION_CLASSES"],
        "tests.support.matrix_settings.ForwardedUser",
    ],
}
