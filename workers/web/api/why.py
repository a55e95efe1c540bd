"""``GET /v1/invoices/{id}/why``: the one reason why nothing happens to an invoice."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from domain.permissions import Action
from domain.why import Why, first_cause, why_fields
from workers.store.database import Database
from workers.store.endpoints import list_endpoints
from workers.store.reads.endpoints import is_within
from workers.store.reads.why.order import Around, read_facts
from workers.web.api.api import Api, answer, read_query
from workers.web.api.invoice_reads import InvoiceReads
from workers.web.api.schema.operation import route
from workers.web.api.schema.why import SHOW_WHY
from workers.web.problems import Problem


@dataclass(frozen=True, slots=True)
class Whys:
    """Serves the reason."""

    api: Api
    reads: InvoiceReads
    around: Around

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [route(SHOW_WHY, self.why)]

    async def why(self, request: Request) -> Response:
        """Of one invoice."""
        caller = await self.api.access.require(request, Action.READ)
        read_query(request, ())
        row = await self.reads.find(caller, request.path_params["id"])
        found = await self.api.ask(why_within, self.api.store.database, row.id, self.around, caller.accounts)
        if found is None:
            raise Problem(404, "there is no such invoice")
        return answer(why_fields(found))


def why_within(database: Database, invoice_id: str, around: Around, accounts: Collection[str] | None) -> Why | None:
    """The cause. A caller limited to ``accounts`` is told only of endpoints that it sees. None: the invoice is gone."""
    if accounts is not None:
        sees = frozenset(one.id for one in database.read(list_endpoints) if is_within(one, accounts))
        around = replace(around, sees=sees)
    facts = database.read(read_facts, database, invoice_id, around)
    return None if facts is None else first_cause(facts)
