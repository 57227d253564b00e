"""Who may read metrics: nobody, unless a setting says so."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

import bindserver
from bindserver.conf import conf
from tests.unit.test_asgi import Recorder, drive

TOKEN = "a-long-secret-that-prometheus-has"
BEARER = (b"authorization", f"Bearer {TOKEN}".encode())


async def ask(settings: dict[str, Any], *headers: tuple[bytes, bytes], client: Any) -> object:
    """Return how a request for metrics is answered; "project" where the project is asked."""
    project = Recorder()
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/metrics",
        "headers": headers,
        "client": client,
    }
    with override_settings(BINDSERVER=settings):
        sent = await drive(bindserver.asgi.wrap(project), scope)
    return sent[0]["status"] if sent else "project"


@pytest.mark.parametrize("settings", [{}, {"METRICS_ALLOW": []}, {"METRICS_TOKEN": None}])
async def test_nobody_by_default_and_the_path_is_the_project_s(settings: dict[str, Any]) -> None:
    assert await ask(settings, client=("127.0.0.1", 5)) == "project"


@pytest.mark.parametrize(
    ("client", "status"),
    [
        (("10.1.2.3", 5), 200),
        (("::ffff:10.1.2.3", 5), 200),
        (("11.1.2.3", 5), 403),
        (("2001:db8::1", 5), 200),
        (("", 0), 403),
        (None, 403),
    ],
)
async def test_addresses_that_are_listed(client: Any, status: int) -> None:
    settings = {"METRICS_ALLOW": ["10.0.0.0/8", "2001:db8::/32"]}
    assert await ask(settings, client=client) == status


@pytest.mark.parametrize(
    "header",
    [
        (b"x-forwarded-for", b"203.0.113.9"),
        (b"x-forwarded-for", b"10.1.2.3, 203.0.113.9"),
        (b"x-forwarded-for", b"unknown"),
        (b"forwarded", b"for=203.0.113.9"),
    ],
)
async def test_not_the_world_through_a_proxy_that_is_listed(header: tuple[bytes, bytes]) -> None:
    settings = {"METRICS_ALLOW": ["10.0.0.0/8"]}
    assert await ask(settings, header, client=("10.0.0.1", 5)) == 403
    inner = (b"x-forwarded-for", b"10.1.2.3")
    assert await ask(settings, inner, client=("10.0.0.1", 5)) == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 403),
        ([BEARER], 200),
        ([(b"authorization", b"bearer " + TOKEN.encode())], 200),
        ([(b"authorization", b"Bearer wrong")], 403),
        ([(b"authorization", b"Bearer \xff")], 403),
        ([(b"authorization", TOKEN.encode())], 403),
        ([BEARER, BEARER], 403),
    ],
)
async def test_whoever_has_the_token(headers: list[tuple[bytes, bytes]], status: int) -> None:
    assert await ask({"METRICS_TOKEN": TOKEN}, *headers, client=None) == status


async def test_both_count_where_both_are_set() -> None:
    settings = {"METRICS_TOKEN": TOKEN, "METRICS_ALLOW": ["10.0.0.0/8"]}
    assert await ask(settings, BEARER, client=("10.1.2.3", 5)) == 200
    assert await ask(settings, BEARER, client=("11.1.2.3", 5)) == 403
    assert await ask(settings, client=("10.1.2.3", 5)) == 403


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"METRICS_ALLOW": "127.0.0.1"}, "a list of addresses"),
        ({"METRICS_ALLOW": ["10.0.0.1/8"]}, "has host bits set"),
        ({"METRICS_ALLOW": ["localhost"]}, "does not appear to be"),
        ({"METRICS_TOKEN": "short"}, "16 ASCII characters or more"),
        ({"METRICS_FOLDER": "/no/such/folder"}, "a folder that is there"),
        ({"TRACING": "yes"}, "True or False"),
    ],
)
def test_a_wrong_setting_is_told(settings: dict[str, Any], problem: str) -> None:
    with override_settings(BINDSERVER=settings):
        (told,) = conf.problems()
    assert problem in told
