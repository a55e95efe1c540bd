"""``/console/search``: any name of an invoice leads to it, or to all that it means."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from domain.why.facts import Rejected
from workers.store.reads.search import Found, Kind, search
from workers.store.reads.selection import Page
from workers.store.reads.why.rejected import find_rejected
from workers.web.console.console import Console, read_filter
from workers.web.console.filters import query_of
from workers.web.console.invoices import PLACE, Listed, with_next
from workers.web.console.person import Person
from workers.web.console.refusals import Refused

LONGEST = 300

#: What the name was understood as.
MEANINGS: dict[Kind, str] = {
    "id": "an invoice's id",
    "order": "an order id",
    "event": "an event's id",
    "idempotency key": "an idempotency key",
    "reference": "the provider's reference",
    "transaction": "a transaction",
    "address": "a payment address",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a name means to a person. ``rejected``: a message that was rejected has it, and no invoice does."""

    found: Found | None
    listed: Listed | None
    rejected: Rejected | None

    def leads_to(self) -> str | None:
        """The one invoice that is meant."""
        return self.found.newest.id if self.found is not None and len(self.found.rows) == 1 else None


class Searching:
    """The box of every page."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [self._console.route("/console/search", self.page)]

    async def page(self, request: Request, person: Person) -> Response:
        """To the one invoice; several as a list; none: what was looked for, and where else it may be."""
        name = read_filter(request, ("q",)).get("q", "").strip()
        if not name:
            return RedirectResponse(PLACE, 303)
        if len(name) > LONGEST:
            raise Refused(400, "The name is too long", "A name has 300 characters at most.")
        answer = await self._console.ask(self._look, name, person)
        invoice_id = answer.leads_to()
        if invoice_id is not None:
            return RedirectResponse(f"{PLACE}/{invoice_id}", 303)
        return await self._console.draw(
            request,
            person,
            "search.html",
            200 if answer.found else 404,
            name=name,
            answer=answer,
            meaning=MEANINGS[answer.found.kind] if answer.found else None,
            all_of_them=f"{PLACE}?{query_of({'q': name})}",
            meanings=list(MEANINGS.values()),
        )

    def _look(self, name: str, person: Person) -> Answer:
        read = self._console.store.database.read
        found = read(partial(search, accounts=person.accounts), name)
        if found is None:
            return Answer(None, None, read(partial(find_rejected, accounts=person.accounts), name))
        if len(found.rows) == 1:
            return Answer(found, None, None)
        page = Page(found.rows, len(found.rows), None, None, found.kind)
        return Answer(found, Listed(page, list(with_next(self._console, found.rows, person))), None)
