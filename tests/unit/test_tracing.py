"""Spans of turns, loads and handshakes, where they are wanted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import bindserver
from bindserver.cycle.inbox import Caller
from bindserver.hub.hub import hub
from bindserver.tracing import NOTHING, span
from tests.app.bindings import TagBinding
from tests.app.models import Tag
from tests.support.server import ROOT
from tests.unit.test_asgi import drive

exporter = InMemorySpanExporter()


@pytest.fixture(scope="module", autouse=True)
def provider() -> None:
    """Have this process's spans kept; a provider is set once for a process."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


@pytest.fixture(autouse=True)
def wanted() -> Iterator[None]:
    exporter.clear()
    with override_settings(BINDSERVER={"TRACING": True}):
        yield


def found(name: str) -> list[Any]:
    return [one for one in exporter.get_finished_spans() if one.name == name]


def test_a_block_is_a_span_with_what_was_said_of_it() -> None:
    with span("bindserver.turn", {"bindserver.database": "default"}) as here:
        here.set_attribute("bindserver.requests", 3)
    (told,) = found("bindserver.turn")
    assert dict(told.attributes) == {"bindserver.database": "default", "bindserver.requests": 3}
    assert told.instrumentation_scope.name == "bindserver"


def test_a_failure_is_told_by_its_class_and_not_by_its_text() -> None:
    with pytest.raises(ValueError, match="ann"), span("bindserver.turn"):
        raise ValueError("the row of ann@example.com")
    (told,) = found("bindserver.turn")
    assert dict(told.attributes) == {"error.type": "ValueError"}
    assert not told.status.is_ok
    assert "ann" not in told.to_json()


def test_without_the_setting_there_is_no_span() -> None:
    with override_settings(BINDSERVER={}):
        assert span("bindserver.turn") is NOTHING
        with span("bindserver.turn") as here:
            here.set_attribute("bindserver.requests", 3)
    assert exporter.get_finished_spans() == ()


@pytest.mark.slow
@pytest.mark.parametrize("package", ["opentelemetry", "prometheus_client"])
def test_without_the_settings_nothing_is_imported(package: str) -> None:
    code = (
        "import sys, tests.asgi; from bindserver.tracing import span\n"
        "with span('bindserver.turn'): pass\n"
        f"sys.exit({package!r} in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_turn_and_a_big_load_are_spans(database: Path) -> None:
    Tag.objects.bulk_create(Tag(id=number, name="ann") for number in range(1, 6))
    with override_settings(BINDSERVER={"TRACING": True, "SYNC_ROWS": 2}):
        hub.snapshot(TagBinding, Caller(), {}).result(60)
        hub.stop()
    turns, (load, *_) = found("bindserver.turn"), found("bindserver.load")
    assert {one.attributes["bindserver.database"] for one in turns} == {"default"}
    assert turns[0].attributes["bindserver.requests"] == 1
    assert dict(load.attributes) == {
        "bindserver.database": "default",
        "bindserver.event": "tags",
        "bindserver.views": 1,
    }
    assert not any("ann" in one.to_json() for one in exporter.get_finished_spans())


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ([], {}),
        ([(b"origin", b"https://evil.example")], {"bindserver.close_code": 4403}),
    ],
)
async def test_a_handshake_is_a_span(
    database: Path, headers: list[tuple[bytes, bytes]], told: dict[str, object]
) -> None:
    scope = {
        "type": "websocket",
        "path": "/ws/",
        "headers": [(b"host", b"live.example"), *headers],
        "client": ("203.0.113.9", 5),
    }
    events = {"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}
    await drive(bindserver.asgi.wrap(None), scope, *events)
    (span,) = found("bindserver.handshake")
    assert dict(span.attributes) == {"bindserver.transport": "websocket", **told}
    assert "203.0.113.9" not in span.to_json()
