"""The servers under test: processes on one database, each with settings that vary."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore

from tests.support.server import Server

QUICK = {"MAX_MESSAGES_PER_SECOND": 1e6, "MAX_MESSAGES_BURST": 1e6}
PROFILES: dict[str, dict[str, Any]] = {
    "plain": {},
    "loader": {"SYNC_ROWS": 4, "COMPRESSION": True},
    "forgetful": {"RING_BYTES": 600, "LINGER_SECONDS": 0.2, "SYNC_ROWS": 40},
    "lanes": {"TURN_SECONDS": 0.001, "VIEW_SHARE": 0.5, "COMPRESSION": True},
    "narrow": {"MAX_OUTBOX_BYTES": 4000, "RING_BYTES": 20_000},
}
"""Settings that lead down different paths. By "lanes" much is dear, and left to a later turn or the
loader, beside what is cheap. Every other connection offers compression; what is compressed hardly
ever waits for a slow reader, so most do without."""
TOO_SLOW = 4408


class Node:
    """One server process, with settings of the seed's choice.

    Args:
        folder: where its log is.
        number: tells it from the others.
        url: the database's address.
        module: the settings module.
        environment: more for the process's environment.

    Attributes:
        shaken: whether it may not have found the database again yet.
    """

    def __init__(
        self, folder: Path, number: int, url: str, module: str, environment: dict[str, str]
    ) -> None:
        self.number = number
        self.profile = "plain"
        self.up = False
        self.shaken = False
        self._name = folder / f"server{number}"
        self._how = (module, environment)
        self._url = url
        self.server = self._make()

    def _make(self) -> Server:
        module, environment = self._how
        settings = {**QUICK, **PROFILES[self.profile]}
        return Server(self._name, settings, module, environment, url=self._url)

    @property
    def url(self) -> str:
        """Where its WebSocket is."""
        return self.server.ws

    @property
    def may_close_with(self) -> frozenset[int]:
        """The codes with which it may close at its own wish."""
        return frozenset({TOO_SLOW}) if self.profile == "narrow" else frozenset()

    async def start(self, profile: str) -> None:
        """Start with settings."""
        self.profile = profile
        self.server = self._make()
        await asyncio.to_thread(self.server.start)
        self.up = True
        self.shaken = False

    async def stop(self, *, crash: bool) -> None:
        """End the process."""
        self.up = False
        await asyncio.to_thread(self.server.kill if crash else self.server.stop)

    def log(self) -> str:
        """Return what it has said."""
        return self.server.log.read_text() if self.server.log.exists() else ""


class Service:
    """The server processes: starts, stops and kills them.

    Args:
        folder: where their logs are.
        url: the database's address.
        rng: chooses the settings of each process.
        fault: the fault to plant, or None.
        profile: the settings of all processes; None for the seed's choice at each start.
        servers: how many there are.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        rng: random.Random,
        fault: str | None,
        profile: str | None,
        servers: int,
    ) -> None:
        self._rng = rng
        module = "tests.oracle.faulty_settings" if fault else "tests.oracle.settings"
        environment = {"ORACLE_FAULT": fault or ""}
        self._profiles = [profile] if profile else sorted(PROFILES)
        self.nodes = [Node(folder, n, url, module, environment) for n in range(servers)]

    def migrate(self) -> None:
        """Make the tables."""
        self.nodes[0].server.prepare(capture=False)

    def install(self) -> None:
        """Install the change log."""
        self.nodes[0].server.manage("bindings", "capture", "install")

    async def start(self, *nodes: Node) -> None:
        """Start processes with settings of the seed's choice; all, if none are named."""
        chosen = nodes or tuple(self.nodes)
        profiles = [self._rng.choice(self._profiles) for _ in chosen]
        starts = [n.start(profile) for n, profile in zip(chosen, profiles, strict=True)]
        await asyncio.gather(*starts)

    async def stop(self) -> None:
        """End all processes, as a crash would."""
        for node in self.nodes:
            await node.stop(crash=True)

    def choose(self) -> Node:
        """Choose a process that is up."""
        return self._rng.choice([node for node in self.nodes if node.up])

    def any(self) -> Node:
        """Choose a process."""
        return self._rng.choice(self.nodes)

    def log(self) -> str:
        """Return what the servers have said."""
        return "\n".join(node.log() for node in self.nodes)


def make_user(pk: int, name: str) -> User:
    """Make a user whose memberships bindings read."""
    return User.objects.create(pk=pk, username=name, password="!")


def log_in(user: User) -> str:
    """Return a session cookie for a user."""
    session = SessionStore()
    session["_auth_user_id"] = str(user.pk)
    session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
    session["_auth_user_hash"] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)
