"""Checks of the project around bindings: its settings, apps, channel layer and databases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.db import DatabaseError, connections

from bindserver.bindings.binding import alias_of
from bindserver.bindings.registry import BindingClass, registry, tables_named
from bindserver.conf import conf
from bindserver.database.row_security import HINT, refusal_for, tables_by_row
from bindserver.database.views import database_views
from bindserver.exceptions import BindingError
from bindserver.queries.depends_on import behind, warning_of

REDIS_CAPACITY = 100
"""How many messages of a channel RedisChannelLayer keeps where nobody says otherwise."""


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
    layer = layers.get("default", {})
    if layer.get("BACKEND") != "channels_redis.core.RedisChannelLayer":
        return []
    capacity = layer.get("CONFIG", {}).get("capacity", REDIS_CAPACITY)
    return [
        checks.Warning(
            f"RedisChannelLayer drops messages in silence when more than {capacity} wait.",
            hint="Use channels_redis.pubsub.RedisPubSubChannelLayer; see docs/processes.md.",
            id="bindserver.W020",
        )
    ]


def check_databases(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Check that the bindings' databases have what the capture needs, and show everybody the same
    rows."""
    found: list[CheckMessage] = []
    for alias in registry.aliases():
        if alias not in (databases or ()):
            continue
        connection: Any = connections[alias]
        if connection.vendor == "sqlite" and connection.is_in_memory_db():
            found.append(
                checks.Warning(
                    f"Database {alias!r} is an SQLite database in memory: other connections cannot "
                    "see it.",
                    hint="Name a file in DATABASES.",
                    id="bindserver.W001",
                )
            )
            continue
        bindings = [b for b in registry.all() if alias_of(b) == alias]
        try:
            connection.ensure_connection()
        except DatabaseError:
            continue  # whoever starts something on it is told why
        found.extend(_row_security(bindings, alias))
        found.extend(_views(bindings, alias))
    return found


def _row_security(bindings: Sequence[BindingClass], alias: str) -> Iterator[CheckMessage]:
    """Check that no table shows the server's role some rows only. Servers look again, at all that
    is read."""
    secured = tables_by_row(connections[alias])
    for binding in bindings:
        tables = secured & tables_named(binding)
        if tables and (binding.event is not None or binding.hears_messages()):
            yield Error(
                refusal_for(binding.__name__, tables, alias),
                hint=HINT,
                obj=binding,
                id="bindserver.E052",
            )


def _views(bindings: Sequence[BindingClass], alias: str) -> Iterator[CheckMessage]:
    """Check that somebody says what stands behind views of the database."""
    views = database_views(connections[alias])
    for binding in bindings:
        try:
            stands = behind(binding, views)
        except BindingError:  # which another check tells
            continue
        for view in sorted(views & {*stands.instead(tables_named(binding)), *stands.tables}):
            problem, remedy = warning_of(binding, view)
            yield checks.Warning(problem, hint=remedy, obj=binding, id="bindserver.W051")
