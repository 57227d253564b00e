"""Checks of a project that is going to be deployed: `manage.py check --deploy`.

They read settings and versions alone. What takes a database or Redis is asked by `bindings doctor`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from channels import DEFAULT_CHANNEL_LAYER
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.db import connections

from bindserver.bindings.registry import registry
from bindserver.capture.log import LOGS
from bindserver.checks.looks import Look
from bindserver.checks.versions import old_packages
from bindserver.conf import conf
from bindserver.relay.relay import IN_MEMORY

REDIS = ("channels_redis.core.RedisChannelLayer", "channels_redis.pubsub.RedisPubSubChannelLayer")
"""The channel layers that open connections by redis-py."""


def check_deployment(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Check what should be otherwise where others depend on it."""
    if conf.problems():
        return []  # E001 tells of them, and what follows goes by these settings
    return [message for look in DEPLOYMENT.values() for message in look()]


def debug_is_on() -> Iterator[CheckMessage]:
    """Check that clients are not told what is for developers."""
    if settings.DEBUG:
        yield checks.Warning(
            "DEBUG is on: clients are told the text of errors, each statement is kept in memory, "
            "and code that changes restarts the server.",
            hint="Set DEBUG = False where others can reach the server.",
            id="bindserver.W101",
        )


def processes_apart() -> Iterator[CheckMessage]:
    """Check that several processes can hear each other, where they have to."""
    layer = _layer()
    if layer.get("BACKEND") == IN_MEMORY:
        yield checks.Warning(
            "The channel layer is in memory: what one process sends, no other worker, server or "
            "command hears.",
            hint="Use channels_redis.pubsub.RedisPubSubChannelLayer; or take CHANNEL_LAYERS away, "
            "where a change log is installed and nobody sends to groups. See docs/processes.md.",
            id="bindserver.W102",
        )
    elif not layer and conf.CAPTURE == "signals":
        yield checks.Warning(
            "Signals are followed, and there is no channel layer: a write in one process reaches "
            f"subscribers of another within {conf.COMPARE_SECONDS:g} s only.",
            hint="Set CHANNEL_LAYERS (docs/processes.md); or install the change log, and set "
            "CAPTURE to 'auto' or 'log'.",
            id="bindserver.W102",
        )


def redis_without_bound() -> Iterator[CheckMessage]:
    """Check that somebody has thought of how many connections Redis is to bear."""
    layer = _layer()
    if layer.get("BACKEND") not in REDIS:
        return
    hosts = layer.get("CONFIG", {}).get("hosts") or ["redis://localhost:6379"]
    if any(not _is_bounded(host) for host in hosts):
        yield checks.Warning(
            "The channel layer's Redis has no max_connections. Older versions of redis-py then "
            "open any number for each process; newer ones refuse to send beyond 100.",
            hint='Say how many a process may have: "hosts": [{"address": "redis://…", '
            '"max_connections": 200}].',
            id="bindserver.W103",
        )


def connections_kept() -> Iterator[CheckMessage]:
    """Check that threads of an asynchronous server keep no connections of the project's."""
    for alias, database in settings.DATABASES.items():
        kept = database.get("CONN_MAX_AGE", 0)
        if kept == 0 or connections[alias].vendor == "sqlite":
            continue
        yield checks.Warning(
            f"CONN_MAX_AGE of database {alias!r} is {kept}: under an asynchronous server each "
            "thread that a request ever had keeps a connection, until the database has no more.",
            hint="Set CONN_MAX_AGE to 0 for the server, and let PgBouncer or psycopg's pool "
            '(OPTIONS["pool"]) keep connections.',
            id="bindserver.W104",
        )


def strangers_pages() -> Iterator[CheckMessage]:
    """Check that it is said whose pages may open a WebSocket with a visitor's cookies."""
    if conf.ORIGINS is None:
        if "*" in settings.ALLOWED_HOSTS:
            yield checks.Warning(
                "ORIGINS is not set, and ALLOWED_HOSTS allows any host: a page of any name that "
                "leads to this server may open a WebSocket with its visitor's cookies.",
                hint='Name your hosts in ALLOWED_HOSTS, or your pages in BINDSERVER["ORIGINS"], '
                "such as https://shop.example.",
                id="bindserver.W105",
            )
        return
    if "null" in conf.ORIGINS:
        yield checks.Warning(
            'ORIGINS has "null", which is the origin of any page in a sandboxed frame.',
            hint="Take it out; serve what needs it from an origin of its own.",
            id="bindserver.W105",
        )
    listed = {origin.lower() for origin in conf.ORIGINS}
    trusted = {origin for origin in settings.CSRF_TRUSTED_ORIGINS if "*" not in origin}
    if missing := sorted(origin for origin in trusted if origin.lower() not in listed):
        yield checks.Warning(
            f"CSRF_TRUSTED_ORIGINS has {', '.join(missing)}, and ORIGINS has not: pages of there "
            "may post, and their WebSockets are refused.",
            hint='Add what shows live rows to BINDSERVER["ORIGINS"].',
            id="bindserver.W105",
        )


def schema_changes() -> Iterator[CheckMessage]:
    """Check that no visitor can have triggers installed."""
    if not conf.RUNTIME_INSTALL or conf.CAPTURE == "signals":
        return
    if any(
        alias in connections and connections[alias].vendor in LOGS for alias in registry.aliases()
    ):
        yield checks.Warning(
            "RUNTIME_INSTALL is on: a subscription may have the server put triggers on a table, "
            "which takes a lock, and rights that a server needs for nothing else.",
            hint="Set RUNTIME_INSTALL to False, and run `manage.py bindings capture install` after "
            "`migrate` in each deploy.",
            id="bindserver.W106",
        )


DEPLOYMENT: Mapping[str, Look] = {
    "debug mode is off": debug_is_on,
    "processes can hear each other": processes_apart,
    "Redis connections are bounded": redis_without_bound,
    "no connections are kept by threads": connections_kept,
    "pages that may connect are named": strangers_pages,
    "servers do not change the schema": schema_changes,
    "no package is known to be bad": old_packages,
}
"""What is looked at, and what there is to say where nothing is found."""


def _layer() -> dict[str, Any]:
    layers = getattr(settings, "CHANNEL_LAYERS", None) or {}
    layer: dict[str, Any] = layers.get(DEFAULT_CHANNEL_LAYER, {})
    return layer


def _is_bounded(host: Any) -> bool:
    """Return whether one of a layer's hosts says how many connections there may be."""
    if isinstance(host, Mapping):
        return "max_connections" in host or _is_bounded(host.get("address", ""))
    return isinstance(host, str) and "max_connections" in parse_qs(urlsplit(host).query)
