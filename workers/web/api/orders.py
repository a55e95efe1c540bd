"""``POST /v1/orders``: one order, or many as NDJSON. Through the intake that takes those that come by message."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from domain.event import invoice_fields
from domain.order import Order
from domain.permissions import Action
from domain.status import OPEN, UNMADE
from workers.intake.direct import Stored, store_orders
from workers.intake.orders import Desk
from workers.store.database import UNAVAILABLE
from workers.store.reads.invoices import invoices_by_id
from workers.store.rows import StoredRow
from workers.web.api.api import JSON, NDJSON, STORE_SECONDS, Api, answer, away, media_type, read_document
from workers.web.api.bulk import read_lines, take_lines
from workers.web.api.headers import entity_tag, idempotency_key, preferred_wait, trace_of
from workers.web.api.invoice_reads import InvoiceReads
from workers.web.api.order_check import check, refused, with_key
from workers.web.api.schema.operation import route
from workers.web.api.schema.orders import TAKE_ORDERS
from workers.web.gathering import Gathering
from workers.web.problems import Problem
from workers.web.threads import Overloaded

MOST_TOGETHER, MOST_WAITING = 200, 2000


class Orders:
    """Takes orders over HTTP."""

    def __init__(self, api: Api, desk: Desk, invoices: InvoiceReads) -> None:
        self._api = api
        self._desk = desk
        self._invoices = invoices
        self._store_all = partial(store_orders, desk, partial(invoices_by_id, api.store.database))
        self._storing: Gathering[tuple[Order, str], Stored | Exception] = Gathering(
            api.threads, self._store_all, most=MOST_TOGETHER, most_waiting=MOST_WAITING, seconds=STORE_SECONDS
        )

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [route(TAKE_ORDERS, self.take)]

    async def take(self, request: Request) -> Response:
        """An order, or many."""
        caller = await self._api.access.require(request, Action.CREATE)
        if media_type(request) == NDJSON:
            lines = await read_lines(request)
            self._api.access.spend(caller, len(lines) - 1)
            body = await self._api.ask(take_lines, self._desk, caller, self._store_all, lines, trace_of(request))
            return Response(body, headers={"cache-control": "no-store"}, media_type=NDJSON)
        if media_type(request) != JSON:
            raise Problem(415, f"the body must be {JSON}, or {NDJSON} for many orders")
        fields = with_key(await read_document(request), idempotency_key(request))
        row, is_repeated = await self._store(check(self._desk, caller, fields, trace_of(request)))
        return await self._answer(request, row, is_repeated)

    async def _store(self, order: tuple[Order, str]) -> tuple[StoredRow, bool]:
        """The order's invoice, and whether it was there already. Raises Problem: 409, 422, 503."""
        try:
            stored = await self._storing.ask(order)
            if isinstance(stored, Exception):
                raise stored
        except (Overloaded, *UNAVAILABLE) as error:
            raise away(error) from None
        if stored.invoice is None:
            raise refused(stored.added)
        return stored.invoice, stored.added.outcome == "repeated"

    async def _answer(self, request: Request, row: StoredRow, is_repeated: bool) -> Response:
        wait = preferred_wait(request)
        headers, status = {"location": f"/v1/invoices/{row.id}"}, 202
        if wait is not None:
            headers["preference-applied"] = f"wait={wait}"
            if row.status in UNMADE:
                row = await self._invoices.wait(request, row, row.sequence, wait)
            status = 202 if row.status in UNMADE else 201 if row.status in OPEN else 200
        if is_repeated:
            headers["idempotency-replayed"], status = "true", 200
        return answer(invoice_fields(row), status, headers | {"etag": entity_tag(row.sequence)})
