"""The `BINDSERVER` setting: one typed, lazy property for each key, each with its default."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.encoding import force_bytes
from django.utils.module_loading import import_string

from bindserver.engine.limits import Limits

DEFAULTS: dict[str, Any] = {
    "AUTHENTICATE": None,
    "AUTHENTICATE_SECONDS": 10.0,
    "CAPTURE": "auto",
    "COMPARE_SECONDS": 30.0,
    "HINT_KEYS": 1_000,
    "LINGER_SECONDS": 60.0,
    "LOG_KEEP_SECONDS": 86_400,
    "LOG_POLL_SECONDS": 0.01,
    "MAX_HEADER_BYTES": 64 * 1024,
    "MAX_MALFORMED": 20,
    "MAX_MESSAGES_BURST": 200.0,
    "MAX_MESSAGES_PER_SECOND": 50.0,
    "MAX_MESSAGE_BYTES": 1024 * 1024,
    "MAX_OUTBOX_BYTES": 1024 * 1024,
    "MAX_ROWS": 100_000,
    "MAX_SUBSCRIPTIONS": 100,
    "MAX_VIEWS": 10_000,
    "ORIGINS": None,
    "QUERY_SECONDS": 10.0,
    "RELAY_BEAT_SECONDS": 5.0,
    "RELAY_GROUP": "bindserver",
    "REVALIDATE_SECONDS": 60.0,
    "RING_BYTES": 1024 * 1024,
    "SLOW_CLIENT_SECONDS": 30.0,
    "SNAPSHOT_SECONDS": 30.0,
    "STALE_SECONDS": 5.0,
    "SYNC_ROWS": 2_000,
    "TURN_SECONDS": 0.005,
    "VIEW_SHARE": 0.25,
    "WEBSOCKET_PATH": "/ws/",
}
"""Every key and its default; `docs/settings.md` says what each one does."""


ORIGIN = re.compile(r"null|[a-z][a-z0-9+.\-]*://[^/?#@*\s]+", re.IGNORECASE)
GROUP = re.compile(r"[a-zA-Z0-9\-_.]{1,90}")


class Settings:
    """Reads `settings.BINDSERVER` anew at each look, so that tests can override it.

    Raises:
        ImproperlyConfigured: a key is unknown or its value is of the wrong kind; a system check
            reports the same before the server starts.
    """

    def __getattr__(self, name: str) -> Any:
        if name not in DEFAULTS:
            raise AttributeError(name)
        return self._user().get(name, DEFAULTS[name])

    @staticmethod
    def _user() -> dict[str, Any]:
        user = getattr(django_settings, "BINDSERVER", {})
        if not isinstance(user, dict):
            raise ImproperlyConfigured("BINDSERVER is a dict of settings.")
        return user

    def problems(self) -> list[str]:
        """Return a sentence for each key that is unknown or wrong."""
        found = []
        for name, value in self._user().items():
            if name not in DEFAULTS:
                found.append(f"BINDSERVER has no setting {name!r}.")
            elif problem := _problem(name, value):
                found.append(problem)
        return found

    def limits(self) -> Limits:
        """Return what one client may use up."""
        return Limits(
            outbox_bytes=self.MAX_OUTBOX_BYTES,
            subscriptions=self.MAX_SUBSCRIPTIONS,
            malformed=self.MAX_MALFORMED,
            messages_per_second=self.MAX_MESSAGES_PER_SECOND,
            messages_burst=self.MAX_MESSAGES_BURST,
            message_bytes=self.MAX_MESSAGE_BYTES,
        )


def _problem(name: str, value: object) -> str | None:
    if name == "CAPTURE":
        choices = ("auto", "log", "signals")
        return None if value in choices else f"BINDSERVER['CAPTURE'] is one of {choices}."
    if name == "AUTHENTICATE":
        return None if value is None else _problem_of_path(name, value)
    if name == "WEBSOCKET_PATH":
        if isinstance(value, str) and value.startswith("/"):
            return None
        return "BINDSERVER['WEBSOCKET_PATH'] is a path such as '/ws/'."
    if name == "ORIGINS":
        return None if value is None else _problem_of_origins(value)
    if name == "RELAY_GROUP":
        if isinstance(value, str) and GROUP.fullmatch(value):
            return None
        return "BINDSERVER['RELAY_GROUP'] is a short name of letters, digits, '-', '_' and '.'."
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        return f"BINDSERVER[{name!r}] is a positive number."
    if name == "VIEW_SHARE" and value > 1:
        return "BINDSERVER['VIEW_SHARE'] is a share of the time: more than 0, and 1 at most."
    return None


def _problem_of_origins(value: object) -> str | None:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        return "BINDSERVER['ORIGINS'] is a list of origins such as 'https://shop.example'."
    for item in value:
        if not ORIGIN.fullmatch(item):
            return (
                f"BINDSERVER['ORIGINS'] has {item!r}, which no page's origin equals: write scheme "
                "and host, and a port if there is one, such as 'https://shop.example'."
            )
    return None


def _problem_of_path(name: str, value: object) -> str | None:
    try:
        found = import_string(str(value))
    except (ImportError, AttributeError) as problem:
        return f"BINDSERVER[{name!r}] cannot be imported: {problem}."
    return None if callable(found) else f"BINDSERVER[{name!r}] names no function."


def cursor_secrets() -> tuple[bytes, tuple[bytes, ...]]:
    """Return what cursors are sealed with, and what they were sealed with before."""
    older = tuple(map(force_bytes, django_settings.SECRET_KEY_FALLBACKS))
    return force_bytes(django_settings.SECRET_KEY), older


conf = Settings()
