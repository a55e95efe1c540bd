"""A server on loopback that answers providers' clients as it is told: well, badly, never."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct

import pytest

from tests.contracts.made_up import EVERY
from tests.contracts.provider_cases import create_for_real

ALL = pytest.mark.parametrize("case", EVERY.values(), ids=EVERY)
#: Long enough for a loaded machine to connect to itself, short enough to wait for.
SHORT_SECONDS = 0.5


class Server:
    """A TCP server on loopback that reads each request whole and then does as it is told."""

    def __init__(self, behave, tls: ssl.SSLContext | None = None):
        self._behave = behave
        self._tls = tls
        self.requests: list[bytes] = []
        self.connections = 0
        self.arrived = asyncio.Event()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
            task.cancel()

    async def _serve(self, reader, writer):
        self.connections += 1
        with contextlib.suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
            try:
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    size = next(
                        (
                            int(line.split(b":")[1])
                            for line in head.split(b"\r\n")
                            if line.lower().startswith(b"content-length")
                        ),
                        0,
                    )
                    self.requests.append(head + await reader.readexactly(size))
                    self.arrived.set()
                    await self._behave(writer)
            finally:
                writer.close()


def http(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def sends(data: bytes, then_close: bool = False):
    async def behave(writer):
        writer.write(data)
        await writer.drain()
        if then_close:
            writer.close()

    return behave


async def stay_silent(writer):
    await asyncio.sleep(60)


async def close(writer):
    writer.close()


async def reset(writer):
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def trickle(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def pour(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await writer.drain()


def create_at(case, behave, timeout_seconds: float = 10):
    """(evidence, the server) of one create at a server that behaves so."""

    async def story():
        async with Server(behave) as server:
            evidence = await create_for_real(case, case.account(server.url, timeout_seconds=timeout_seconds))
            return evidence, server

    return asyncio.run(story())
