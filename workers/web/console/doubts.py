"""``/console/doubts``: invoices whose create's answer was lost, and which of them wait for a person."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from domain.permissions import Action
from workers.store.operate.invoices import create_all_again
from workers.store.reads.invoices import invoices_by_id
from workers.store.reads.settling import page_of_doubts
from workers.web.console.console import Console, read_filter, read_form
from workers.web.console.numbers import number_of
from workers.web.console.person import Person
from workers.web.console.reasons import why_no_reason
from workers.web.console.refusals import NotFound

PLACE = "/console/doubts"
PAGE = 50
#: It is drawn anew after this time even if nothing was added: an invoice may have left it by a mere update.
LIVE_SECONDS = 10.0


class Doubts:
    """The list, and what is done with those on it."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [
            self._console.route(PLACE, self.list, live_seconds=LIVE_SECONDS),
            self._console.route(f"{PLACE}/create-again", self.create_again, Action.REDRIVE, ("POST",)),
        ]

    async def list(self, request: Request, person: Person) -> Response:
        """A page of them, newest first."""
        given = read_filter(request, ("before", "again", "left"))
        return await self._draw(request, person, given)

    async def create_again(self, request: Request, person: Person) -> Response:
        """Those that were chosen: one, or all of a page."""
        given = await read_form(request, ("only", "ids", "reason", "before"))
        ids = [given["only"]] if given.get("only") else given.get("ids", "").split()
        why = why_no_reason(given) or (None if ids else "Choose at least one invoice.")
        if why is not None:
            return await self._draw(request, person, given, why)
        found = await self._console.ask(invoices_by_id, self._console.store.database, ids[:PAGE])
        chosen = [one for one in ids[:PAGE] if one in found and person.sees(found[one].account)]
        if not chosen:
            raise NotFound("There is no such invoice")
        actor = person.acting(given["reason"].strip())
        done = await self._console.ask(lambda: list(create_all_again(self._console.store, actor, chosen)))
        again = sum(one.done for one in done)
        return RedirectResponse(f"{PLACE}?again={again}&left={len(done) - again}", 303)

    async def _draw(
        self, request: Request, person: Person, given: dict[str, str], problem: str | None = None
    ) -> Response:
        find = partial(page_of_doubts, accounts=person.accounts, before=given.get("before"), limit=PAGE)
        rows, following = await self._console.ask(self._console.store.database.read, find)
        searchable = {row.id: self._console.store.policy_of(row.provider_account).searchable for row in rows}
        content = {
            "rows": rows,
            "searchable": searchable,
            "older": None if following is None else f"{PLACE}?before={following}",
            "given": given,
            "problem": problem,
            "again": number_of(given.get("again", "")),
            "left": number_of(given.get("left", "")),
        }
        return await self._console.draw(request, person, "doubts.html", 422 if problem else 200, **content)
