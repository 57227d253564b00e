"""What a system check refuses is served by nobody, however the server was started."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import Error
from django.core.checks.registry import registry as django_checks
from django.test import override_settings
from django.utils.asyncio import async_unsafe

from bindserver import (
    Binding,
    BoundModelViewSet,
    BoundWebsocketView,
    WebsocketBinding,
)
from bindserver.bindings.registry import registry
from bindserver.checks import TAG
from bindserver.checks.soundness import soundness
from bindserver.exceptions import BindingError, Unsound
from bindserver.hub.hub import hub
from bindserver.hub.reader import keep_hearers
from bindserver.testing import Live
from tests.app.models import Product
from tests.servers.test_servers import MANAGE, environment, ws
from tests.support.logs import logged
from tests.support.process import Process
from tests.support.server import ROOT, free_port
from tests.support.talk import talking

DOCUMENTED = set(re.findall(r"bindserver\.(E\d+)", (ROOT / "docs/checks.md").read_text()))
OF_PROJECT = {
    "E001": {"BINDSERVER": '{"NONSENSE": 1}'},
    "E021": {"DJANGO_SETTINGS_MODULE": "tests.projects.unsound.without_users"},
}
"""What is wrong with the project around, and so with every binding of it."""

OF_DATABASE = {"E052"}
"""What only a database can tell, which servers ask as they read: `test_row_security.py`."""

OF_BINDING = sorted(DOCUMENTED - set(OF_PROJECT) - OF_DATABASE)
NO_VIEWSET = {"E002", "E004"}
"""Two bindings have one id, and one has no model, so that no viewset can be made of it."""

SERVERS = {
    "uvicorn": [sys.executable, "-m", "uvicorn", "tests.asgi:application", "--port", "PORT"],
    "daphne": [sys.executable, "-m", "daphne", "tests.asgi:application", "--port", "PORT"],
    "gunicorn": [
        *(sys.executable, "-m", "gunicorn", "tests.asgi:application", "--bind", "127.0.0.1:PORT"),
        *("--worker-class", "uvicorn_worker.UvicornWorker"),
    ],
    "manage.py --skip-checks": [*MANAGE, "--skip-checks", "--port", "PORT"],
}


def server_of(command: list[str], folder: Path, template: Path, **env: str) -> Process:
    """Return a server of the project whose bindings are declared wrongly, not started yet."""
    port = free_port()
    database = Path(shutil.copy(template, folder / "db.sqlite3"))
    more = {"DJANGO_SETTINGS_MODULE": "tests.projects.unsound.settings", **env}
    return Process(
        [part.replace("PORT", str(port)) for part in command],
        port=port,
        env=environment(database, **more),
        cwd=ROOT,
        log=folder / "log",
    )


@pytest.fixture(scope="module", params=SERVERS)
def served(
    request: pytest.FixtureRequest,
    template: dict[bool, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("unsound")
    process = server_of(SERVERS[request.param], folder, template[True])
    try:
        yield process.start()
    finally:
        process.kill()


def event_of(check: str) -> str:
    return "e003/" if check == "E003" else check.lower()


def assert_logged(detail: str, check: str, log: str) -> None:
    """The subscriber has a reference, and the log has the reason by it, once."""
    found = re.fullmatch(r"the server refuses to serve this binding; reference (\w{8})", detail)
    assert found is not None, detail
    [line] = [line for line in log.splitlines() if found[1] in line]
    assert f"(bindserver.{check})" in line
    assert "is not served" in line or "no binding is served" in line


@pytest.mark.parametrize("check", OF_BINDING)
async def test_a_subscriber_is_refused_at_once(check: str, served: Process) -> None:
    async with talking(ws(served)) as talk:
        for _ in range(2):
            await talk.say(event_of(check), ref=1)
            data = await talk.hear_data(event_of(check))
            assert (data["action"], data["payload"]["code"]) == ("error", "internal")
            assert_logged(data["payload"]["detail"], check, served.log)


@pytest.mark.parametrize("check", sorted(set(OF_BINDING) - {"E003"}))
async def test_a_snapshot_is_refused(check: str, served: Process) -> None:
    status, text = await asyncio.to_thread(served.get, f"bindings/{event_of(check)}/")
    assert status == 500
    assert_logged(json.loads(text)["detail"], check, served.log)


@pytest.mark.parametrize("check", sorted(set(OF_BINDING) - NO_VIEWSET))
async def test_a_viewset_refuses(check: str, served: Process) -> None:
    status, text = await asyncio.to_thread(served.get, f"viewsets/{check.lower()}/")
    assert status == 500
    assert_logged(json.loads(text)["detail"], check, served.log)


async def test_the_others_go_on_and_are_alone_in_the_list(served: Process) -> None:
    async with talking(ws(served)) as talk:
        assert (await talk.follow("good")).replica.rows == []
    _, text = await asyncio.to_thread(served.get, "bindings/")
    events = {entry["event"] for entry in json.loads(text)}
    assert {"good", "products"} <= events
    assert not events & {event_of(check) for check in DOCUMENTED}


@pytest.mark.parametrize("mistake", OF_PROJECT)
@pytest.mark.parametrize("server", ["uvicorn", "manage.py --skip-checks"])
def test_a_project_with_an_error_is_not_served(
    mistake: str, server: str, tmp_path: Path, template: dict[bool, Path]
) -> None:
    process = server_of(SERVERS[server], tmp_path, template[True], **OF_PROJECT[mistake])
    with pytest.raises(RuntimeError, match=rf"bindserver\.{mistake}"):
        process.start()


async def test_without_a_lifespan_a_project_with_an_error_serves_no_binding(
    tmp_path: Path, template: dict[bool, Path]
) -> None:
    process = server_of(SERVERS["daphne"], tmp_path, template[True], **OF_PROJECT["E001"])
    try:
        process.start()
        async with talking(ws(process)) as talk:
            await talk.say("good")
            data = await talk.hear_data("good")
            assert_logged(data["payload"]["detail"], "E001", process.log)
        status, _ = await asyncio.to_thread(process.get, "bindings/good/")
        assert status == 500
    finally:
        process.kill()


# In this process.


@pytest.fixture(autouse=True)
def known_bindings() -> Iterator[None]:
    before = list(registry._classes)
    soundness.forget()  # names are used again
    yield
    soundness.forget()
    hub.stop()
    registry._classes[:] = before


def test_in_debug_mode_the_subscriber_is_told_the_reason() -> None:
    binding = type("Loose", (Binding,), {"model": Product, "event": "loose"})
    with override_settings(DEBUG=True), pytest.raises(Unsound, match=r"E008.*Write `fields"):
        registry.get("loose")
    with pytest.raises(Unsound, match=r"reference \w{8}$"):
        registry.judge(binding)


def test_a_test_is_told_the_reason() -> None:
    binding = type("Loose", (Binding,), {"model": Product, "event": "loose"})
    with pytest.raises(BindingError, match="E008"):
        Live().subscribe(binding)


def test_a_refusal_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    type("Loose", (Binding,), {"model": Product, "event": "loose"})
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert "loose" not in {binding.event for binding in registry.served()}
            with pytest.raises(Unsound):
                registry.get("loose")
    assert len(logged(caplog)) == 1


def test_a_view_of_a_binding_without_fields_is_refused() -> None:
    body = {"event": "loose", "binding": Binding(model=Product)}
    type("LooseView", (BoundWebsocketView,), body)
    with pytest.raises(Unsound):
        registry.get("loose")


def test_what_another_check_says_of_one_binding_refuses_that_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accused = type("Accused", (Good,), {"event": "accused"})
    type("Neighbour", (Good,), {"event": "neighbour"})

    def accuse(**_: Any) -> list[Error]:
        return [Error("It is accused.", obj=accused, id="shop.E001")]

    known = {*django_checks.registered_checks}
    monkeypatch.setattr(django_checks, "registered_checks", known)
    django_checks.register(accuse, TAG)
    with pytest.raises(Unsound):
        registry.get("accused")
    assert registry.get("neighbour").event == "neighbour"


def test_groups_are_told_no_rows_of_a_binding_without_fields(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(hub, "keep", kept.append)
    loose = type("Loose", (WebsocketBinding,), {"model": Product, "group": "loose"})
    body = {"model": Product, "group": "tight", "fields": ["id"]}
    tight = type("Tight", (WebsocketBinding,), body)
    keep_hearers()
    assert not [binding for binding in kept if type(binding) is loose]
    assert [binding for binding in kept if type(binding) is tight]


def test_no_fields_are_no_fields() -> None:
    class Bare(Binding[Product]):
        model = Product
        fields = ()

    serializer: Any = Bare().get_serializer_class()()
    assert not serializer.fields


class Undecided(Binding[Product]):
    """Says what some may see, and falls back to nothing."""

    model = Product

    def get_serializer_class(self) -> Any:
        return super().get_serializer_class()


@pytest.mark.django_db
def test_what_a_method_leaves_unsaid_is_sent_to_nobody(rf: Any) -> None:
    Product.objects.create(name="pen")
    published = type("Published", (Undecided,), {"event": "undecided"})
    view: Any = type("Chooses", (BoundWebsocketView,), {"event": "chosen", "binding": Good()})
    view.get_binding = lambda self: Undecided()
    chooses = type("ChoosesToo", (view,), {"event": "chosen too"})
    for wanted in (published, chooses):
        with pytest.raises(BindingError, match="does not say which fields"):
            Live().subscribe(wanted)
    viewset: Any = type("UndecidedViewSet", (BoundModelViewSet,), {"binding": Undecided})
    with pytest.raises(AssertionError, match="Name a `serializer_class`"):
        viewset.as_view({"get": "list"})(rf.get("/"))
    assert [product.name for product in Undecided().all()] == ["pen"]


class Good(Binding[Product]):
    model = Product
    fields = ("id",)


async def test_a_check_that_reads_the_database_may_be_run_on_an_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from bindserver.checks import bindings

    @async_unsafe  # as every query is
    def reads(binding: Any) -> tuple[()]:
        return ()

    monkeypatch.setattr(bindings, "CHECKS", (reads,))
    type("Fine", (Binding,), {"model": Product, "event": "fine"})
    assert registry.get("fine").event == "fine"


def test_warnings_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with override_settings(CHANNEL_LAYERS={}), caplog.at_level(logging.WARNING):
        body = {"model": Product, "event": "good", "fields": ["id"], "groups": ["goods"]}
        type("Grouped", (Binding,), body)
        assert soundness.begin() == []
        assert soundness.begin() == []
    assert ["bindserver.W030" in text for text in caplog.messages].count(True) == 1


def test_every_check_of_a_binding_is_tried_under_every_server() -> None:
    declared = (ROOT / "tests/projects/unsound/bindings.py").read_text()
    events = set(re.findall(r'event = "(e[^"]+)"', declared))
    assert {event_of(check) for check in OF_BINDING} == events
