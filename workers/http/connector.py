"""A guarded connector for aiohttp: every DNS answer and every socket address is vetted at the moment of use."""

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

#: More bytes than this must not arrive for one request: aiohttp bounds headers and bodies, but reads chunk extensions
#: and interim answers (100 Continue) without end. Headers at their limits and full buffers are below this.
RECEIVED_LIMIT = 1024 * 1024

# aiohttp tells its socket factory only the address. The target (the allow list names hosts) comes this way, also into
# the tasks that aiohttp starts for a connection.
_AIM: ContextVar[Target | None] = ContextVar("webhook_target", default=None)


@contextmanager
def aiming_at(target: Target) -> Iterator[None]:
    """Connections made inside are for this target. A guarded connector makes none without a target."""
    token = _AIM.set(target)
    try:
        yield
    finally:
        _AIM.reset(token)


def guarded_connector(
    guard: AddressGuard, tls: ssl.SSLContext, *, keepalive_seconds: float = 4, max_connections: int = 0
) -> aiohttp.TCPConnector:
    """A connector that connects to vetted addresses only. Must be made inside the event loop that uses it.

    No DNS cache: a name is resolved, vetted and connected to in one go. Connections that are idle for
    ``keepalive_seconds`` are closed, sooner than common servers close theirs (5 s): that would cost an attempt.
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
    connector._factory = functools.partial(handler, loop=asyncio.get_running_loop())  # aiohttp has no public way
    return connector


class _BoundedHandler(ResponseHandler):
    """aiohttp's protocol, which also counts bytes: beyond RECEIVED_LIMIT it drops the connection."""

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
    """Resolves the target's host, and refuses it if any of its addresses is refused."""

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
        # IP literals never reach the resolver; every connection comes through here.
        family, kind, protocol, _, sockaddr = address_info
        guard.vet(_aimed_at(sockaddr[1]), [sockaddr[0]])
        return socket.socket(family, kind, protocol)

    return make


def _aimed_at(port: int) -> Target:
    target = _AIM.get()
    if target is None or target.port != port:
        raise AddressRefused("a connection to an address that was not checked")
    return target
