"""Which pages may connect: a WebSocket carries the visitor's cookies whoever has opened it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from bindserver.conf import conf

LOCAL_HOSTS = [".localhost", "127.0.0.1", "[::1]"]
"""What Django serves in debug mode when ALLOWED_HOSTS is empty."""

DEFAULT_PORTS = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}


def origin_allowed(scope: Any) -> bool:
    """Return whether a page of the connection's origin may connect.

    With ORIGINS set, its origins may; without, only pages of the very host that is asked. Letters'
    case and a scheme's default port make no difference. A connection without an Origin header
    comes from no page.

    Args:
        scope: the connection's.
    """
    headers = dict(scope.get("headers") or ())
    if b"origin" not in headers:
        return True
    origin = headers[b"origin"].decode("latin-1")
    if conf.ORIGINS is not None:
        return _normal(origin) in {_normal(item) for item in conf.ORIGINS}
    return _is_of_host(origin, headers.get(b"host", b"").decode("latin-1"))


def why_refused(scope: Any) -> str:
    """Return why a connection's origin may not connect, and what to write if it should.

    Args:
        scope: the connection's, which `origin_allowed` has refused.
    """
    headers = dict(scope.get("headers") or ())
    origin, host = (headers.get(name, b"").decode("latin-1")[:200] for name in (b"origin", b"host"))
    if conf.ORIGINS is not None:
        return f'BINDSERVER["ORIGINS"] does not list its origin {origin!r}'
    return (
        f"its origin {origin!r} is not the host asked for, {host!r}, or ALLOWED_HOSTS has not that "
        'host; BINDSERVER["ORIGINS"] may list origins'
    )


def _is_of_host(origin: str, host: str) -> bool:
    try:
        page = urlsplit(origin.lower())
    except ValueError:
        return False
    port = DEFAULT_PORTS.get(page.scheme, "")
    if not page.netloc or page.netloc.removesuffix(port) != host.lower().removesuffix(port):
        return False
    # A host that is not ours may be a stranger's name for our address (DNS rebinding).
    allowed = settings.ALLOWED_HOSTS or (LOCAL_HOSTS if settings.DEBUG else [])
    return validate_host(split_domain_port(host)[0], allowed)


def _normal(origin: str) -> str:
    """Return an origin as browsers write it, by which two that are one are equal."""
    scheme, mark, place = origin.lower().partition("://")
    return f"{scheme}{mark}{_in_ascii(place).removesuffix(DEFAULT_PORTS.get(scheme, ''))}"


def _in_ascii(place: str) -> str:
    """Return a host of a setting's as it travels: browsers write other letters in punycode."""
    try:
        return place if place.isascii() else place.encode("idna").decode("ascii")
    except UnicodeError:
        return place  # no host's name: it equals none
