"""The server under test: one process at a time, over one database, with settings that vary."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore

from tests.support.server import Server

QUICK = {"MAX_MESSAGES_PER_SECOND": 1e6, "MAX_MESSAGES_BURST": 1e6}
PROFILES: dict[str, dict[str, Any]] = {
    "plain": {},
    "loader": {"SYNC_ROWS": 4},
    "forgetful": {"RING_BYTES": 600, "LINGER_SECONDS": 0.2, "SYNC_ROWS": 40},
    "narrow": {"MAX_OUTBOX_BYTES": 4000, "RING_BYTES": 20_000},
}
"""Settings that lead down different paths."""
TOO_SLOW = 4408


class Service:
    """Starts, stops and kills the server.

    Args:
        database: the SQLite file.
        rng: chooses the settings of each process.
        fault: the fault to plant, or None.
        profile: the settings of all processes; None for the seed's choice at each start.
    """

    def __init__(
        self, database: Path, rng: random.Random, fault: str | None, profile: str | None
    ) -> None:
        self._database = database
        self._rng = rng
        self._module = "tests.oracle.faulty_settings" if fault else "tests.settings"
        os.environ["ORACLE_FAULT"] = fault or ""
        self._profiles = [profile] if profile else sorted(PROFILES)
        self.profile = self._profiles[0]
        self._server = self._make()

    def _make(self) -> Server:
        settings = {**QUICK, **PROFILES[self.profile]}
        return Server(self._database, settings, self._module)

    @property
    def url(self) -> str:
        return self._server.ws

    @property
    def may_close_with(self) -> frozenset[int]:
        """The codes with which the server may close at its own wish."""
        return frozenset({TOO_SLOW}) if self.profile == "narrow" else frozenset()

    def migrate(self) -> None:
        """Make the tables."""
        self._server.manage("migrate", "--run-syncdb", "--verbosity", "0")

    def install(self) -> None:
        """Install the change log."""
        self._server.manage("bindings", "capture", "install")

    async def start(self) -> None:
        """Start with settings of the seed's choice."""
        self.profile = self._rng.choice(self._profiles)
        self._server = self._make()
        await asyncio.to_thread(self._server.start)

    async def stop(self, *, crash: bool) -> None:
        """End the process."""
        await asyncio.to_thread(self._server.kill if crash else self._server.stop)

    def log(self) -> str:
        """Return what the server has said."""
        path = self._server.log
        return path.read_text() if path.exists() else ""


def log_in() -> str:
    """Make the user whose memberships a binding reads, and return a session cookie for them."""
    user = User.objects.create(pk=1, username="ann", password="!")
    session = SessionStore()
    session["_auth_user_id"] = str(user.pk)
    session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
    session["_auth_user_hash"] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)
