"""The address guard: which URLs a webhook may go to, and which addresses may be connected to.

The same rules apply when an endpoint is saved, when it is tested, and to the socket address of every connection
(``dialling.py``), so it is no use to change a DNS answer in between.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import httpx

from workers.http.dialling import Lookup, Origin
from workers.http.name_lookup import LookupFailed, SystemLookup
from workers.http.networks import as_address

MAX_URL_LENGTH = 2048

#: Special-purpose blocks (IANA registries) that are refused. ``ipaddress.is_global`` is checked as well, but it is not
#: enough: it is true for multicast and 6to4 relays, and its tables change between patch releases of Python.
REFUSED_NETWORKS: tuple[tuple[IPv4Network | IPv6Network, str], ...] = tuple(
    (ipaddress.ip_network(text), why)
    for text, why in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier"),
        ("127.0.0.0/8", "loopback"),
        ("161.26.0.0/16", "services inside a cloud"),
        ("166.8.0.0/14", "services inside a cloud"),
        ("168.63.129.16/32", "services inside a cloud"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112, answers for private addresses"),
        ("192.52.193.0/24", "AMT relays"),
        ("192.88.99.0/24", "6to4 relays"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "AS112, answers for private addresses"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("2001::/23", "protocol assignments, Teredo among them"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "AS112, answers for private addresses"),
        ("3ffe::/16", "the former 6bone"),
        ("3fff::/20", "documentation"),
    )
)

#: The only IPv6 block from which public addresses are assigned; loopback, mapped, NAT64, local and multicast lie
#: outside.
GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")

#: How the lower half of an ISATAP address begins, in any network. Its last four bytes are an IPv4 address, and a host
#: with such an interface sends packets for it there.
ISATAP = (0x0000_5EFE, 0x0200_5EFE)

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[0-9]{1,5}")
_WRITTEN_PORT = re.compile(r":([^:\]]+)$")  # of an authority; an empty port counts as none


class AddressRefused(OSError):  # noqa: N818 - reads as what happened
    """A URL or an address that webhooks must not go to. The message is one line for the person who set it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that passed the static check. ``host`` is ASCII and lower-case, an IPv6 literal without brackets."""

    scheme: str
    host: str
    port: int
    url: str = field(repr=False)  # its query may hold a token


@dataclass(frozen=True, slots=True)
class Allowed:
    """The allow list: hosts with a port (None: any), and networks. Whatever matches may be plain HTTP and private."""

    hosts: frozenset[tuple[str, int | None]] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def names(self, host: str, port: int) -> bool:
        """Whether the host is listed, for this port or for all."""
        return (host, port) in self.hosts or (host, None) in self.hosts

    def contains(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether the address lies in a listed network."""
        return any(address in network for network in self.networks)


def parse_allow(items: str | Sequence[str]) -> Allowed:
    """Reads ``INVOICES_WEBHOOK_ALLOW``: comma-separated ``host``, ``host:port``, ``[v6]:port``, or CIDR networks.

    Raises ValueError that names the item it cannot read.
    """
    hosts: set[tuple[str, int | None]] = set()
    networks: list[IPv4Network | IPv6Network] = []
    for item in items.split(",") if isinstance(items, str) else items:
        text = item.strip()
        if not text:
            continue
        try:
            if "/" in text:
                networks.append(ipaddress.ip_network(text))
            else:
                hosts.add(_parse_host(text))
        except (ValueError, AddressRefused) as error:
            raise ValueError(f"INVOICES_WEBHOOK_ALLOW: {text!r} is not host, host:port or CIDR ({error})") from None
    return Allowed(frozenset(hosts), tuple(networks))


def _parse_host(text: str) -> tuple[str, int | None]:
    if text.startswith("[") and "]" in text:
        host, _, port = text[1:].partition("]")
        if port and not port.startswith(":"):
            raise ValueError("the port follows the bracket after a colon")
        port, has_port = port[1:], bool(port)
    elif text.count(":") > 1:
        host, port, has_port = text, "", False
    else:
        host, colon, port = text.partition(":")
        has_port = bool(colon)
    if has_port and not (_PORT.fullmatch(port) and 0 < int(port) < 65536):
        raise ValueError("the port must be 1 to 65535")
    return _normalise_host(host), int(port) if has_port else None


def _normalise_host(host: str) -> str:
    """The host as the checks compare it. Raises AddressRefused if it is no name and no plainly written address."""
    if ":" in host:
        if "%" in host:
            raise AddressRefused("an address with a zone is not reachable from elsewhere")
        with suppress(ValueError):
            return str(IPv6Address(host))
        raise AddressRefused("not an IPv6 address")
    try:
        name = httpx.URL(scheme="https", host=host).raw_host.decode().lower()
    except httpx.InvalidURL:
        raise AddressRefused("not a host name") from None
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        # 2130706433, 0x7f.1, 0177.0.0.1 and 127.1 all mean 127.0.0.1 to some resolver: only one spelling is taken.
        with suppress(ValueError):
            return str(IPv4Address(name))
        raise AddressRefused("an IPv4 address is written as four decimal numbers, like 192.0.2.1")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise AddressRefused("not a host name")
    return name


def why_refused(address: IPv4Address | IPv6Address) -> str | None:
    """Why nothing may be sent to this address unless it is allow-listed; None for a public one."""
    for network, why in REFUSED_NETWORKS:
        if address in network:
            return why
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return "bound to one link"
        if address not in GLOBAL_UNICAST_V6:
            return "outside 2000::/3"
        if int(address) >> 32 & 0xFFFF_FFFF in ISATAP:
            return "ISATAP, which leads to an IPv4 address"
    return None if address.is_global and not address.is_multicast else "not public"


class AddressGuard:
    """Says which URLs and addresses webhooks may go to. Holds no state but the allow list."""

    def __init__(self, allow: Allowed | str | Sequence[str] = (), lookup: Lookup | None = None) -> None:
        """``allow`` as in ``INVOICES_WEBHOOK_ALLOW``; ``lookup`` turns a host name into addresses."""
        self._allowed = allow if isinstance(allow, Allowed) else parse_allow(allow)
        self.lookup: Lookup = lookup or SystemLookup()
        #: The check depends only on the URL and the allow list, and a webhook's URL is checked at every attempt.
        self._check = functools.lru_cache(1024)(self._check_once)

    def check_url(self, url: str) -> Target:
        """The static check, no DNS: syntax, scheme, port, userinfo, and the address if the host is one.

        Raises AddressRefused. If the allow list has networks, a URL with a host *name* passes here even with plain HTTP
        or an odd port: ``vet`` checks whether its addresses lie in them.
        """
        return self._check(url)

    def _check_once(self, url: str) -> Target:
        target = _parse_url(url)
        address = as_address(target.host)
        if address is not None:
            self.vet(target, [target.host])
        elif not self._allowed.networks and not self._allowed.names(target.host, target.port):
            _require_public_form(target)
        return target

    def vet(self, target: Target, addresses: Sequence[str]) -> None:
        """Raises AddressRefused if there is no address, or if the target must not lead to *any one* of them."""
        if not addresses:
            raise AddressRefused(f"{target.host} has no address")
        if self._allowed.names(target.host, target.port):
            return
        exempt = True
        for text in addresses:
            address = as_address(text)
            if address is not None and self._allowed.contains(address):
                continue
            exempt = False
            reason = why_refused(address) if address is not None else "unreadable"
            if reason is not None:
                leads = f"{target.host} leads to {text}" if text != target.host else text
                raise AddressRefused(f"{leads}, which is not a public address ({reason})")
        if not exempt:
            _require_public_form(target)

    def vet_origin(self, origin: Origin, addresses: Sequence[str]) -> None:
        """``vet``, for the connection that is about to be made."""
        self.vet(Target(origin.scheme, origin.host, origin.port, ""), addresses)

    async def resolve_and_check(self, url: str) -> Target:
        """The whole check, for saving and testing an endpoint: ``check_url``, then every address the host has now.

        Raises AddressRefused, also when the name does not resolve.
        """
        target = self.check_url(url)
        if as_address(target.host) is None:
            try:
                self.vet(target, await self.lookup(target.host, target.port))
            except LookupFailed as error:
                raise AddressRefused(str(error)) from None
        return target


def _parse_url(url: str) -> Target:
    if len(url) > MAX_URL_LENGTH:
        raise AddressRefused(f"the URL is longer than {MAX_URL_LENGTH} characters")
    if any(character <= " " or character in "\\\x7f" for character in url):
        raise AddressRefused("the URL contains a space, a backslash or a control character")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise AddressRefused(f"not a URL: {error}") from None
    if parsed.scheme not in {"http", "https"} or not url.lower().startswith(f"{parsed.scheme}://"):
        raise AddressRefused("the URL must start with https://")
    if "@" in re.split(r"[/?#]", url.partition("//")[2], maxsplit=1)[0]:
        raise AddressRefused("the URL must not contain a user name or password")
    port = _WRITTEN_PORT.search(re.split(r"[/?#]", url.partition("//")[2], maxsplit=1)[0])
    if port is not None and not _PORT.fullmatch(port[1]):
        raise AddressRefused("the port must be written in digits 0 to 9")
    if not parsed.raw_host:
        raise AddressRefused("the URL has no host")
    if "#" in url:
        raise AddressRefused("the URL must not contain a fragment (#…)")
    host = _normalise_host(parsed.raw_host.decode())
    number = parsed.port if parsed.port is not None else {"http": 80, "https": 443}[parsed.scheme]
    if not 0 < number < 65536:
        raise AddressRefused("the port must be 1 to 65535")
    return Target(parsed.scheme, host, number, str(parsed.copy_with(host=host)))


def _require_public_form(target: Target) -> None:
    if target.scheme != "https":
        raise AddressRefused(f"{target.host} may only be reached by https:// (INVOICES_WEBHOOK_ALLOW lists exceptions)")
    if target.port != 443:
        raise AddressRefused(f"{target.host} may only be reached on port 443 (INVOICES_WEBHOOK_ALLOW lists exceptions)")
