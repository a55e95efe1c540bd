"""The web process's settings: where it listens, what it serves, whom it trusts."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from config.urls import quoted

SERVICES = ("callbacks", "api", "console")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_HOST = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)*{_LABEL}")


class MetricsPort(NamedTuple):
    """The port on which a process other than ``web`` serves its metrics."""

    number: int  #: 0: none
    or_next: bool = False  #: or the next free one after it


def read_metrics_port(value: object) -> MetricsPort:
    """``9400``, or ``9400+``: the first free one from there on. Raises ValueError."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    found = re.fullmatch(r"([0-9]{1,5})(\+?)", text) if isinstance(text, str) else None
    if found is None or not int(bool(found[2])) <= int(found[1]) <= 65535:
        raise ValueError("must be 0 (off), a port, or a port with + behind it for the next free one, such as 9400+")
    return MetricsPort(int(found[1]), bool(found[2]))


def read_networks(value: object) -> tuple[str, ...]:
    """Addresses and CIDRs, from a comma-separated text or a list. Raises ValueError that says what is allowed."""
    return tuple(str(_network(item)) for item in read_items(value, "addresses or CIDRs"))


def read_listen_host(value: object) -> str:
    """An address or a host name to listen on. Raises ValueError."""
    items = read_items(value, "one address or name")
    if len(items) != 1:
        raise ValueError("must be one address or host name, without a port")
    return _host(items[0].strip("[]"))


def read_hosts(value: object) -> tuple[str, ...]:
    """Host names and addresses without ports, in lower case. Raises ValueError."""
    return tuple(_host(item.strip("[]")).lower() for item in read_items(value, "host names"))


def read_services(value: object) -> tuple[str, ...]:
    """Some of SERVICES, each once. Raises ValueError."""
    found = tuple(dict.fromkeys(item.lower() for item in read_items(value, ", ".join(SERVICES))))
    if not found or not set(found) <= set(SERVICES):
        raise ValueError(f"must be a comma-separated list of {', '.join(SERVICES)}")
    return found


def read_public_url(value: str) -> str:
    """An http or https address without user, query and fragment; a slash at its end is removed. Raises ValueError."""
    try:
        parts = urlsplit(value)
        usable = parts.port is None or 0 < parts.port < 65536
    except ValueError:
        usable = False
    else:
        usable = usable and parts.scheme in {"http", "https"} and _HOST.fullmatch(parts.hostname or "") is not None
        usable = usable and not (parts.username or parts.password or parts.query or parts.fragment)
    if not usable or not value.isascii() or not value.isprintable():
        raise ValueError("must be an http or https address without user, query or fragment")
    return value.rstrip("/")


def read_issuer(value: str) -> str:
    """An OIDC issuer's address, as the issuer itself writes it: https, or http on loopback; no query, no fragment.
    Raises ValueError."""
    read_public_url(value)
    if not value.startswith("https://") and not is_loopback_url(value):
        raise ValueError("must be an https address, exactly as the issuer names itself")
    return value


def read_claim(value: str) -> str:
    """The name of a claim; points lead into objects: ``realm_access.roles``. Raises ValueError."""
    if not value.isprintable() or len(value) > 200 or "" in value.split("."):
        raise ValueError("must be the name of a claim, such as roles or realm_access.roles")
    return value


def is_loopback(host: str) -> bool:
    """Whether a host's name or address reaches nobody but this host."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_loopback_url(url: str) -> bool:
    """The same for an address."""
    return is_loopback(urlsplit(url).hostname or "")


def read_items(value: object, what: str) -> list[str]:
    """The non-empty items of a comma-separated text or a list. Raises ValueError that says ``what`` they must be."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError(f"must be a comma-separated list of {what}")
    return [item.strip() for item in items if item.strip()]


def _network(item: str) -> Network:
    try:
        return ipaddress.ip_network(item)
    except ValueError:
        raise ValueError(f"{quoted(item)} must be an address or a CIDR, without bits beyond its prefix") from None


def _host(item: str) -> str:
    try:
        return str(ipaddress.ip_address(item))
    except ValueError:
        if not _HOST.fullmatch(item):
            raise ValueError(f"{quoted(item)} must be a host's name or address, without a port") from None
    return item
