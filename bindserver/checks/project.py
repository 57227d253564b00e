"""Checks of the project around bindings: its settings, apps, channel layer and databases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.db import connections

from bindserver.conf import conf
from bindserver.registry import registry


def check_settings(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Check the BINDSERVER setting."""
    return [
        Error(problem, hint="docs/settings.md lists every setting.", id="bindserver.E001")
        for problem in conf.problems()
    ]


def check_server(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Check for apps that bindings need, and for servers that are not at their best with them."""
    found: list[CheckMessage] = []
    if not apps.is_installed("django.contrib.auth"):
        found.append(
            Error(
                "A subscriber is a user, and django.contrib.auth is not installed.",
                hint='Add "django.contrib.auth" and "django.contrib.contenttypes" to '
                "INSTALLED_APPS; nobody need ever log in.",
                id="bindserver.E021",
            )
        )
    if apps.is_installed("daphne"):
        found.append(
            checks.Warning(
                "daphne takes all that is written to a client into memory, however slowly it "
                "reads.",
                hint='Serve with `manage.py bindserver` or uvicorn, and take "daphne" out of '
                "INSTALLED_APPS.",
                id="bindserver.W011",
            )
        )
    return found


def check_channel_layer(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Check that the channel layer is one that hints travel well by."""
    layers = getattr(settings, "CHANNEL_LAYERS", None) or {}
    if layers.get("default", {}).get("BACKEND") != "channels_redis.core.RedisChannelLayer":
        return []
    return [
        checks.Warning(
            "RedisChannelLayer drops messages in silence when more than 100 wait.",
            hint="Use channels_redis.pubsub.RedisPubSubChannelLayer; see docs/processes.md.",
            id="bindserver.W020",
        )
    ]


def check_databases(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Check that the bindings' databases have what the capture needs."""
    used = {binding.using or "default" for binding in registry.all()}
    return [
        checks.Warning(
            f"Database {alias!r} is an SQLite database in memory: other connections cannot see it.",
            hint="Name a file in DATABASES.",
            id="bindserver.W001",
        )
        for alias in sorted(used & set(databases or ()))
        if connections[alias].vendor == "sqlite" and connections[alias].is_in_memory_db()  # type: ignore[attr-defined]
    ]
