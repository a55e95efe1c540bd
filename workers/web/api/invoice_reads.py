"""Reads of invoices: requests that ask at the same time share a statement, requests that wait share a look."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from functools import partial

from starlette.requests import Request

from domain.event import Told
from workers.store.database import UNAVAILABLE
from workers.store.reads.invoices import invoices_by_id, sequences_of
from workers.store.rows import StoredRow
from workers.web.api.access import Caller
from workers.web.api.api import STORE_SECONDS, Api, away
from workers.web.api.waiting import Waiting
from workers.web.gathering import Gathering
from workers.web.problems import Problem
from workers.web.threads import Overloaded

MOST_TOGETHER, MOST_WAITING = 500, 5000
_ID = re.compile(r"inv_[0-9a-f]{32}")


def is_id(text: str) -> bool:
    """Whether this has the form of an invoice's id."""
    return _ID.fullmatch(text) is not None


class InvoiceReads:
    """Finds invoices by their ids. Used on one event loop."""

    def __init__(self, api: Api) -> None:
        self._read = partial(invoices_by_id, api.store.database)
        self._reading: Gathering[str, StoredRow | None] = Gathering(
            api.threads, self._read_all, most=MOST_TOGETHER, most_waiting=MOST_WAITING, seconds=STORE_SECONDS
        )
        self.waiting = Waiting(api.threads, partial(sequences_of, api.store.database))

    async def find(self, caller: Caller, invoice_id: str) -> StoredRow:
        """An invoice that the caller sees. Raises Problem: 404 (also for others' invoices), 503."""
        row = await self._find(invoice_id) if is_id(invoice_id) else None
        if row is None or not caller.sees(row.account):
            raise Problem(404, "there is no such invoice")
        return row

    async def wait(self, request: Request, row: Told, after: int, seconds: float) -> Told:
        """The invoice once its sequence is above ``after``; as it was when the time is up or the client leaves."""
        if row.sequence > after:
            return row
        waiting = asyncio.create_task(self.waiting.until_after(row.id, after, seconds))
        leaving = asyncio.create_task(_until_left(request))
        try:
            await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            waiting.cancel()
        changed = waiting.done() and not waiting.cancelled() and waiting.result()
        return (await self._find(row.id) or row) if changed else row

    async def _find(self, invoice_id: str) -> StoredRow | None:
        try:
            return await self._reading.ask(invoice_id)
        except (Overloaded, *UNAVAILABLE) as error:
            raise away(error) from None

    def _read_all(self, ids: Sequence[str]) -> list[StoredRow | None]:
        found = self._read(ids)
        return [found.get(one) for one in ids]


async def _until_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
