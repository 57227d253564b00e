"""Who may read the metrics: addresses in METRICS_ALLOW, whoever has METRICS_TOKEN, else nobody."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from bindserver.conf import conf


def is_wanted() -> bool:
    """Return whether metrics are served at all."""
    return bool(conf.METRICS_ALLOW) or conf.METRICS_TOKEN is not None


def may_read(scope: Mapping[str, Any]) -> bool:
    """Return whether a request may read the metrics: by its address, its token, or both where both
    are set.

    Args:
        scope: the request's.
    """
    by_address = not conf.METRICS_ALLOW or _is_from_there(scope)
    by_token = conf.METRICS_TOKEN is None or _has_token(scope)
    return is_wanted() and by_address and by_token


def _is_from_there(scope: Mapping[str, Any]) -> bool:
    """Return whether all addresses that a request has come through are allowed.

    A proxy that the server does not trust is the client, and often in an allowed network: so what
    it says of who asks counts against the request, and never for it.
    """
    networks = [ipaddress.ip_network(item) for item in conf.METRICS_ALLOW]
    return all(
        any(address in network for network in networks) if address is not None else False
        for address in _addresses(scope)
    )


def _addresses(
    scope: Mapping[str, Any],
) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address | None]:
    """Yield the client's address and those that it is forwarded for; None for what is none."""
    yield _parsed((scope.get("client") or ("",))[0])
    for name, value in scope["headers"]:
        if name == b"x-forwarded-for":
            for item in value.decode("latin-1").split(","):
                yield _parsed(item.strip())
        elif name == b"forwarded":
            yield None  # whose many forms are not read


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _has_token(scope: Mapping[str, Any]) -> bool:
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(given) != 1:
        return False
    scheme, _, token = given[0].partition(b" ")
    wanted = conf.METRICS_TOKEN.encode()
    return scheme.lower() == b"bearer" and secrets.compare_digest(token.strip(), wanted)
