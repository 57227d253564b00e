"""docs/tutorial.md, followed to the letter: a wheel, a new project, a page in Chromium."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.projects.tutorial.reader import Reader, Step, steps
from tests.support.process import Process, get
from tests.support.server import ROOT, free_port

pytestmark = pytest.mark.browser

PAGE = ROOT / "docs/tutorial.md"
SERVE = "python manage.py bindserver"
PICTURES = os.environ.get("PICTURES")
"""A folder to put the page's pictures into."""


class Follower(Reader):
    """A reader who has a server running in one terminal and a browser open beside it."""

    def __init__(self, folder: Path, wheel: Path, window: BrowserContext) -> None:
        self.port = free_port()
        super().__init__(
            folder,
            {"/path/to/bindserver": str(wheel), "localhost:8000": f"127.0.0.1:{self.port}"},
        )
        self.window = window
        self.server: Process | None = None
        self._runs = 0

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/"

    def follow(self, step: Step) -> None:
        """Do what one block says; output that is shown must be what came."""
        if step.language == "console":
            for command in step.commands:
                self.serve() if command == SERVE else self.run(command)
        elif step.language == "text":
            assert self.server is not None
            expected = step.text.replace("localhost:8000", f"localhost:{self.port}")
            assert self.server.log.startswith(expected)
        else:
            assert self.write(step), step.words

    def serve(self) -> None:
        """Start the server as the page says, on a port that is free."""
        self._runs += 1
        self.server = Process(
            ["bash", "-c", f"exec {SERVE} --port {self.port}"],
            port=self.port,
            env={**self.env, "PYTHONUNBUFFERED": "1"},
            cwd=self.folder,
            log=self.folder / f"server{self._runs}.log",
        ).start()

    def stop(self) -> None:
        """Press Ctrl-C."""
        assert self.server is not None
        assert self.server.interrupt() == 0
        assert "Traceback" not in self.server.log

    def open(self, path: str = "") -> Page:
        page = self.window.new_page()
        page.goto(self.url + path)
        return page


def photograph(page: Page, name: str) -> None:
    """Take the page's picture, if pictures are wanted."""
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


@pytest.fixture
def window(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport={"width": 860, "height": 420})
    context.set_default_timeout(15_000)
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    yield context
    context.close()
    assert errors == []


@pytest.fixture
def follower(tmp_path: Path, wheel: Path, window: BrowserContext) -> Iterator[Follower]:
    follower = Follower(tmp_path, wheel, window)
    yield follower
    if follower.server is not None:
        follower.server.kill()


def dishes(board: Page) -> list[str]:
    found: list[str] = board.locator("#board li").all_inner_texts()
    return [" ".join(text.split()) for text in found]


def test_following_the_tutorial_gives_a_live_page(follower: Follower) -> None:
    todo = list(steps(PAGE))
    until = follow_to(follower, todo, SERVE)
    board = follower.open()
    expect(board.locator("#count")).to_have_text("0")
    use_the_admin(follower, board)
    until = follow_to(follower, until, "curl ")
    assert get(follower.url + "bindings/orders/")[1].count('"dish"') == 2
    rows = follower.open("bindings/orders/").locator("body")
    expect(rows).to_contain_text('"dish":"Omelette"')  # a browser asks for HTML, and DRF is no app
    follower.stop()
    until = follow_to(follower, until, SERVE)
    expect(board.locator("#count")).to_have_text("2")
    assert follower.server is not None
    assert "change log, every committed write is seen" in follower.server.log
    until = follow_to(follower, until, "sqlite3")
    expect(board.locator("#board")).to_contain_text("TARTE AUX POMMES")
    photograph(board, "tutorial-sql")
    assert [step.text for step in until] == []
    come_back(follower, board)


def follow_to(follower: Follower, todo: list[Step], command: str) -> list[Step]:
    """Follow the page down to the block with a command and any output; return what is left."""
    for number, step in enumerate(todo):
        follower.follow(step)
        if any(command in line for line in step.commands):
            rest = todo[number + 1 :]
            while rest and rest[0].language == "text":
                follower.follow(rest.pop(0))
            return rest
    raise AssertionError(f"the page does not say {command}")


def use_the_admin(follower: Follower, board: Page) -> None:
    """Add orders, and tick one as ready, with the board open beside."""
    admin = follower.open("admin/")
    admin.get_by_label("Username").fill("ana")
    admin.get_by_label("Password").fill("espresso!")
    admin.get_by_role("button", name="Log in").click()
    for table, dish in enumerate(["Croque monsieur", "Soup of the day", "Omelette"], start=4):
        admin.goto(follower.url + "admin/orders/order/add/")
        admin.get_by_label("Table").fill(str(table))
        admin.get_by_label("Dish").fill(dish)
        admin.get_by_role("button", name="Save", exact=True).click()
        expect(board.locator("#board")).to_contain_text(dish)
        expect(admin.locator(".messagelist .success")).to_contain_text("added successfully")
    expect(board.locator("#count")).to_have_text("3")
    assert dishes(board) == [
        "Table 4 Croque monsieur",
        "Table 5 Soup of the day",
        "Table 6 Omelette",
    ]
    photograph(board, "tutorial-board")
    admin.goto(follower.url + "admin/orders/order/")
    admin.get_by_role("row", name="Soup of the day").get_by_role("checkbox").last.check()
    photograph(admin, "tutorial-admin")
    admin.get_by_role("button", name="Save", exact=True).click()
    expect(board.locator("#count")).to_have_text("2")
    assert "Table 5 Soup of the day" not in dishes(board)
    expect(admin.locator(".messagelist .success")).to_contain_text("changed successfully")
    admin.close()  # the server is stopped soon, and a page that is still loading raises errors


def come_back(follower: Follower, board: Page) -> None:
    """Stop the server, write something meanwhile, start it again."""
    follower.stop()
    follower.run(
        'python manage.py shell -c "from orders.models import Order; '
        "Order.objects.create(table=1, dish='Mint tea')\""
    )
    follower.serve()
    expect(board.locator("#board")).to_contain_text("Mint tea", timeout=30_000)


def test_the_readme_s_five_lines_are_the_tutorial_s() -> None:
    readme, tutorial = (path.read_text() for path in (ROOT / "README.md", PAGE))
    for line in (
        '"bindserver"',
        'path("bindings/", include("bindserver.urls"))',
        "application = bindserver.asgi.wrap(get_asgi_application())",
        "from bindserver import Binding",
        '<script src="{% static "bindserver/io.js" %}"></script>',
    ):
        assert line in readme
        assert line in tutorial
