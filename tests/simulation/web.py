"""The web process: the real desk for callbacks, with the broker's shelf as the world has it; and the operator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from tests.simulation.hosts import ACCOUNTS, Process
from tests.simulation.loop import HOST
from workers.store.acts import Actor
from workers.store.arrivals import Arrivals
from workers.store.database import UNAVAILABLE
from workers.store.operate import invoices
from workers.web.callbacks import CallbackDesk
from workers.web.forged import ForgedSample
from workers.web.metrics import Metrics
from workers.web.threads import StoreThreads

SHELF_SECONDS = 1.0  #: between looks at the shelf
SHELF_FAULTS = (("away", 0.25), ("done", 0.1))  # refused, or done and the answer lost
METRICS = Metrics("simulation")  #: counted by nobody

Shelved = tuple[str, bytes, list[tuple[str, str]]]


@dataclass(slots=True)
class Shelf:
    """The broker's queue of callbacks: what is in it outlives every process."""

    world: Any
    kept: list[Shelved] = field(default_factory=list)

    def put(self, account: str, body: bytes, headers: Sequence[tuple[str, str]]) -> None:
        """Away, or there, or there and its answer lost."""
        fault = self.world.draw(SHELF_FAULTS)
        if fault == "away":
            raise ConnectionError("the broker is away")
        self.world.note("shelve", account)
        self.kept.append((account, body, list(headers)))
        if fault == "done":
            raise ConnectionError("the answer was lost")


class Web(Process):
    """Takes callbacks, and empties the shelf."""

    def __init__(self, world: Any, name: str) -> None:
        super().__init__(world, name)
        sample = ForgedSample(lambda _: None)
        # Without the group commit, whose threads would wait for one another on this one stack.
        keep = Arrivals(self.runtime.store.database, self.runtime.store.ring).keep_callbacks
        self.desk = CallbackDesk(ACCOUNTS, self.providers, keep, world.shelf, StoreThreads(), METRICS, sample)
        self.context = Context()
        self.context.run(HOST.set, self)

    async def main(self) -> None:
        while True:
            await asyncio.sleep(SHELF_SECONDS)
            for one in list(self.world.shelf.kept):
                await self._take(one)

    async def _take(self, one: Shelved) -> None:
        """In the database first, then off the shelf."""
        try:
            await asyncio.get_running_loop().run_in_executor(None, self.desk.take_from_shelf, *one)
        except UNAVAILABLE:
            return
        if one in self.world.shelf.kept:
            self.world.shelf.kept.remove(one)

    def receive(self, account: str, body: bytes, signature: str, answer: Callable[[int], None]) -> None:
        """A request, in this host's context; ``answer`` gets the status when it is sent."""

        async def serve() -> None:
            response = await self.desk.take(_request(account, body, signature))
            answer(response.status_code)

        self.world.loop.create_task(serve())


def _request(account: str, body: bytes, signature: str) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"x-hash", signature.encode())]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers, "path_params": {"account": account}}
    return Request(scope, receive)


class Operator(Process):
    """Marks one invoice, and does it again when the command has died or the database was away."""

    async def main(self) -> None:
        mark = self.world.plan.marks[self.name]
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0.5)
            try:
                ended = await loop.run_in_executor(None, self._mark, mark)
            except UNAVAILABLE:
                continue
            except Exception as error:
                self.world.errors.append(f"mark: {error!r}")
                return
            if ended or self.world.loop.now > mark.at + 60:
                return

    def _mark(self, mark: Any) -> bool:
        store = self.runtime.store
        invoice = store.find(mark.account, order_id=mark.order_id)
        if invoice is None:
            return False
        done = invoices.mark(store, Actor("somebody", "simulation", "seen"), invoice, invoices.Mark(mark.status))
        self.world.note("mark", mark.order_id, mark.status, done and done.done)
        return done is not None
