"""Connections to a host: its name is looked up, every address is vetted, they are tried in turn, TLS is set up."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv6Address
from typing import NamedTuple, TypeVar

import aiohappyeyeballs

from workers.http.errors import (
    CertificateRefused,
    ConnectFailed,
    ConnectTimedOut,
    HandshakeFailed,
    NameFailed,
    Unsendable,
)
from workers.http.networks import as_address

#: Seconds until the next address is tried beside one that does not answer (RFC 8305).
NEXT_ADDRESS_SECONDS = 0.25

_Protocol = TypeVar("_Protocol", bound=asyncio.BaseProtocol)
_AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]


class Origin(NamedTuple):
    """Where a connection leads. ``host`` is a name or an address, an IPv6 address without brackets."""

    scheme: str  #: ``http`` or ``https``
    host: str
    port: int


#: Every address of (host, port), as text. Raises OSError where there is none.
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]

#: Raises OSError unless all these addresses may be connected to for the origin.
Vet = Callable[[Origin, Sequence[str]], None]


class Dialler:
    """Makes connections. What is vetted is what is connected to, so a DNS answer that changes is no way around it."""

    def __init__(
        self, lookup: Lookup, tls: ssl.SSLContext, *, vet: Vet | None = None, connect_seconds: float | None = None
    ) -> None:
        """``connect_seconds`` is for TCP and TLS together; None: the caller bounds them."""
        self._lookup = lookup
        self._tls = tls
        self._vet = vet
        self._connect_seconds = connect_seconds

    async def connect(self, origin: Origin, protocol: _Protocol) -> _Protocol:
        """The protocol, connected. Raises what ``vet`` raises, and a kind of NotSent for everything else."""
        addresses = await self._addresses_of(origin)
        if self._vet is not None:
            self._vet(origin, addresses)
        try:
            async with asyncio.timeout(self._connect_seconds):
                await self._open(origin, [_info_of(one, origin.port) for one in addresses], protocol)
        except TimeoutError as error:
            raise ConnectTimedOut from error
        except ssl.CertificateError as error:
            raise CertificateRefused from error
        except ssl.SSLError as error:
            raise HandshakeFailed from error
        except (OSError, RuntimeError) as error:  # uvloop raises either
            raise ConnectFailed from error
        except (OverflowError, ValueError) as error:
            raise Unsendable from error
        return protocol

    async def _addresses_of(self, origin: Origin) -> Sequence[str]:
        if as_address(origin.host) is not None:
            return [origin.host]
        try:
            return await self._lookup(origin.host, origin.port)
        except OSError as error:
            raise NameFailed from error

    async def _open(self, origin: Origin, infos: Sequence[_AddressInfo], protocol: asyncio.BaseProtocol) -> None:
        loop = asyncio.get_running_loop()
        connected = await aiohappyeyeballs.start_connection(
            infos, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS, interleave=1, loop=loop
        )
        encrypted = origin.scheme == "https"
        try:
            await loop.create_connection(
                lambda: protocol,
                sock=connected,
                ssl=self._tls if encrypted else None,
                server_hostname=origin.host if encrypted else None,
            )
        except BaseException:
            connected.close()
            raise


def remembering(lookup: Lookup, seconds: float, clock: Callable[[], float] = time.monotonic) -> Lookup:
    """The look-up with its answers kept for so many seconds. There are few hosts: an operator names them."""
    known: dict[tuple[str, int], tuple[float, Sequence[str]]] = {}

    async def remembered(host: str, port: int) -> Sequence[str]:
        until, addresses = known.get((host, port), (0.0, ()))
        if clock() >= until:
            addresses = await lookup(host, port)
            known[host, port] = (clock() + seconds, addresses)
        return addresses

    return remembered


def _info_of(address: str, port: int) -> _AddressInfo:
    if not isinstance(as_address(address), IPv6Address):
        return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)
    host, _, zone = address.partition("%")
    scope = 0
    if zone:
        scope = int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, scope)
