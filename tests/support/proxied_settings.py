"""The tests' own project behind a proxy that says who the user is, by a header."""

from __future__ import annotations

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed

from tests.settings import *


class ForwardedUser(BaseAuthentication):
    """Believes the header, as authentication by a proxy does."""

    def authenticate(self, request: Any) -> Any:
        from django.contrib.auth.models import User

        name = request.META.get("HTTP_X_FORWARDED_USER")
        if name is None:
            raise AuthenticationFailed
        return User.objects.get(username=name), None


REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tests.support.proxied_settings.ForwardedUser"]
}
