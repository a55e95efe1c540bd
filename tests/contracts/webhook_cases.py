"""A receiver that does anything at all, and one try at it by the real sender."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import suppress

from workers.delivery.attempt import Outgoing
from workers.delivery.signature import new_secret
from workers.delivery.webhook import WebhookSender
from workers.http.address import AddressGuard

SECRET = new_secret()
BODY = json.dumps({"id": "evt_1", "data": {"pay_amount": "0.0358619204", "note": "ü"}}, ensure_ascii=False).encode()
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody
# Ample where a time limit is not the point: the machine may be busy. Short where waiting for it is the test.
AMPLE = {"connect_seconds": 10, "total_seconds": 20}
SHORT = {"connect_seconds": 0.5, "total_seconds": 1}
HANG = 60


class Receiver:
    """A raw server on loopback: reads one request at a time, then does whatever ``answer`` does."""

    def __init__(self, answer, tls=None, reads=True) -> None:
        self._answer = answer
        self._reads = reads
        self._tls = tls
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self.sent_bytes = 0
        self.asked = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/hook?shop=1"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    def _accept(self, reader, writer):
        self.connections += 1
        self._writers.append(writer)
        self._tasks.append(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader, writer):
        try:
            if not self._reads:
                await self._answer(self, writer)
            while self._reads:
                start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip("\r\n").split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests.append((start, headers, body))
                self.asked.set()
                if callable(self._answer):
                    await self._answer(self, writer)
                    break
                writer.write(self._answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return  # the sender hung up, which is what most of these tests are about
        finally:
            writer.close()

    async def flood(self, writer, chunk, chunks):
        """Writes until the sender hangs up or all is written, counting what the sockets took."""
        for _ in range(chunks):
            writer.write(chunk)
            await writer.drain()
            self.sent_bytes += len(chunk)


def sender(allow="127.0.0.1", **changes):
    settings: dict = AMPLE | {"tls": TLS} | changes
    return WebhookSender(AddressGuard(allow), **settings)


def post(answer, *, outgoing=None, server_tls=None, **changes):
    """One try at a receiver that answers so; gives the attempt and the receiver."""

    async def story():
        async with Receiver(answer, server_tls) as receiver, sender(**changes) as one:
            fields = {"url": receiver.url, "secrets": (SECRET,), "event_id": "evt_1", "body": BODY} | (outgoing or {})
            return await one.send(Outgoing(**fields)), receiver

    return asyncio.run(story())


def answer(status, *headers, body=b"ok"):
    lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def say_nothing(receiver, writer):
    await asyncio.sleep(HANG)


async def close_at_once(receiver, writer):
    writer.close()
