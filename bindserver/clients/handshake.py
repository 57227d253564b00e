"""A handshake as Django sees a request: its headers, host and scheme, by Django's own rules."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

SCHEMES = {"ws": "http", "wss": "https"}


def request_of(scope: Mapping[str, Any]) -> HttpRequest:
    """Return the request that opened a connection.

    Django's own class reads it, so a header whose name has an underscore is none: it could pass for
    the one with hyphens that a proxy sets. A header that came twice has both values.

    Args:
        scope: the connection's.
    """
    query = scope.get("query_string", b"")
    return ASGIRequest(
        {
            **scope,
            "method": "GET",
            "path": scope.get("path", "/"),
            "query_string": query.decode("latin-1") if isinstance(query, bytes) else query,
            # A server that does not say which it is (Daphne) means "ws": the ASGI specification.
            "scheme": SCHEMES.get(scope.get("scheme", "ws"), "http"),
            "headers": scope.get("headers") or (),
        },
        BytesIO(),
    )


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return a handshake's headers by their names in lower case, as `request_of` takes them.

    Args:
        scope: the connection's.
    """
    return {name.lower(): value for name, value in request_of(scope).headers.items()}


def packed(scope: Mapping[str, Any]) -> bytes:
    """Return a scope's headers as this process may keep them for as long as the connection lasts: a
    browser's take 3 KiB otherwise."""
    # No header's name or value has a line's end (RFC 9110, section 5.5), nor a name a colon.
    return b"\n".join(b"%b:%b" % (name, value) for name, value in scope.get("headers") or ())


def unpacked(headers: bytes) -> dict[str, Any]:
    """Return a scope with nothing but the headers that were packed."""
    found = (line.partition(b":") for line in headers.split(b"\n") if line)
    return {"headers": [(name, value) for name, _, value in found]}
