"""The `BINDSERVER` setting: one typed, lazy property for each key, each with its default."""

from __future__ import annotations

import importlib.util
import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.encoding import force_bytes
from django.utils.module_loading import import_string

from bindserver.engine.limits import Limits

DEFAULTS: dict[str, Any] = {
    "AUDIT_SHARE": 0.01,
    "AUTHENTICATE": None,
    "AUTHENTICATE_SECONDS": 10.0,
    "BODY_SECONDS": 20.0,
    "CAPTURE": "auto",
    "COMPARE_SECONDS": 30.0,
    "COMPRESSION": False,
    "FIRST_ROWS_SECONDS": 120.0,
    "HEAD_SECONDS": 10.0,
    "HINT_KEYS": 1_000,
    "INSPECTOR_ALLOW": None,
    "LINGER_SECONDS": 60.0,
    "LOG_KEEP_SECONDS": 86_400,
    "LOG_MAX_ENTRIES": 10_000_000,
    "LOG_POLL_SECONDS": 0.01,
    "MAX_CONNECTIONS": 20_000,
    "MAX_CONNECTIONS_PER_CLIENT": 1_000,
    "MAX_HEADER_BYTES": 64 * 1024,
    "MAX_MALFORMED": 20,
    "MAX_MESSAGES_BURST": 200.0,
    "MAX_MESSAGES_PER_SECOND": 50.0,
    "MAX_MESSAGE_BYTES": 1024 * 1024,
    "MAX_OUTBOX_BYTES": 1024 * 1024,
    "MAX_ROWS": 100_000,
    "MAX_SUBSCRIPTIONS": 100,
    "MAX_VIEWS": 10_000,
    "MAX_VIEWS_BYTES": 1024 * 1024 * 1024,
    "MAX_WAITING_SNAPSHOTS": 500,
    "MAX_WAITING_SNAPSHOTS_PER_CLIENT": 50,
    "MAX_WAITING_THREADS": 20,
    "METRICS_ALLOW": [],
    "METRICS_FOLDER": None,
    "METRICS_TOKEN": None,
    "ORIGINS": None,
    "OWNER_BYTES_SHARE": 0.25,
    "OWNER_VIEWS_SHARE": 0.1,
    "QUERY_SECONDS": 10.0,
    "RELAY_BEAT_SECONDS": 5.0,
    "RELAY_GROUP": "bindserver",
    "REVALIDATE_SECONDS": 5.0,
    "RING_BYTES": 1024 * 1024,
    "RUNTIME_INSTALL": True,
    "SLOW_CLIENT_SECONDS": 30.0,
    "SNAPSHOT_SECONDS": 30.0,
    "STALE_SECONDS": 5.0,
    "SYNC_ROWS": 2_000,
    "TRACING": False,
    "TURN_SECONDS": 0.005,
    "VIEW_SHARE": 0.25,
    "WEBSOCKET_PATH": "/ws/",
}
"""Every key and its default; `docs/settings.md` says what each one does."""


ORIGIN = re.compile(r"null|[a-z][a-z0-9+.\-]*://[^/?#@*\s]+", re.IGNORECASE)
SHARES = {
    "OWNER_BYTES_SHARE": "MAX_VIEWS_BYTES",
    "OWNER_VIEWS_SHARE": "MAX_VIEWS",
    "VIEW_SHARE": "the time",
}
GROUP = re.compile(r"[a-zA-Z0-9\-_.]{1,90}")
TOKEN_LENGTH = 16


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
        """Return what one client may use up; what is alike is one object, as each client keeps
        it."""
        return _alike(
            Limits(
                outbox_bytes=self.MAX_OUTBOX_BYTES,
                subscriptions=self.MAX_SUBSCRIPTIONS,
                malformed=self.MAX_MALFORMED,
                messages_per_second=self.MAX_MESSAGES_PER_SECOND,
                messages_burst=self.MAX_MESSAGES_BURST,
                message_bytes=self.MAX_MESSAGE_BYTES,
            )
        )


@lru_cache(maxsize=8)
def _alike(limits: Limits) -> Limits:
    return limits


def _problem(name: str, value: object) -> str | None:
    """Return what is wrong with the value of a key, or None."""
    return _PROBLEMS.get(name, _problem_of_number)(name, value)


def _problem_of_number(name: str, value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        return f"BINDSERVER[{name!r}] is a positive number."
    return None


def _problem_of_share(name: str, value: object) -> str | None:
    if isinstance(value, (int, float)) and value > 1:
        return f"BINDSERVER[{name!r}] is a share of {SHARES[name]}: more than 0, and 1 at most."
    return _problem_of_number(name, value)


def _problem_of_audit(name: str, value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        return f"BINDSERVER[{name!r}] is a share of the time: 1 at most, and 0 for no audit."
    return None


def _problem_of_switch(name: str, value: object) -> str | None:
    return None if isinstance(value, bool) else f"BINDSERVER[{name!r}] is True or False."


def _problem_of_capture(name: str, value: object) -> str | None:
    choices = ("auto", "log", "signals")
    return None if value in choices else f"BINDSERVER[{name!r}] is one of {choices}."


def _problem_of_address(name: str, value: object) -> str | None:
    if isinstance(value, str) and value.startswith("/"):
        return None
    return f"BINDSERVER[{name!r}] is a path such as '/ws/'."


def _problem_of_group(name: str, value: object) -> str | None:
    if isinstance(value, str) and GROUP.fullmatch(value):
        return None
    return f"BINDSERVER[{name!r}] is a short name of letters, digits, '-', '_' and '.'."


def _problem_of_origins(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        return "BINDSERVER['ORIGINS'] is a list of origins such as 'https://shop.example'."
    for item in value:
        if not ORIGIN.fullmatch(item):
            return (
                f"BINDSERVER['ORIGINS'] has {item!r}, which no page's origin equals: write scheme "
                "and host, and a port if there is one, such as 'https://shop.example'."
            )
    return None


def _problem_of_function(name: str, value: object) -> str | None:
    if value is None:
        return None
    try:
        found = import_string(str(value))
    except (ImportError, AttributeError) as problem:
        return f"BINDSERVER[{name!r}] cannot be imported: {problem}."
    return None if callable(found) else f"BINDSERVER[{name!r}] names no function."


def _problem_of_networks(name: str, value: object) -> str | None:
    said = f"BINDSERVER[{name!r}] is a list of addresses and networks such as '10.0.0.0/8'"
    if not isinstance(value, (list, tuple)):
        return f"{said}."
    for item in value:
        try:
            ipaddress.ip_network(item)
        except ValueError as problem:
            return f"{said}: {problem}."
    return _lacks("prometheus_client", "metrics") if value else None


def _problem_of_folder(name: str, value: object) -> str | None:
    if value is None or (isinstance(value, str) and Path(value).is_dir()):
        return None
    return f"BINDSERVER[{name!r}] is a folder that is there, which all processes share."


def _problem_of_token(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) < TOKEN_LENGTH or not value.isascii():
        return (
            f"BINDSERVER[{name!r}] is a secret of {TOKEN_LENGTH} ASCII characters or more, "
            "such as $(openssl rand -hex 32) gives."
        )
    return _lacks("prometheus_client", "metrics")


def _problem_of_tracing(name: str, value: object) -> str | None:
    if (problem := _problem_of_switch(name, value)) is not None:
        return problem
    return _lacks("opentelemetry", "tracing") if value else None


def _lacks(package: str, extra: str) -> str | None:
    """Return what to install for a setting, if it is not installed."""
    if importlib.util.find_spec(package) is not None:
        return None
    return f"BINDSERVER's {extra} need a package: pip install 'bindserver[{extra}]'."


_PROBLEMS: dict[str, Callable[[str, object], str | None]] = {
    "AUDIT_SHARE": _problem_of_audit,
    "AUTHENTICATE": _problem_of_function,
    "CAPTURE": _problem_of_capture,
    "COMPRESSION": _problem_of_switch,
    "INSPECTOR_ALLOW": _problem_of_function,
    "METRICS_ALLOW": _problem_of_networks,
    "METRICS_FOLDER": _problem_of_folder,
    "METRICS_TOKEN": _problem_of_token,
    "ORIGINS": _problem_of_origins,
    "RELAY_GROUP": _problem_of_group,
    "RUNTIME_INSTALL": _problem_of_switch,
    **dict.fromkeys(SHARES, _problem_of_share),
    "TRACING": _problem_of_tracing,
    "WEBSOCKET_PATH": _problem_of_address,
}
"""What looks at the values of those keys that are no numbers, or no others."""


def cursor_secrets() -> tuple[bytes, tuple[bytes, ...]]:
    """Return what cursors are sealed with, and what they were sealed with before."""
    older = tuple(map(force_bytes, django_settings.SECRET_KEY_FALLBACKS))
    return force_bytes(django_settings.SECRET_KEY), older


conf = Settings()
