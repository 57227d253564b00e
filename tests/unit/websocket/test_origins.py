"""Which pages may connect, as the handshake's headers say whose they are."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from bindserver.checks.project import check_settings
from bindserver.websocket.origins import origin_allowed, why_refused

HOSTS = ["live.example", ".sub.example", "[::1]", "127.0.0.1", "xn--bcher-kva.example"]


def scope_of(origin: str, host: str = "live.example", scheme: str = "ws", **more: str) -> Any:
    """Return the scope of a page's handshake; more headers have underscores for hyphens."""
    headers = {"host": host, "origin": origin}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "websocket", "scheme": scheme, "headers": encoded}


def allowed(origin: str | None, host: str = "live.example", **setting: Any) -> bool:
    """Return whether a page may connect, by a connection that is as safe as the page."""
    scope = scope_of(origin or "", host, "wss" if f"{origin}".startswith("https:") else "ws")
    if origin is None:
        scope["headers"] = scope["headers"][:1]
    with override_settings(ALLOWED_HOSTS=HOSTS, BINDSERVER=setting):
        return origin_allowed(scope)


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


PROXIED = ("HTTP_X_FORWARDED_PROTO", "https")
OURS: dict[str, Any] = {"ALLOWED_HOSTS": HOSTS, "BINDSERVER": {}}


@override_settings(**OURS)
@pytest.mark.parametrize("host", ["live.example", "live.example:443", "live.example:80", "[::1]"])
def test_a_page_that_came_by_another_scheme_is_of_elsewhere(host: str) -> None:
    assert not origin_allowed(scope_of(f"http://{host}", host, "wss"))
    assert not origin_allowed(scope_of(f"https://{host}", host, "ws"))


@override_settings(**OURS)
def test_a_server_that_says_no_scheme_means_the_unsafe_one() -> None:
    for origin, welcome in (("http://live.example", True), ("https://live.example", False)):
        scope = scope_of(origin)
        del scope["scheme"]
        assert origin_allowed(scope) is welcome


@override_settings(**OURS, SECURE_PROXY_SSL_HEADER=PROXIED)
def test_the_scheme_is_the_one_that_the_proxy_says_where_django_believes_it() -> None:
    for said, welcome in (("https", "https"), ("http", "http"), ("https, http", "https")):
        for scheme in ("http", "https"):
            scope = scope_of(f"{scheme}://live.example", x_forwarded_proto=said)
            assert origin_allowed(scope) is (scheme == welcome), (said, scheme)


@override_settings(**OURS)
def test_what_a_proxy_says_counts_for_nothing_where_django_does_not_believe_it() -> None:
    proxied = {"x_forwarded_proto": "https", "x_forwarded_host": "evil.example"}
    assert origin_allowed(scope_of("http://live.example", **proxied))
    assert not origin_allowed(scope_of("https://live.example", **proxied))
    assert not origin_allowed(scope_of("http://evil.example", **proxied))


@override_settings(**OURS, USE_X_FORWARDED_HOST=True)
def test_the_host_is_the_one_that_the_proxy_says_where_django_believes_it() -> None:
    assert origin_allowed(scope_of("http://a.sub.example", x_forwarded_host="a.sub.example"))
    assert not origin_allowed(scope_of("http://live.example", x_forwarded_host="a.sub.example"))
    assert not origin_allowed(scope_of("http://evil.example", x_forwarded_host="evil.example"))


@override_settings(**OURS, SECURE_PROXY_SSL_HEADER=PROXIED, USE_X_FORWARDED_HOST=True)
def test_a_header_with_an_underscore_is_none() -> None:
    scope = scope_of("https://a.sub.example")
    scope["headers"] += [(b"x_forwarded_proto", b"https"), (b"x_forwarded_host", b"a.sub.example")]
    assert not origin_allowed(scope)
    origin = scope_of("http://evil.example")
    origin["headers"].append((b"_origin", b"http://live.example"))
    assert not origin_allowed(origin)


@override_settings(**OURS)
def test_two_origins_are_none_of_ours() -> None:
    scope = scope_of("http://live.example")
    scope["headers"].append((b"origin", b"http://live.example"))
    assert not origin_allowed(scope)


@override_settings(**OURS, CSRF_TRUSTED_ORIGINS=["https://partner.example"])
def test_who_may_send_forms_may_not_read_for_that() -> None:
    assert not origin_allowed(scope_of("https://partner.example", scheme="wss"))


@override_settings(**OURS)
def test_a_page_of_another_scheme_is_told_apart_in_the_log() -> None:
    told = why_refused(scope_of("https://live.example"))
    assert told.startswith("its origin 'https://live.example' is not 'http://live.example'")
    assert "SECURE_PROXY_SSL_HEADER" in told
    assert "SECURE_PROXY_SSL_HEADER" not in why_refused(scope_of("http://evil.example"))


@override_settings(**OURS)
def test_a_refused_page_writes_no_lines_of_its_own_into_the_log() -> None:
    told = why_refused(scope_of("http://evil.example\nbindserver: all is well" + "x" * 5000))
    assert "\n" not in told
    assert len(told) < 600


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
