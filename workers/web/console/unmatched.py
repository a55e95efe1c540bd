"""``/console/unmatched``: callbacks that no invoice is known for, linked to one or dismissed."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from domain.masking import mask
from domain.permissions import Action
from workers.store.operate import callbacks
from workers.store.queries import find_invoice
from workers.store.reads.settling import find_unmatched, page_of_unmatched
from workers.store.rows import StoredRow
from workers.web.console.console import Console, read_filter, read_form
from workers.web.console.numbers import number_of
from workers.web.console.person import Person
from workers.web.console.reasons import why_no_reason
from workers.web.console.refusals import NotFound

PLACE = "/console/unmatched"
PAGE = 50
#: What may be said to have been done.
DONE = frozenset({"linked", "dismissed"})
LONGEST_NAME = 255


class Unmatched:
    """The list, and one callback."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._secrets = tuple(key for account in console.accounts.values() for key in account.known_keys())

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [
            self._console.route(PLACE, self.list, live_seconds=10.0),
            self._console.route(f"{PLACE}/{{id}}", self.show),
            self._console.route(f"{PLACE}/{{id}}/link", self.link, Action.REDRIVE, ("POST",)),
            self._console.route(f"{PLACE}/{{id}}/dismiss", self.dismiss, Action.REDRIVE, ("POST",)),
        ]

    async def list(self, request: Request, person: Person) -> Response:
        """A page of them, newest first."""
        given = read_filter(request, ("before", "done"))
        before = number_of(given.get("before", ""))
        find = partial(page_of_unmatched, accounts=person.accounts, before=before, limit=PAGE)
        rows, following = await self._console.ask(self._console.store.database.read, find)
        return await self._console.draw(
            request,
            person,
            "unmatched.html",
            rows=rows,
            older=None if following is None else f"{PLACE}?before={following}",
            done=given.get("done") if given.get("done") in DONE else None,
        )

    async def show(self, request: Request, person: Person) -> Response:
        """One of them, as it came."""
        return await self._draw(request, person, await self._find(request, person))

    async def link(self, request: Request, person: Person) -> Response:
        """Say which invoice it is about; it is judged then like one that was matched by itself."""
        row, given = await self._find(request, person), await read_form(request, ("reason", "invoice"))
        name = given.get("invoice", "").strip()[:LONGEST_NAME]
        why = why_no_reason(given) or (None if name else "Name the invoice, by its id or its order.")
        if why is not None:
            return await self._draw(request, person, row, why, given, "link")
        find = partial(find_invoice, account=row.account)
        invoice = await self._console.ask(self._console.store.database.read, find, name)
        if invoice is None or not person.sees(invoice.account):
            return await self._draw(request, person, row, "There is no such invoice of this account.", given, "link")
        actor = person.acting(given["reason"].strip())
        problem = await self._console.ask(callbacks.link, self._console.store, actor, row.id, invoice.id)
        if problem is not None:
            return await self._draw(request, person, row, problem, given, "link", 409)
        return RedirectResponse(f"{PLACE}?done=linked", 303)

    async def dismiss(self, request: Request, person: Person) -> Response:
        """Say that it is about nothing of ours."""
        row, given = await self._find(request, person), await read_form(request, ("reason",))
        why = why_no_reason(given)
        if why is not None:
            return await self._draw(request, person, row, why, given, "dismiss")
        actor = person.acting(given["reason"].strip())
        if not await self._console.ask(callbacks.dismiss, self._console.store, actor, row.id):
            raise NotFound("There is no such callback")
        return RedirectResponse(f"{PLACE}?done=dismissed", 303)

    async def _find(self, request: Request, person: Person) -> StoredRow:
        number = number_of(request.path_params["id"])
        find, read = partial(find_unmatched, accounts=person.accounts), self._console.store.database.read
        row: StoredRow | None = None if number is None else await self._console.ask(read, find, number)
        if row is None:
            raise NotFound("There is no such callback")
        return row

    async def _draw(
        self,
        request: Request,
        person: Person,
        row: StoredRow,
        problem: str | None = None,
        given: dict[str, str] | None = None,
        opened: str | None = None,
        status: int = 422,
    ) -> Response:
        text = mask(bytes(row.body).decode("utf-8", "replace"), self._secrets)
        content = {"row": row, "text": text, "problem": problem, "given": given or {}, "opened": opened}
        return await self._console.draw(request, person, "callback.html", status if problem else 200, **content)
