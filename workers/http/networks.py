"""Addresses as text: whether one is an address, and whether it lies in a network."""

from __future__ import annotations

import functools
import ipaddress
from ipaddress import IPv4Address, IPv6Address


def as_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address that a text is; None for a name. An IPv6 address may have a zone."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def contains(networks: tuple[str, ...], address: str) -> bool:
    """Whether an address, as text, lies in one of these CIDRs. A text that is no address lies in none."""
    found = as_address(address.partition("%")[0])
    if found is None:
        return False
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return any((mapped or found) in network for network in _parse(networks))


@functools.lru_cache(64)
def _parse(networks: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(network) for network in networks)
