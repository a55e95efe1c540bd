"""One healthy endpoint among many bad ones: it gets everything, at its first tries, while the others still hang."""

from __future__ import annotations

import asyncio
import shutil
import socket
import threading
from collections import Counter
from contextlib import contextmanager, suppress

import fakeredis
import pytest

from tests.contracts.store_cases import change, open_store, pend, rows, subscribe
from tests.contracts.webhook_cases import TLS
from tests.servers import free_port, wait_until
from workers.coordination.breaker import Breaker, read_breakers
from workers.delivery.secretbox import SecretBox, new_key
from workers.delivery.signature import new_secret
from workers.delivery.webhook import WebhookSender
from workers.engine import Pump
from workers.http.address import AddressGuard
from workers.http.name_lookup import SystemLookup
from workers.stages import DeliverStage
from workers.store.database import Database
from workers.store.tables import ATTEMPT, DELIVERY, ENDPOINT

EVENTS = 12
IN_FLIGHT = 10
#: A quarter of what a worker has, for a tenth of what its endpoints may want.
CONNECTIONS = 256
DEADLINE_SECONDS = 180
#: Who hangs does so until the test releases it.
TIMES: dict = {"connect_seconds": 2 * DEADLINE_SECONDS, "total_seconds": 2 * DEADLINE_SECONDS}
NAME_SECONDS = 60.0  #: the healthy one's look-up is given so long: the machine may be busy
OK = b"HTTP/1.1 204 No Content\r\n\r\n"


class Receivers:
    """All receivers in one server; how they behave stands in their names. Bad ones go on until they are released."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()  #: requests by the first word of the host's name
        self.answered_late = 0
        self.deaf_port = free_port()
        self._silent: set[asyncio.StreamWriter] = set()  #: who has not said anything yet that is HTTP
        self._resolving = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._released = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(DEADLINE_SECONDS)
        return self

    def __exit__(self, *_):
        self.release()
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(DEADLINE_SECONDS)
        self._loop.close()

    def url(self, kind: str, number: int) -> str:
        port = self.deaf_port if kind == "refused" else self.port
        host = "together.example" if kind == "together" else f"{kind}-{number}.example"
        return f"{'https' if kind == 'tls' else 'http'}://{host}:{port}/{kind}"

    def release(self) -> None:
        """Whoever hangs does so no longer."""
        self._resolving.set()
        self._loop.call_soon_threadsafe(self._let_go)

    def _let_go(self) -> None:
        self._released.set()
        for writer in list(self._silent):
            writer.transport.abort()

    def getaddrinfo(self, host, *_, **__):
        """The system's resolver: dead names hang, gone ones fail at once."""
        if host.startswith("dead"):
            self._resolving.wait(DEADLINE_SECONDS)
        if host.startswith(("dead", "gone")):
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    async def _serve(self) -> None:
        self._ended = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader, writer):
            task = asyncio.create_task(self._converse(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ended.wait()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()

    async def _converse(self, reader, writer) -> None:
        self._silent.add(writer)
        try:
            while True:
                start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                self._silent.discard(writer)
                length = next(int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length"))
                await reader.readexactly(length)
                kind = start.split(" ")[1].strip("/")
                self.asked[kind] += 1
                if kind == "reset":
                    return
                if kind == "failing":
                    writer.write(b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n")
                    continue
                if kind == "trickle":
                    await self._trickle(writer)
                    return
                if kind != "healthy":
                    await self._released.wait()
                    self.answered_late += 1
                writer.write(OK)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # it hung up: its time was over
        finally:
            self._silent.discard(writer)
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    async def _trickle(self, writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nx: ")
        while not self._released.is_set():
            writer.write(b"x")
            await writer.drain()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._released.wait(), 0.2)


@contextmanager
def delivering(database, receivers):
    """A worker's DELIVER over these endpoints, and a client of the breakers' Redis."""
    store, box, server = open_store(database), SecretBox([new_key()]), fakeredis.FakeServer()
    for row in rows(database, ENDPOINT):
        change(database, ENDPOINT, ENDPOINT.c.id == row.id, secrets=box.seal(new_secret()), max_in_flight=IN_FLIGHT)
    lookup = SystemLookup(timeout_seconds=NAME_SECONDS)
    guard = AddressGuard("127.0.0.0/8", lookup)

    async def open_works(stack):
        sender = await stack.enter_async_context(WebhookSender(guard, tls=TLS, **TIMES))
        breaker = Breaker(fakeredis.FakeAsyncRedis(server=server))
        return [DeliverStage(store, sender, breaker, lambda: box, CONNECTIONS).work()]

    pump = Pump(open_works, store.next_due, store.release, lambda _: None)
    pump.start()
    try:
        yield fakeredis.FakeRedis(server=server)
    finally:
        receivers.release()
        pump.stop(20)
        lookup.close()


def deliver_beside(database, monkeypatch, bad):
    """A healthy endpoint beside so many of each kind: what became of its events and of theirs, before any of them was
    released, and the state of its breaker."""
    with Receivers() as receivers:
        monkeypatch.setattr("socket.getaddrinfo", receivers.getaddrinfo)
        endpoints = [(kind, number) for kind, count in bad.items() for number in range(count)]
        for kind, number in [*endpoints, ("healthy", 0)]:
            change(database, ENDPOINT, ENDPOINT.c.id == (last := subscribe(database)), url=receivers.url(kind, number))
        pend(open_store(database), EVENTS)
        with delivering(database, receivers) as breakers:
            mine = DELIVERY.c.endpoint_id == last
            wait_until(
                lambda: all(row.state == "delivered" for row in rows(database, DELIVERY, mine)),
                "the healthy endpoint has everything",
                DEADLINE_SECONDS,
            )
            assert not receivers.answered_late
            assert not receivers._released.is_set()
            healthy, others = rows(database, DELIVERY, mine), rows(database, DELIVERY, ~mine)
            attempts = [one for row in healthy for one in rows(database, ATTEMPT, ATTEMPT.c.delivery_id == row.id)]
            breaker = read_breakers(breakers, [last])[last]
    assert receivers.asked["healthy"] == EVENTS
    return [row.tries for row in healthy], [one.outcome for one in attempts], {row.state for row in others}, breaker


ALL_AT_ONCE = [1] * EVENTS, ["delivered"] * EVENTS, {"due"}, "closed"

QUICK = {"gone": 60, "reset": 30, "refused": 10, "failing": 20}
NEIGHBOURS = [
    {"late": 14},
    {"late": 90},
    {"trickle": 30, "tls": 30},
    {"together": 60},
    {"dead": 150},
]


@pytest.mark.engines
def test_forty_dead_names_ten_that_hang_and_fourteen_that_answer_late_cost_a_healthy_endpoint_nothing(
    database, monkeypatch
):
    assert deliver_beside(database, monkeypatch, {"dead": 40, "hang": 10, "late": 14}) == ALL_AT_ONCE


@pytest.mark.parametrize(
    "bad", [QUICK, *(pytest.param(bad, marks=pytest.mark.engines) for bad in NEIGHBOURS)], ids=" ".join
)
def test_whatever_the_neighbours_do_a_healthy_endpoint_gets_all_at_its_first_tries(
    bad, sqlite_template, tmp_path, monkeypatch
):
    path = tmp_path / "invoices.db"
    shutil.copyfile(sqlite_template, path)
    database = Database(f"sqlite:///{path}")
    try:
        assert deliver_beside(database, monkeypatch, bad) == ALL_AT_ONCE
    finally:
        database.close()
