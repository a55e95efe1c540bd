"""``/console/contradictions``: what was said against what is known of an invoice. A mark of the invoice settles it."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from domain.contradicted import kind_and_words
from workers.store.reads.settling import page_of_contradictions
from workers.web.console.console import Console, read_filter
from workers.web.console.numbers import number_of
from workers.web.console.person import Person

PLACE = "/console/contradictions"
PAGE = 50


class Contradictions:
    """The list."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [self._console.route(PLACE, self.list, live_seconds=10.0)]

    async def list(self, request: Request, person: Person) -> Response:
        """A page of them, newest first."""
        given = read_filter(request, ("before", "all"))
        all_too, before = given.get("all") == "1", number_of(given.get("before", ""))
        find = partial(page_of_contradictions, accounts=person.accounts, before=before, limit=PAGE, settled_too=all_too)
        rows, following = await self._console.ask(self._console.store.database.read, find)
        older = None if following is None else f"{PLACE}?before={following}{'&all=1' if all_too else ''}"
        shown = [(row, *kind_and_words(row.note, row.detail)) for row in rows]
        return await self._console.draw(
            request, person, "contradictions.html", rows=shown, older=older, all_too=all_too
        )
