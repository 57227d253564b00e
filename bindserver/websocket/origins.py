"""Which pages may connect: a WebSocket carries the visitor's cookies whoever has opened it."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest

from bindserver.clients.handshake import request_of
from bindserver.conf import conf

DEFAULT_PORTS = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}

SHOWN = 200
"""So much of what a stranger says is put into the log."""


def origin_allowed(scope: Any) -> bool:
    """Return whether a page of the connection's origin may connect.

    With ORIGINS set, its origins may; without, only pages of the very scheme and host that are
    asked, as Django takes them where it looks at the origin of a form (`CsrfViewMiddleware`).
    CSRF_TRUSTED_ORIGINS may not: these pages may write, and not read. Letters' case and a scheme's
    default port make no difference. A connection without an Origin header comes from no page.

    Args:
        scope: the connection's.
    """
    request = request_of(scope)
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    if conf.ORIGINS is not None:
        return _normal(origin) in {_normal(_in_ascii(item)) for item in conf.ORIGINS}
    own = _origin_asked(request)
    return own is not None and _normal(origin) == _normal(own)


def why_refused(scope: Any) -> str:
    """Return why a connection's origin may not connect, and what to write if it should.

    Args:
        scope: the connection's, which `origin_allowed` has refused.
    """
    request = request_of(scope)
    origin = request.headers.get("Origin", "")
    said = f"its origin {origin[:SHOWN]!r}"
    if conf.ORIGINS is not None:
        return f'BINDSERVER["ORIGINS"] does not list {said}'
    own = _origin_asked(request)
    if own is not None and _place(origin) == _place(own):
        return (
            f"{said} is not {own[:SHOWN]!r}, as which it has asked: if a proxy ends TLS, have it "
            "say so, in X-Forwarded-Proto or as SECURE_PROXY_SSL_HEADER says; "
            'BINDSERVER["ORIGINS"] may list origins'
        )
    host = request.headers.get("Host", "")[:SHOWN]
    return (
        f"{said} is not the host asked for, {host!r}, or ALLOWED_HOSTS has not that "
        'host; BINDSERVER["ORIGINS"] may list origins'
    )


def _origin_asked(request: HttpRequest) -> str | None:
    """Return the origin of the server's own pages, as a handshake asks for it; None where it asks
    for a host that is not ours: that may be a stranger's name for our address (DNS rebinding)."""
    try:
        return f"{request.scheme}://{request.get_host()}"
    except DisallowedHost:
        return None


def _normal(origin: str) -> str:
    """Return an origin as browsers write it, by which two that are one are equal."""
    scheme, mark, place = origin.lower().partition("://")
    return f"{scheme}{mark}{place.removesuffix(DEFAULT_PORTS.get(scheme, ''))}"


def _place(origin: str) -> str:
    """Return an origin without its scheme."""
    return _normal(origin).partition("://")[2]


def _in_ascii(origin: str) -> str:
    """Return an origin of the setting's as it travels: browsers write other letters in punycode."""
    scheme, mark, place = origin.partition("://")
    try:
        return origin if place.isascii() else f"{scheme}{mark}{place.encode('idna').decode()}"
    except UnicodeError:
        return origin  # no host's name: it equals none
