"""Django's tutorial app, made live: a vote in one window shows in another."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.projects.tutorial.reader import Reader, steps
from tests.support.process import Process
from tests.support.server import ROOT, free_port

pytestmark = pytest.mark.browser

QUESTION = (
    "from django.utils import timezone; from polls.models import Question; "
    "q = Question.objects.create(question_text='What is new?', pub_date=timezone.now()); "
    "[q.choice_set.create(choice_text=t) for t in ('Not much', 'The sky')]"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """The stranger's project, made live by its page's second chapter."""
    reader = Reader(tmp_path_factory.mktemp("stranger"), {"python ": f"{sys.executable} "})
    reader.env["PYTHONPATH"] = str(ROOT)
    for step in steps(Path(__file__).with_name("polls.md")):
        if step.language == "console":
            for command in step.commands:
                reader.run(command)
        else:
            assert reader.write(step), step.words
    reader.run(f'python manage.py shell -c "{QUESTION}"')
    return reader


@pytest.fixture
def server(project: Reader, tmp_path: Path) -> Iterator[Process]:
    port = free_port()
    command = [sys.executable, "manage.py", "bindserver", "--port", str(port)]
    process = Process(
        command, port=port, env=project.env, cwd=project.folder, log=tmp_path / "server.log"
    )
    try:
        yield process.start()
    finally:
        process.kill()


@pytest.fixture
def windows(chromium: Browser) -> Iterator[tuple[Page, Page]]:
    """Two windows of two people."""
    people = [chromium.new_context() for _ in range(2)]
    for person in people:
        person.set_default_timeout(15_000)
    one, other = (person.new_page() for person in people)
    yield one, other
    for person in people:
        person.close()


def test_a_vote_in_one_window_shows_in_another(server: Process, windows: tuple[Page, Page]) -> None:
    voter, watcher = windows
    url = f"http://127.0.0.1:{server.port}/polls/"
    watcher.goto(f"{url}1/results/")
    expect(watcher.locator("li")).to_have_text(["Not much -- 0 votes", "The sky -- 0 votes"])
    for votes in ("1 vote", "2 votes"):
        voter.goto(url)
        voter.get_by_role("link", name="What is new?").click()
        voter.get_by_label("The sky").check()
        voter.get_by_role("button", name="Vote").click()
        expect(voter).to_have_url(f"{url}1/results/")
        expect(watcher.locator("li")).to_have_text(["Not much -- 0 votes", f"The sky -- {votes}"])
    assert "Traceback" not in server.log


def test_what_the_app_did_before_it_does_still(server: Process, windows: tuple[Page, Page]) -> None:
    page, _ = windows
    page.goto(f"http://127.0.0.1:{server.port}/polls/1/")
    page.get_by_role("button", name="Vote").click()
    expect(page.locator("strong")).to_have_text("You didn't select a choice.")


def test_the_lines_added_are_those_of_the_readme() -> None:
    _, added = Path(__file__).with_name("polls.md").read_text().split("## Five lines")
    readme = (ROOT / "README.md").read_text()
    for line in (
        '"bindserver"',
        'path("bindings/", include("bindserver.urls"))',
        "application = bindserver.asgi.wrap(",
        "from bindserver import Binding",
        '<script src="{% static "bindserver/io.js" %}"></script>',
    ):
        assert line in added
        assert line in readme
