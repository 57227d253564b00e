"""Whose share of the views a view counts in: a user's, or that of an address."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any, NamedTuple

from bindserver.cycle.inbox import Caller
from bindserver.queries.values import unwrapped

NETWORK_BITS = 64
"""So many bits of an IPv6 address count: whoever has one has the whole network behind it."""

UNKNOWN_ADDRESS = "unknown"
"""All count together whose address nobody knows, as behind a proxy that says none."""


class Owner(NamedTuple):
    """Who has views made, and has a share of all there may be.

    Attributes:
        kind: the user's model; None for an anonymous client.
        name: the user's key, or the client's address.
    """

    kind: str | None
    name: str

    def __str__(self) -> str:
        return f"address {self.name}" if self.kind is None else f"user {self.name} ({self.kind})"


def owner_of(caller: Caller) -> Owner | None:
    """Return whose share a caller's views count in; None where nobody's does: code of the server's
    own asks, for nobody in particular."""
    user = unwrapped(caller.user)
    if user is not None and not getattr(user, "is_anonymous", False):
        key = getattr(user, "pk", None)
        if key is not None:
            return Owner(_kind_of(user), str(key))
    return None if caller.address is None else Owner(None, caller.address)


def _kind_of(user: Any) -> str:
    meta = getattr(user, "_meta", None)
    return type(user).__qualname__ if meta is None else str(meta.label)


def address_of(host: object) -> str:
    """Return what counts of a client's address: an IPv4 address whole, of an IPv6 one the network.

    Args:
        host: as the server has it, from the socket or from a proxy that it trusts.
    """
    try:
        address = ip_address(str(host))
    except ValueError:
        return UNKNOWN_ADDRESS
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), NETWORK_BITS), strict=False))
