"""``GET /v1/invoices/{id}``: one invoice as it is now."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from domain.event import invoice_fields
from domain.permissions import Action
from workers.store.reads.invoices import invoices_by_id
from workers.store.rows import StoredRow
from workers.web.api.access import Caller
from workers.web.api.api import Api, answer, read_query
from workers.web.problems import Problem


class Invoices:
    """Reads invoices."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[Route]:
        """What the application serves of it."""
        return [Route("/v1/invoices/{id}", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """One invoice."""
        caller = await self._api.access.require(request, Action.READ)
        read_query(request, ())
        row = await self.find(caller, request.path_params["id"])
        return answer(invoice_fields(row), headers={"etag": f'"{row.sequence}"'})

    async def find(self, caller: Caller, invoice_id: str) -> StoredRow:
        """An invoice that the caller sees. Raises Problem 404: nobody learns of others'."""
        rows: dict[str, StoredRow] = await self._api.ask(self._api.store.database.read, invoices_by_id, [invoice_id])
        if invoice_id not in rows or not caller.sees(rows[invoice_id].account):
            raise Problem(404, "there is no such invoice")
        return rows[invoice_id]
