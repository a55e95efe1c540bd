"""aiohttp's way to a connection, guarded: every DNS answer and every socket address is vetted at the moment of use."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import aiohttp
from aiohttp import AddrInfoType
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from workers.http.address import AddressGuard, AddressRefused, Target
from workers.http.client import NameResolver

#: More than this may not arrive for one request, whatever it is: aiohttp bounds headers and bodies, but reads chunk
#: extensions and interim answers (100 Continue) without end. Headers at their limits and full buffers stay below.
RECEIVED_LIMIT = 1024 * 1024

# aiohttp tells its socket factory the address alone: what it is connected *for* (the allow list names hosts) comes
# this way, through the tasks that aiohttp starts for a connection.
_AIM: ContextVar[Target | None] = ContextVar("webhook_target", default=None)


@contextmanager
def aiming_at(target: Target) -> Iterator[None]:
    """Connections made inside are for this target; a guarded connector makes none without."""
    token = _AIM.set(target)
    try:
        yield
    finally:
        _AIM.reset(token)


def guarded_connector(
    guard: AddressGuard, tls: ssl.SSLContext, *, keepalive_seconds: float = 4, max_connections: int = 0
) -> aiohttp.TCPConnector:
    """A connector that connects to vetted addresses only. Must be made inside the event loop that uses it.

    No DNS cache: a name is resolved, vetted and connected to in one go. Connections idle for ``keepalive_seconds`` are
    closed: below the 5 s after which common servers close them, which would cost a try.
    """
    connector = aiohttp.TCPConnector(
        ssl=tls,
        resolver=GuardedResolver(guard),
        socket_factory=_socket_factory(guard),
        use_dns_cache=False,
        limit=max_connections,
        keepalive_timeout=keepalive_seconds,
    )
    handler: type[ResponseHandler] = _BoundedHandler
    connector._factory = functools.partial(handler, loop=asyncio.get_running_loop())  # there is no public way
    return connector


class _BoundedHandler(ResponseHandler):
    """aiohttp's protocol, which also counts: beyond RECEIVED_LIMIT the connection is dropped."""

    _received = 0

    def set_response_params(self, **params: Any) -> None:
        self._received = 0  # a new request on a kept connection
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received <= RECEIVED_LIMIT:
            super().data_received(data)
        elif self.transport is not None and not self.transport.is_closing():
            self.set_exception(HttpProcessingError(message=f"more than {RECEIVED_LIMIT} bytes of answer"))
            self.transport.abort()


class GuardedResolver(NameResolver):
    """Resolves the host that is aimed at, and refuses it when any of its addresses is bad."""

    def __init__(self, guard: AddressGuard) -> None:
        super().__init__(self._vetted)
        self._guard = guard

    async def _vetted(self, host: str, port: int) -> Sequence[str]:
        """Every address of the host. Raises AddressRefused, or LookupFailed when there is none."""
        target = _aimed_at(port)
        if host != target.host:
            raise AddressRefused(f"{host!r} is not the host that was checked")
        addresses = await self._guard.lookup(host, port)
        self._guard.vet(target, addresses)
        return addresses


def _socket_factory(guard: AddressGuard) -> Callable[[AddrInfoType], socket.socket]:
    def make(address_info: AddrInfoType) -> socket.socket:
        # IP literals never reach the resolver; everything reaches this.
        family, kind, protocol, _, sockaddr = address_info
        guard.vet(_aimed_at(sockaddr[1]), [sockaddr[0]])
        return socket.socket(family, kind, protocol)

    return make


def _aimed_at(port: int) -> Target:
    target = _AIM.get()
    if target is None or target.port != port:
        raise AddressRefused("a connection to an address that was not checked")
    return target
