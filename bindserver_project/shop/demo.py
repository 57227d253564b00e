"""The demo's own login. It exists in debug mode only."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import DatabaseError

NAME = "demo"
PASSWORD = "demo"  # noqa: S105


def create_demo_user() -> bool:
    """Create the demo administrator in debug mode, once; True when it was created now."""
    users = get_user_model()._default_manager
    if not settings.DEBUG or users.filter(username=NAME).exists():
        return False
    users.create_superuser(NAME, email="", password=PASSWORD)
    return True


def demo_login() -> str | None:
    """What to print at start: ``demo / demo`` in debug mode, while that login works."""
    if not settings.DEBUG:
        return None
    try:
        user = get_user_model()._default_manager.filter(username=NAME).first()
    except DatabaseError:
        return None
    works = user is not None and user.is_active and user.check_password(PASSWORD)
    return f"{NAME} / {PASSWORD}" if works else None
