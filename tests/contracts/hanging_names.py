"""`python -m tests.contracts.hanging_names`: the C library looks up names about which its server never answers.

To be run in namespaces of its own (network, mounts), with /etc/resolv.conf pointing to 127.0.0.1. Prints what came of
the look-ups as JSON, and ends while the C library still waits for the silent server.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading

from tests.contracts.webhook_cases import BODY, SECRET, TLS, Receiver, answer
from workers.delivery.attempt import Outgoing
from workers.delivery.webhook import WebhookSender
from workers.http.address import AddressGuard
from workers.http.name_lookup import SystemLookup

DEAD = 40
A_RECORD = 1


def serve_names(port: int = 53) -> None:
    """Everything is at 127.0.0.1, but names that begin with ``dead`` get no answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", port))
        while True:
            query, asker = server.recvfrom(4096)
            if not query[13:].startswith(b"dead"):
                server.sendto(_answer(query), asker)


def _answer(query: bytes) -> bytes:
    end = query.index(b"\0", 12) + 5  # of the question: its name, type and class
    (kind,) = struct.unpack("!H", query[end - 4 : end - 2])
    record = struct.pack("!HHHIH4B", 0xC00C, A_RECORD, 1, 60, 4, 127, 0, 0, 1) if kind == A_RECORD else b""
    return query[:2] + struct.pack("!HHHHH", 0x8180, 1, bool(record), 0, 0) + query[12:end] + record


async def _deliver() -> dict[str, object]:
    lookup = SystemLookup(timeout_seconds=5, wait_seconds=5)  # a busy machine has to begin all forty within
    async with Receiver(answer(200)) as receiver, WebhookSender(AddressGuard("127.0.0.0/8", lookup), tls=TLS) as sender:

        def outgoing(host: str) -> Outgoing:
            return Outgoing(f"http://{host}:{receiver.port}/", (SECRET,), "evt_1", BODY)

        dead = [asyncio.create_task(sender.send(outgoing(f"dead-{number}.example"))) for number in range(DEAD)]
        while _waiting() < DEAD:  # noqa: ASYNC110 - threads tell nobody
            await asyncio.sleep(0.01)
        healthy = await sender.send(outgoing("shop.example"))
        lost = await asyncio.gather(*dead)
    return {
        "healthy": [healthy.outcome, healthy.error],
        "dead": sorted({attempt.outcome for attempt in lost}),
        "kinds": sorted({(attempt.error or "").partition(" for ")[0] for attempt in lost}),
        "still_waiting": _waiting(),
    }


def _waiting() -> int:
    return sum(thread.name == "dns" for thread in threading.enumerate())


if __name__ == "__main__":
    threading.Thread(target=serve_names, daemon=True).start()
    print(json.dumps(asyncio.run(_deliver())))
