"""``/console/invoices``: which invoices match a filter, and what each waits for next."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from domain.status import Status
from workers.store.reads.invoices import page_of_invoices
from workers.web.console.console import Console, read_filter
from workers.web.console.person import Person

FILTERS = ("status", "account", "q", "since", "before")
PAGE = 50


class Invoices:
    """The list."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [self._console.route("/console/invoices", self.list, live_seconds=10.0)]

    async def list(self, request: Request, person: Person) -> Response:
        """A page of them, newest first."""
        given = read_filter(request, FILTERS)
        status = given.get("status")
        find = partial(page_of_invoices, accounts=person.accounts, status=status, limit=PAGE)
        rows = await self._console.ask(self._console.store.database.read, find)
        return await self._console.draw(request, person, "invoices.html", rows=rows, given=given, statuses=list(Status))
