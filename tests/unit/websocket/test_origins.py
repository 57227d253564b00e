"""Which pages may connect, as the handshake's headers say whose they are."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from bindserver.checks.project import check_settings
from bindserver.websocket.origins import origin_allowed


def allowed(origin: str | None, host: str = "live.example", **setting: Any) -> bool:
    headers = [(b"host", host.encode("latin-1"))]
    if origin is not None:
        headers.append((b"origin", origin.encode("latin-1")))
    hosts = ["live.example", ".sub.example", "[::1]", "127.0.0.1", "xn--bcher-kva.example"]
    with override_settings(ALLOWED_HOSTS=hosts, BINDSERVER=setting):
        return origin_allowed({"headers": headers})


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://live.example", "live.example"),
        ("https://live.example", "live.example"),
        ("http://Live.Example", "live.example"),
        ("HTTP://live.example", "LIVE.example"),
        ("http://live.example:80", "live.example"),
        ("http://live.example", "live.example:80"),
        ("http://Live.Example:80", "live.example"),
        ("https://live.example:443", "live.example"),
        ("https://live.example", "live.example:443"),
        ("https://live.example:8443", "live.example:8443"),
        ("http://live.example:443", "live.example:443"),
        ("http://live.example.", "live.example."),
        ("http://a.sub.example", "A.sub.example"),
        ("http://[::1]", "[::1]"),
        ("http://[::1]:80", "[::1]"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("https://xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("https://XN--BCHER-KVA.example:443", "xn--bcher-kva.example"),
    ],
)
def test_a_page_of_the_host_that_is_asked_is_welcome(origin: str, host: str) -> None:
    assert allowed(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example", "live.example"),
        ("http://live.example", "live.example:8000"),
        ("http://live.example:8000", "live.example"),
        ("http://live.example:443", "live.example"),
        ("https://live.example:80", "live.example"),
        ("http://live.example", "live.example:443"),
        ("http://live.example:8080", "live.example"),
        ("http://live.example.evil.example", "live.example"),
        ("http://evil-live.example", "live.example"),
        ("http://sub.live.example", "live.example"),
        ("http://live.example.", "live.example"),
        ("http://user@live.example", "live.example"),
        ("http://live.example@evil.example", "live.example"),
        ("http://evil.example", "evil.example"),
        ("live.example", "live.example"),
        ("null", "live.example"),
        ("null", ""),
        ("", ""),
        ("http://", ""),
        ("http://[", "["),
        ("http://[::2]", "[::1]"),
        ("http://[::80", "[:"),
        ("file://", "live.example"),
        ("http://live.example http://evil.example", "live.example"),
        ("http://b\xfccher.example", "xn--bcher-kva.example"),
    ],
)
def test_a_page_of_elsewhere_is_not(origin: str, host: str) -> None:
    assert not allowed(origin, host)


def test_a_program_comes_from_no_page() -> None:
    assert allowed(None)
    assert allowed(None, ORIGINS=["https://shop.example"])


NAMED = [
    "https://Shop.example:443",
    "http://plain.example",
    "https://bücher.example",
    "http://[2001:DB8::1]:8000",
    "capacitor://localhost",
    "null",
]


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example",
        "https://SHOP.example:443",
        "http://plain.example:80",
        "https://xn--bcher-kva.example",
        "http://[2001:db8::1]:8000",
        "capacitor://localhost",
        "null",
    ],
)
def test_an_origin_that_is_named_is_welcome_however_it_is_written(origin: str) -> None:
    assert allowed(origin, ORIGINS=NAMED)


@pytest.mark.parametrize(
    "origin",
    [
        "http://shop.example",
        "https://shop.example:80",
        "https://shop.example:8443",
        "http://plain.example:443",
        "https://plain.example",
        "https://shop.example/",
        "https://www.shop.example",
        "https://live.example",
        "ionic://localhost",
        "",
        "https://",
        "*",
    ],
)
def test_one_that_is_not_named_is_refused_though_it_is_of_our_host(origin: str) -> None:
    assert not allowed(origin, ORIGINS=NAMED)


def test_no_origin_named_means_no_page() -> None:
    assert not allowed("http://live.example", ORIGINS=[])


@pytest.mark.parametrize(
    "named", ["*", "https://*.shop.example", "shop.example", "https://shop.example/", "https://"]
)
def test_what_no_page_s_origin_equals_is_told_before_the_start(named: str) -> None:
    with override_settings(BINDSERVER={"ORIGINS": ["https://a.example", named]}):
        (problem,) = check_settings()
    assert problem.id == "bindserver.E001"
    assert repr(named) in problem.msg


def test_origins_of_every_kind_may_be_named() -> None:
    with override_settings(BINDSERVER={"ORIGINS": NAMED}):
        assert check_settings() == []
