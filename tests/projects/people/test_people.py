"""A project with a user model of its own and two databases, from outside and in Python."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Server
from tests.support.talk import talking

LOG_IN = """
from django.contrib.auth import get_user_model, login
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest
request = HttpRequest()
request.session = SessionStore()
ann = get_user_model().objects.create(username="ann")
login(request, ann, "django.contrib.auth.backends.ModelBackend")
request.session.save()
print(request.session.session_key, ann.pk.hex)
"""

IN_PYTHON = """
import json, sqlite3, os
from tests.projects.people.bindings import PersonBinding, RecordBinding
found = [[p.username for p in PersonBinding().all()], RecordBinding().keys()]
archive = sqlite3.connect(os.environ["ARCHIVE_URL"].removeprefix("sqlite:///"), timeout=20)
archive.execute("INSERT INTO people_record (id, text) VALUES (9, 'x')")
archive.commit()
print(json.dumps([*found, RecordBinding().keys(), RecordBinding().get(9)._state.db]))
"""


class TwoDatabases(Server):
    """The project's server, with an archive beside its database."""

    def __init__(self, folder: Path) -> None:
        # Without a log another program's write is seen by the full compare.
        settings = {"COMPARE_SECONDS": 0.5}
        super().__init__(folder / "db.sqlite3", settings, module="tests.projects.people.settings")
        self.archive = folder / "archive.sqlite3"
        self.environment["ARCHIVE_URL"] = f"sqlite:///{self.archive}"

    def write(self, path: Path, sql: str) -> None:
        """Write as another program, which knows nothing of Django."""
        connection = sqlite3.connect(path, timeout=20)
        connection.execute(sql)
        connection.commit()
        connection.close()


@pytest.fixture(scope="module", params=["log", "signals"])
def project(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TwoDatabases]:
    server = TwoDatabases(tmp_path_factory.mktemp("people"))
    logged = request.param == "log"
    server.prepare(capture=logged)
    server.manage("migrate", "--run-syncdb", "--database", "archive", "-v0")
    if logged:
        server.manage("bindings", "capture", "install", "--database", "archive")
    with server:
        yield server


async def test_each_is_sent_what_is_theirs_from_its_own_database(project: TwoDatabases) -> None:
    key, ann = project.manage("shell", "-v0", "-c", LOG_IN).split()
    project.write(
        project.database,
        f"INSERT INTO people_letter (id, to_id, text) VALUES (1, '{ann}', 'hello')",
    )
    project.write(project.archive, "INSERT INTO people_record VALUES (1, 'old')")
    async with talking(project.ws, {"Cookie": f"sessionid={key}"}) as talk:
        letters = await talk.follow("letters")
        records = await talk.follow("records")
        assert letters.column("text") == ["hello"]
        assert records.column("text") == ["old"]
    async with talking(project.ws) as talk:
        assert (await talk.follow("letters")).column("text") == []


async def test_a_write_to_the_second_database_is_pushed(project: TwoDatabases) -> None:
    async with talking(project.ws) as talk:
        records = await talk.follow("records")
        project.write(project.archive, "INSERT INTO people_record VALUES (5, 'new')")
        await talk.until(lambda: records.column("text")[-1:] == ["new"])


def test_python_reads_both_and_knows_the_projects_own_user(project: TwoDatabases) -> None:
    answer = project.manage("shell", "-v0", "-c", IN_PYTHON)
    people, before, after, database = json.loads(answer)
    assert people == ["ann"]
    assert after == sorted([*before, 9])
    assert database == "archive"
