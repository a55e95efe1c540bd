"""Reads ``INVOICES_WEBHOOK_ALLOW``: receivers that webhooks may go to although their address is not public."""

from __future__ import annotations

import ipaddress
import re

from config.urls import quoted
from config.web import read_items

#: Names as the address guard takes them (a test compares the two). The last label is no number: some resolvers take
#: that for an odd spelling of an IPv4 address.
_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_HOST = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)*(?!([0-9]+|0[xX][0-9A-Fa-f]*)$){_LABEL}")
_PORT_PART = re.compile(r"(\]|^[^:]+):[^:]*$")


def check_allowed(value: object) -> tuple[str, ...]:
    """The items of a comma-separated text or a list. Raises ValueError that says what is allowed."""
    return tuple(_check_item(item) for item in read_items(value, "host, host:port or CIDR"))


def _check_item(item: str) -> str:
    host, _, port = item.rpartition(":") if _PORT_PART.search(item) else (item, "", "443")
    usable = re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536 and "/" not in (host if host != item else "")
    if not usable or not (_is_network(host) or _HOST.fullmatch(host)):
        raise ValueError(f"{quoted(item)} must be a host, host:port or CIDR")
    return item


def _is_network(text: str) -> bool:
    """Whether it is an address (IPv6 may be in brackets) or a CIDR, with no zone and no bits beyond its prefix."""
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") and ":" in text else text
    try:
        ipaddress.ip_network(inner)
    except ValueError:
        return False
    return "%" not in inner and not (inner != text and "/" in inner)
