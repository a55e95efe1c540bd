"""Requests that wait for an invoice to change: one look at the database for all of them, several times a second.

A request that waits is a future in a table; it holds no thread and no connection. A look reads the sequences of all
invoices that are waited for, in one statement: two thousand requests cost as many statements as one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from workers.store.database import UNAVAILABLE
from workers.web.api.absence import Absence
from workers.web.threads import Overloaded, StoreThreads

log = structlog.get_logger()

LOOK_SECONDS = 0.1  #: between two looks
ANSWER_SECONDS = 5.0

#: The sequences of these invoices, as far as they exist.
Look = Callable[[Sequence[str]], Mapping[str, int]]


class Waiting:
    """The requests that wait, by invoice. Used on one event loop."""

    def __init__(self, threads: StoreThreads, look: Look, look_seconds: float = LOOK_SECONDS) -> None:
        self._threads = threads
        self._look = look
        self._away = Absence(look_seconds)
        self._waiting: dict[str, set[_Waiter]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._is_over = False

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    async def until_after(self, invoice_id: str, sequence: int, seconds: float) -> bool:
        """Wait until the invoice's sequence is above this; False when it is not within ``seconds``."""
        if self._is_over:
            return False
        waiter = _Waiter(sequence)
        self._waiting.setdefault(invoice_id, set()).add(waiter)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_on())
        try:
            async with asyncio.timeout(seconds):
                return await waiter.told
        except TimeoutError:
            return False
        finally:
            self._forget(invoice_id, waiter)

    def end(self) -> None:
        """The process stops: nobody waits any longer."""
        self._is_over = True
        for waiters in self._waiting.values():
            for waiter in waiters:
                waiter.tell(False)

    def _forget(self, invoice_id: str, waiter: _Waiter) -> None:
        waiters = self._waiting[invoice_id]
        waiters.discard(waiter)
        if not waiters:
            del self._waiting[invoice_id]

    async def _look_on(self) -> None:
        """Look again and again until nobody waits."""
        while self._waiting:
            try:
                found = await self._threads.run(self._look, list(self._waiting), seconds=ANSWER_SECONDS)
                self._away.ends()
            except (Overloaded, *UNAVAILABLE) as error:
                self._away.begins(error, waiting=len(self))
                found = {}
            except Exception:  # a bug: they wait until their time is up
                log.exception("api.bug", waiting=len(self), traceback=True)
                found = {}
            for invoice_id, sequence in found.items():
                for waiter in self._waiting.get(invoice_id, ()):
                    waiter.tell_if_after(sequence)
            await asyncio.sleep(self._away.pause_seconds)
        self._looking = None


class _Waiter:
    """One request, and what it waits for."""

    def __init__(self, sequence: int) -> None:
        self._sequence = sequence
        self.told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def tell_if_after(self, sequence: int) -> None:
        """The invoice has this sequence now."""
        if sequence > self._sequence:
            self.tell(True)

    def tell(self, is_after: bool) -> None:
        """End its wait."""
        if not self.told.done():
            self.told.set_result(is_after)
