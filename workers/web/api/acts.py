"""``POST /v1/invoices/{id}/cancel``, ``mark``, ``recheck``: what operators do by hand, kept with who and why."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from domain.permissions import Action
from domain.requests import MarkRequest, Reason
from domain.status import Status
from workers.store.operate.invoices import Done, Mark, Moved, cancel, mark, recheck
from workers.web.api.access import Caller
from workers.web.api.api import Api, answer_invoice, read_query, read_request
from workers.web.api.headers import entity_tag, expected_sequences
from workers.web.api.invoice_reads import InvoiceReads
from workers.web.api.schema.acts import CANCEL_INVOICE, MARK_INVOICE, RECHECK_INVOICE
from workers.web.api.schema.operation import route
from workers.web.problems import Problem

#: Acts on ``invoice_id``, if its sequence is among ``expected``.
Do = Callable[..., Done | None]


class Acts:
    """Changes invoices by hand."""

    def __init__(self, api: Api, reads: InvoiceReads) -> None:
        self._api = api
        self._reads = reads

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [
            route(CANCEL_INVOICE, self.cancel),
            route(MARK_INVOICE, self.mark),
            route(RECHECK_INVOICE, self.recheck),
        ]

    async def cancel(self, request: Request) -> Response:
        """Give an order up. One that is cancelled already is answered the same."""
        caller = await self._api.access.require(request, Action.CANCEL)
        actor = caller.acting((await read_request(request, Reason)).reason)
        return await self._do(request, caller, partial(cancel, self._api.store, actor), Status.CANCELLED)

    async def mark(self, request: Request) -> Response:
        """Say what became of an invoice."""
        caller = await self._api.access.require(request, Action.MARK)
        body = await read_request(request, MarkRequest)
        actor, said = caller.acting(body.reason), Mark(Status(body.status), body.amount)
        return await self._do(request, caller, partial(mark, self._api.store, actor, request=said))

    async def recheck(self, request: Request) -> Response:
        """Have the provider asked now."""
        caller = await self._api.access.require(request, Action.RECHECK)
        actor = caller.acting((await read_request(request, Reason)).reason)
        return await self._do(request, caller, partial(recheck, self._api.store, actor))

    async def _do(self, request: Request, caller: Caller, act: Do, wanted: Status | None = None) -> Response:
        """Act, and answer the invoice as it is then. Raises Problem: 404, 409 where nothing could be done, 412."""
        read_query(request, ())
        row = await self._reads.find(caller, request.path_params["id"])
        try:
            done = await self._api.ask(partial(act, invoice_id=row.id, expected=expected_sequences(request)))
        except Moved as moved:
            detail = f"its sequence is {moved.sequence}"
            raise Problem(412, detail, headers={"etag": entity_tag(moved.sequence)}) from None
        row = await self._reads.find(caller, row.id)
        if done is None or not (done.done or done.status == wanted):
            why = "it is gone" if done is None else done.why or f"it is {done.status}"
            title = "The invoice does not allow it"
            raise Problem(409, why, kind="not-allowed", title=title)
        return answer_invoice(row)
