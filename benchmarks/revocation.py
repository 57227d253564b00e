"""How long after a commit a right that it takes is still served, by transport and by what is taken.

Run with `python -m benchmarks.revocation --database postgresql`. It starts a database and a server
of its own. Over a WebSocket it measures from the commit to the last frame of the binding, which
ends the subscription or takes its last row away; over HTTP from the commit until the first request
after it has been refused.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.program import Program
    from tests.support.server import Server

PRODUCTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What is taken, from the users whose keys are in a text of SQL.

    Attributes:
        name: for the table.
        event: the binding that is lost by it.
        take: a statement, in which `:users` are their keys.
        is_looked_at: whether it is looked at every `REVALIDATE_SECONDS` only.
    """

    name: str
    event: str
    take: str
    is_looked_at: bool = False


CAUSES = (
    Cause(
        name="group left",
        event="guarded",
        take="DELETE FROM auth_user_groups WHERE user_id IN :users",
    ),
    Cause(
        name="staff no more",
        event="for_staff",
        take="UPDATE auth_user SET is_staff = FALSE WHERE id IN :users",
    ),
    Cause(
        name="membership gone",
        event="mine",
        take="DELETE FROM app_membership WHERE user_id IN :users",
    ),
    Cause(
        name="inactive",
        event="members",
        take="UPDATE auth_user SET is_active = FALSE WHERE id IN :users",
    ),
    Cause(
        name="session deleted",
        event="members",
        take="DELETE FROM django_session WHERE session_key LIKE 'sessionof:name%'",
        is_looked_at=True,
    ),
)


class Bench:
    """A server with users who have every right.

    Args:
        server: the server.
        program: writes to its database.
        users: how many.
    """

    def __init__(self, server: Server, program: Program, users: int) -> None:
        self._server = server
        self._program = program
        self.users = range(1, users + 1)
        self._headers: dict[int, dict[str, str]] = {}

    def fill(self) -> None:
        """Make the users, and what they may see."""
        run = self._program.run
        for table in ("auth_user_groups", "auth_group_permissions", "auth_group"):
            run(f"DELETE FROM {table}")
        self._program.clean()
        run("INSERT INTO app_category (id, name) VALUES (1, 'one')")
        self._program.add_products(PRODUCTS, category_id=1)
        [[right]] = run("SELECT id FROM auth_permission WHERE codename = 'view_product'")
        run("INSERT INTO auth_group (id, name) VALUES (1, 'buyers')")
        run("INSERT INTO auth_group_permissions (group_id, permission_id) VALUES (1, ?)", right)
        for user in self.users:
            self._headers[user] = self._program.log_in(f"user{user}x", is_staff=1)
            run("INSERT INTO auth_user_groups (user_id, group_id) VALUES (?, 1)", user)
            run("INSERT INTO app_membership (user_id, category_id) VALUES (?, 1)", user)

    async def over_websocket(self, cause: Cause) -> list[float]:
        """Return how long each user was served, in seconds."""
        from tests.support.talk import talking

        async with AsyncExitStack() as stack:
            talks = {}
            for user in self.users:
                headers = self._headers[user]
                talk = await stack.enter_async_context(talking(self._server.ws, headers))
                following = await talk.follow(cause.event)
                assert len(following.replica.rows) == PRODUCTS
                talks[user] = talk, following
                if cause.is_looked_at:  # they are not all looked at in the same moment
                    await asyncio.sleep(random.random() / 10)
            seconds = []
            for user, (talk, following) in talks.items():
                listening = asyncio.create_task(_last_frame(talk, following))
                await asyncio.sleep(0.02)
                committed = await asyncio.to_thread(self._take, cause, user)
                seconds.append(await listening - committed)
            return seconds

    def over_http(self, cause: Cause, prefix: str) -> list[float]:
        """Return the same of snapshots, by whoever has a tag of the rows."""
        seconds, path = [], f"/{prefix}/{cause.event}/"
        for user in self.users:
            with closing(HTTPConnection("127.0.0.1", self._server.port, timeout=60)) as client:
                headers = {**self._headers[user], "Accept": "application/json"}
                tag = _asked(client, path, headers)[1]
                assert tag
                committed = self._take(cause, user)
                while True:
                    status, other = _asked(client, path, {**headers, "If-None-Match": tag})
                    if status != 304 and other != tag:
                        break
                seconds.append(time.monotonic() - committed)
        return seconds

    def _take(self, cause: Cause, user: int) -> float:
        """Take something from a user; return when that was committed."""
        told = cause.take.replace(":users", f"({user})").replace(":name", f"user{user}x")
        self._program.run(told)
        return time.monotonic()


async def _last_frame(talk: object, following: object) -> float:
    from tests.support.talk import Following, Talk

    assert isinstance(talk, Talk)
    assert isinstance(following, Following)
    while following.replica.rows:
        message = await talk.hear()
        if message["data"].get("action") == "disconnect":
            break
    return time.monotonic()


def _asked(client: HTTPConnection, path: str, headers: dict[str, str]) -> tuple[int, str | None]:
    client.request("GET", path, headers=headers)
    answer = client.getresponse()
    answer.read()
    return answer.status, answer.headers["ETag"] if answer.status in (200, 304) else None


def _told(seconds: Sequence[float]) -> str:
    some = sorted(seconds)
    half, most = some[len(some) // 2], some[(len(some) - 1) * 99 // 100]
    return f"{half * 1e3:9.1f}{most * 1e3:9.1f}"


async def measure(bench: Bench) -> None:
    """Print a line for each transport and cause."""
    print(f"{'transport':12}{'cause':18}{'p50 ms':>9}{'p99 ms':>9}", flush=True)
    for cause in CAUSES:
        bench.fill()
        print(
            f"{'WebSocket':12}{cause.name:18}{_told(await bench.over_websocket(cause))}", flush=True
        )
        for prefix in ("bindings", "viewsets"):
            bench.fill()
            seconds = await asyncio.to_thread(bench.over_http, cause, prefix)
            print(f"{'/' + prefix + '/':12}{cause.name:18}{_told(seconds)}", flush=True)


def main() -> None:
    """Start a database and a server, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql", "mysql"), default="sqlite")
    parser.add_argument("--users", type=int, default=50, help="how often each is measured")
    parser.add_argument("--revalidate", type=float, default=1.0, help="REVALIDATE_SECONDS")
    options = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from tests.conftest import program_at
    from tests.oracle.homes import HOMES
    from tests.support.postgresql import PostgreSQLProgram
    from tests.support.server import Server

    with tempfile.TemporaryDirectory(prefix="bindserver-revocation-") as name:
        folder = Path(name)
        home = HOMES[options.database](folder)
        home.start()
        try:
            settings = {"REVALIDATE_SECONDS": options.revalidate}
            module = "tests.support.matrix_settings"
            server = Server(folder / "server.sqlite3", settings, module, url=home.url).prepare()
            with server, closing(program_at(home.url)) as program:
                if isinstance(program, PostgreSQLProgram):
                    program.write_as_sqlite_does()
                asyncio.run(measure(Bench(server, program, options.users)))
        finally:
            home.stop()


if __name__ == "__main__":
    main()
