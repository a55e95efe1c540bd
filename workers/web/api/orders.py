"""``POST /v1/orders``: one order, or many as NDJSON, through the same intake as orders that come by message."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from domain.event import Told
from domain.order import Order
from domain.permissions import Action
from domain.status import OPEN, UNMADE
from workers.intake.desk import Desk
from workers.intake.direct import Stored, store_orders
from workers.store.database import UNAVAILABLE
from workers.store.reads.invoices import invoices_by_id
from workers.web.api.access import revoked
from workers.web.api.api import JSON, NDJSON, STORE_SECONDS, Api, answer_invoice, away, media_type, read_document
from workers.web.api.bulk import read_lines, take_lines
from workers.web.api.headers import idempotency_key, preferred_wait, trace_of
from workers.web.api.invoice_reads import InvoiceReads
from workers.web.api.order_check import check, refused, with_key
from workers.web.api.schema.operation import route
from workers.web.api.schema.orders import TAKE_ORDERS
from workers.web.gathering import Gathering
from workers.web.problems import Problem
from workers.web.threads import Overloaded

MOST_TOGETHER, MOST_WAITING = 200, 2000
#: An order whose bytes are here is read and checked within two turns; six turns of an idle loop take 0.1 ms.
TURNS = 6


class _Given(NamedTuple):
    """An order with its provider's name, and the id of the token that it came with."""

    order: tuple[Order, str]
    token: str


class Orders:
    """Takes orders over HTTP."""

    def __init__(self, api: Api, desk: Desk, invoices: InvoiceReads) -> None:
        self._api = api
        self._desk = desk
        self._invoices = invoices
        self._store_all = partial(store_orders, desk, partial(invoices_by_id, api.store.database))
        self._storing: Gathering[_Given, Stored | Exception] = Gathering(
            api.threads,
            self._store_given,
            most=MOST_TOGETHER,
            most_waiting=MOST_WAITING,
            seconds=STORE_SECONDS,
            turns=TURNS,
        )

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [route(TAKE_ORDERS, self.take)]

    async def take(self, request: Request) -> Response:
        """An order, or many."""
        kind = media_type(request)
        if kind == NDJSON:
            return await self._take_lines(request)
        caller = await self._api.access.recognise(request, Action.CREATE)
        try:
            if kind != JSON:
                raise Problem(415, f"the body must be {JSON}, or {NDJSON} for many orders")
            fields = with_key(await read_document(request), idempotency_key(request))
            order = check(self._desk, caller, fields, trace_of(request))
        except Problem:
            await self._api.access.require_still(caller, Action.CREATE)
            raise
        row, is_repeated = await self._store(_Given(order, caller.token.id))
        return await self._answer(request, row, is_repeated)

    async def _take_lines(self, request: Request) -> Response:
        caller = await self._api.access.require(request, Action.CREATE)
        lines = await read_lines(request)
        self._api.access.spend(caller, len(lines) - 1)
        body = await self._api.ask(take_lines, self._desk, caller, self._store_all, lines, trace_of(request))
        return Response(body, headers={"cache-control": "no-store"}, media_type=NDJSON)

    def _store_given(self, given: Sequence[_Given]) -> list[Stored | Exception]:
        """Store the orders whose tokens are valid: read now, after the orders came."""
        gone = self._api.access.gone(sorted({one.token for one in given}))
        stored = iter(self._store_all([one.order for one in given if one.token not in gone]))
        return [revoked() if one.token in gone else next(stored) for one in given]

    async def _store(self, order: _Given) -> tuple[Told, bool]:
        """The order's invoice, and whether it existed already. Raises Problem: 401, 409, 422, 503."""
        try:
            stored = await self._storing.ask(order)
            if isinstance(stored, Exception):
                raise stored
        except (Overloaded, *UNAVAILABLE) as error:
            raise away(error) from None
        if stored.invoice is None:
            raise refused(stored.added)
        return stored.invoice, stored.added.outcome == "repeated"

    async def _answer(self, request: Request, row: Told, is_repeated: bool) -> Response:
        wait = preferred_wait(request)
        headers, status = {"location": f"/v1/invoices/{row.id}"}, 202
        if wait is not None:
            headers["preference-applied"] = f"wait={wait}"
            if row.status in UNMADE:
                row = await self._invoices.wait(request, row, row.sequence, wait)
            status = 202 if row.status in UNMADE else 201 if row.status in OPEN else 200
        if is_repeated:
            headers["idempotency-replayed"], status = "true", 200
        return answer_invoice(row, status, headers)
