"""Settings from environment variables: typed, and refused in words that name the variable."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from bindserver.conf import DEFAULTS

YES, NO = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}

SECRET_LENGTH, SECRET_KINDS = 50, 5
"""How many characters it has, and how many that differ; as in Django's own deployment check."""

DEVELOPMENT_KEY = "for-development-only-and-known-to-everybody"

PREFIX = "BINDSERVER_"
OWN = {"BINDSERVER_APPS"}
FOREIGN = re.compile(
    r"BINDSERVER_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)="
    r"|BINDSERVER_([A-Z0-9_]+_)?PORT=(tcp|udp|sctp)://"
)
"""What Kubernetes and Docker put into the environment for services named "bindserver" or
"bindserver-redis": a port of theirs is a URL, and one that is none is somebody's slip."""

DATABASES = (
    "a URL such as sqlite:////srv/shop.sqlite3 for SQLite, "
    "postgresql://user:password@host:5432/shop for PostgreSQL, "
    "mysql://user:password@host:3306/shop for MariaDB, and the same for MySQL"
)
SQLITE_OPTIONS = {
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
}
"""SQLite as many readers beside a writer want it."""

CONNECT_SECONDS = 5
"""How long connecting to a database may take, where its URL does not say: drivers wait for minutes
for one that hangs."""

REDIS_CONNECTIONS = 100
"""How many connections to Redis a process has at most; `?max_connections=` in the URL wins."""


class Environment:
    """The variables of a process.

    Args:
        values: the variables; every value is a string.
    """

    def __init__(self, values: Mapping[str, str] = os.environ) -> None:
        self._values = values

    def text(self, name: str, default: str = "") -> str:
        """Return a variable's text; one that is empty is as good as none."""
        return self._values.get(name, "").strip() or default

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return whether something is switched on.

        Raises:
            ImproperlyConfigured: it is neither on nor off.
        """
        value = self.text(name).lower()
        if value not in YES | NO:
            raise ImproperlyConfigured(f"{name} is 1 or 0, not {value!r}.")
        return value in YES if value else default

    def items(self, name: str) -> list[str]:
        """Return a list that is written with commas."""
        return [item.strip() for item in self.text(name).split(",") if item.strip()]

    def number(self, name: str, default: int) -> int:
        """Return a whole number.

        Raises:
            ImproperlyConfigured: it is none.
        """
        try:
            return int(self.text(name, str(default)))
        except ValueError:
            raise ImproperlyConfigured(
                f"{name} is a whole number, not {self.text(name)!r}."
            ) from None

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        """Return one of a few words, whatever their case.

        Raises:
            ImproperlyConfigured: it is another word.
        """
        value = self.text(name, default).lower()
        if value not in choices:
            raise ImproperlyConfigured(f"{name} is one of {', '.join(choices)}; not {value!r}.")
        return value

    def secret(self, name: str, *, debug: bool) -> str:
        """Return the secret key, from the variable or from the file that `NAME_FILE` names.

        Raises:
            ImproperlyConfigured: outside debug mode, it is missing, short or well known.
        """
        key = self.text(name) or self._contents(f"{name}_FILE")
        if debug:
            return key or DEVELOPMENT_KEY
        if not key:
            problem = "is not set"
        elif key.startswith("django-insecure-") or key == DEVELOPMENT_KEY:
            problem = "is the one for development"
        elif len(key) < SECRET_LENGTH or len(set(key)) < SECRET_KINDS:
            problem = (
                f"is too easy to guess: it has fewer than {SECRET_LENGTH} characters, "
                f"or fewer than {SECRET_KINDS} different ones"
            )
        else:
            return key
        raise ImproperlyConfigured(
            f"{name} {problem}. Give the server a long random one in its environment, for example "
            f'{name}="$(openssl rand -base64 48)", and keep it; or set DEBUG=1 to try things out '
            "on your own machine."
        )

    def _contents(self, name: str) -> str:
        path = self.text(name)
        if not path:
            return ""
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as problem:
            raise ImproperlyConfigured(f"{name}: {path}: {problem.strerror}.") from None

    def database(self, name: str, default: str) -> dict[str, Any]:
        """Return the database that a URL names, with SQLite set up for many readers, and others
        given up that do not answer.

        Raises:
            ImproperlyConfigured: the URL is none, or lacks the database's name. It is not quoted,
                for it may hold a password.
        """
        url = self.text(name, default)
        try:
            database: dict[str, Any] = dict(dj_database_url.parse(url))
        except ValueError:
            raise ImproperlyConfigured(f"{name} is {DATABASES}.") from None
        if not database["NAME"] and "service" not in database.get("OPTIONS", {}):
            raise ImproperlyConfigured(f"{name} lacks the name of a database. It is {DATABASES}.")
        if database["ENGINE"] == "django.db.backends.sqlite3":
            database["OPTIONS"] = SQLITE_OPTIONS | database.get("OPTIONS", {})
        elif "service" not in database.get("OPTIONS", {}):  # whose file may say so
            soon = {"connect_timeout": CONNECT_SECONDS}
            database["OPTIONS"] = soon | database.get("OPTIONS", {})
        return database

    def channel_layers(self, name: str) -> dict[str, Any]:
        """Return Channels' layers for a Redis URL, none without one.

        Raises:
            ImproperlyConfigured: it is no Redis URL, or the package for it is missing.
        """
        url = self.text(name)
        if not url:
            return {}
        if not url.startswith(("redis://", "rediss://", "unix://")):
            raise ImproperlyConfigured(f"{name} is a URL such as redis://host:6379/0.")
        if importlib.util.find_spec("channels_redis") is None:
            raise ImproperlyConfigured(f"{name} needs a package: pip install 'bindserver[redis]'")
        backend = "channels_redis.pubsub.RedisPubSubChannelLayer"
        host = {"address": url, "max_connections": REDIS_CONNECTIONS}  # the URL may say another
        return {"default": {"BACKEND": backend, "CONFIG": {"hosts": [host]}}}

    def apps(self, name: str) -> list[str]:
        """Return the Django apps that a variable lists.

        Raises:
            ImproperlyConfigured: one cannot be imported.
        """
        apps = self.items(name)
        for app in apps:
            if not (_is_module(app) or _is_module(app.rpartition(".")[0])):
                raise ImproperlyConfigured(
                    f"{name} names {app!r}, and there is no such module. Install its package, or "
                    "put its folder on PYTHONPATH."
                )
        return apps

    def bindserver(self) -> dict[str, Any]:
        """Return the BINDSERVER setting: `BINDSERVER_MAX_ROWS` is its key MAX_ROWS, and so on.

        Raises:
            ImproperlyConfigured: there is no such key, or the value is of the wrong kind.
        """
        found = {}
        for name, text in sorted(self._values.items()):
            if (
                not name.startswith(PREFIX)
                or name in OWN
                or FOREIGN.match(f"{name}={text}")
                or not text.strip()
            ):
                continue
            key = name.removeprefix(PREFIX)
            if key not in DEFAULTS:
                raise ImproperlyConfigured(f"bindserver has no setting {key}, which {name} names.")
            found[key] = self._convert(name, DEFAULTS[key])
        return found

    def _convert(self, name: str, default: Any) -> Any:
        """Return a variable as what its default is: a number, a flag, words or a text."""
        if isinstance(default, bool):
            return self.flag(name)
        if isinstance(default, (int, float)):
            text = self.text(name)
            try:
                return int(text) if text.isdecimal() else float(text)
            except ValueError:
                raise ImproperlyConfigured(f"{name} is a number, not {text!r}.") from None
        if isinstance(default, (list, tuple)) or name == "BINDSERVER_ORIGINS":
            return self.items(name)
        return self.text(name)


def _is_module(name: str) -> bool:
    try:
        return bool(name) and importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
