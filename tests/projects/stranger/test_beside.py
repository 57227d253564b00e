"""A Django app that knows nothing of bindserver; beside it, bindserver under the app's settings."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.projects.tutorial.reader import Reader, Step, steps
from tests.support.process import Process, get
from tests.support.server import ROOT, free_port
from tests.support.talk import talking

PAGE = Path(__file__).with_name("polls.md")
URLS = """\
from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import include, path

polls = path("polls/", include("polls.urls"))
urlpatterns = [path("admin/", admin.site.urls), *i18n_patterns(polls)]
"""
VOTE = (
    "from django.utils import timezone; from polls.models import Question; "
    "q = Question.objects.create(question_text='What is new?', pub_date=timezone.now()); "
    "q.choice_set.create(choice_text='Not much')"
)


def follow(reader: Reader, todo: list[Step]) -> None:
    for step in todo:
        if step.language == "console":
            for command in step.commands:
                reader.run(command)
        else:
            assert reader.write(step), step.words


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """The polls app as its tutorial leaves it, with an app more and a `bindings.py`."""
    reader = Reader(tmp_path_factory.mktemp("beside"), {"python ": f"{sys.executable} "})
    reader.env["PYTHONPATH"] = str(ROOT)
    todo = list(steps(PAGE))
    wanted = {'    "bindserver",', "class ChoiceBinding(Binding):"}
    last = next(n for n, step in enumerate(todo) if step.text.startswith("$ python manage.py make"))
    added = [step for step in todo[last + 1 :] if wanted & set(step.text.splitlines())]
    assert len(added) == 2
    follow(reader, [*todo[: last + 1], *added])
    (reader.folder / "mysite/urls.py").write_text(URLS)
    return reader


def manage(project: Reader, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=project.folder, env=project.env, capture_output=True, text=True
    )


def serve(project: Reader, *command: str, port: int) -> Process:
    return Process(
        [sys.executable, *command, "--port", str(port)],
        port=port,
        env={**project.env, "PYTHONUNBUFFERED": "1"},
        cwd=project.folder,
        log=project.folder.parent / f"{port}.log",
    )


def test_without_a_word_it_is_told_which_line_to_write(project: Reader) -> None:
    done = manage(project, "bindserver", "--no-reload")
    assert done.returncode == 1
    assert "CommandError: mysite.asgi.application does not serve bindings yet." in done.stderr
    assert "Write in mysite/asgi.py\n" in done.stderr
    assert "    import bindserver\n" in done.stderr
    assert "    application = bindserver.asgi.wrap(get_asgi_application())\n" in done.stderr
    assert "--standalone" in done.stderr


def test_a_project_without_an_asgi_module_is_told_what_to_do(project: Reader) -> None:
    asgi = project.folder / "mysite/asgi.py"
    away = asgi.rename(asgi.with_suffix(".away"))
    try:
        done = manage(project, "bindserver", "--no-reload")
    finally:
        away.rename(asgi)
    assert done.returncode == 1
    assert "CommandError: The project has no asgi.py." in done.stderr
    assert "--standalone" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["manage.py", "bindserver", "--standalone", "--no-reload"],
        ["-m", "uvicorn", "bindserver.standalone:application"],
    ],
)
async def test_standalone_serves_bindings_and_the_app_s_own_pages(
    command: list[str], project: Reader
) -> None:
    port = free_port()
    project.env["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
    here = f"http://127.0.0.1:{port}"
    with serve(project, *command, port=port) as process:
        async with talking(f"ws://127.0.0.1:{port}/ws/") as talk:
            assert (await talk.follow("choices", params={"question": 1})).actions == ["sync"]
        for path, status in {
            "/healthz": 200,
            "/readyz": 200,
            "/bindings/choices/?question=1": 200,
            "/en-us/polls/": 200,
            "/admin/login/": 200,
            "/static/bindserver/io.js": 200,
            "/nowhere/": 404,
        }.items():
            assert (await asyncio.to_thread(get, here + path))[0] == status, path
        listed = json.loads((await asyncio.to_thread(get, here + "/bindings/"))[1])
        assert [binding["event"] for binding in listed] == ["choices"]
    assert "Traceback" not in process.log


async def test_a_write_of_the_app_s_own_process_arrives(project: Reader) -> None:
    """The app is a process that has no idea who listens; the change log tells."""
    database = sqlite3.connect(project.folder / "db.sqlite3")
    database.execute("PRAGMA journal_mode=WAL")
    database.close()
    done = manage(project, "bindings", "capture", "install")
    assert done.returncode == 0, done.stderr
    port = free_port()
    with serve(project, "manage.py", "bindserver", "--standalone", "--no-reload", port=port):
        async with talking(f"ws://127.0.0.1:{port}/ws/") as talk:
            following = await talk.follow("choices", params={"question": 1})
            done = await asyncio.to_thread(manage, project, "shell", "-c", VOTE)
            assert done.returncode == 0, done.stderr
            await talk.until(lambda: following.column("choice_text") == ["Not much"])
