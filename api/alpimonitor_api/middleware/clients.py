"""Who asks: the address of a client, also behind proxies that were named."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.types import Scope

from alpimonitor_api.settings import Networks

NOBODY = "unknown"
"""In place of the address of a peer that has none."""

MOST_HOPS = 32
"""Addresses that are looked at of an X-Forwarded-For; whoever sends more made them up."""

NETWORK_OF_ONE = 64
"""Bits of an IPv6 address that are given to one customer, who has all addresses below."""


class Clients:
    """Tells the client of a request. Without trusted proxies it is who connects, whatever a header says."""

    def __init__(self, trusted_proxies: Networks) -> None:
        self._trusted = trusted_proxies

    def address(self, scope: Scope) -> str:
        """The peer; behind a trusted proxy the rightmost address of X-Forwarded-For that is no such proxy.

        What stands further to the left was sent by that client, and may be anything. A header that is
        malformed up to there names nobody: then it is the peer itself.
        """
        client = scope.get("client")
        peer = str(client[0]) if client else NOBODY
        if not self._trusted or not self._is_proxy(parsed(peer)):
            return peer
        forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
        found = peer
        for written in reversed(forwarded.decode("latin-1").rsplit(",", MOST_HOPS)):
            address = parsed(written.strip())
            if address is None:
                return peer
            found = str(address)
            if not self._is_proxy(address):
                break
        return found

    def _is_proxy(self, address: IPv4Address | IPv6Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)


@lru_cache(maxsize=4096)
def parsed(written: str) -> IPv4Address | IPv6Address | None:
    """An address, of whichever family it really is; None when it is none."""
    try:
        address = ip_address(written)
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


@lru_cache(maxsize=4096)
def customer(address: str) -> str:
    """What a limit counts against: an IPv4 address, or the network of an IPv6 address."""
    if ":" not in address:
        return address
    found = parsed(address)
    if not isinstance(found, IPv6Address):
        return str(found or address)
    # As a number: an address of a link carries the name of an interface, which a network does not.
    return str(ip_network((int(found), NETWORK_OF_ONE), strict=False))
