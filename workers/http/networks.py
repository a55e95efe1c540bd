"""Whether an address lies in a network."""

from __future__ import annotations

import functools
import ipaddress


def contains(networks: tuple[str, ...], address: str) -> bool:
    """Whether an address, as text, lies in one of these CIDRs. A text that is no address lies in none."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return any((mapped or found) in network for network in _parse(networks))


@functools.lru_cache(64)
def _parse(networks: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(network) for network in networks)
