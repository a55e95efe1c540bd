"""Files of many rows, read page after page while they are sent, for as long as whoever asked is signed in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

import structlog
from starlette.requests import Request
from starlette.responses import Response

from workers.store.database import UNAVAILABLE
from workers.web.api.places import Places
from workers.web.api.streaming import Pieces
from workers.web.console.console import Console
from workers.web.console.person import Person
from workers.web.console.refusals import Refused
from workers.web.problems import Problem
from workers.web.threads import Overloaded

log = structlog.get_logger()

#: Where the next page begins; None: at the newest, or behind the last.
Place = TypeVar("Place")
#: A page of a file, and where the next one begins.
Read = Callable[[Place | None], Awaitable[tuple[bytes, Place | None]]]


class Downloads:
    """Sends files, a bounded number at a time: each keeps a connection for as long as its reader takes."""

    def __init__(self, console: Console, places: Places) -> None:
        self._console = console
        self._places = places

    async def send(self, request: Request, person: Person, read: Read[Place], name: str, kind: str) -> Response:
        """All pages as one file. Raises Refused where too many are under way, and what the first page raises."""
        self._require_place(person)
        first = await read(None)

        async def pieces() -> AsyncGenerator[bytes]:
            piece, place = first
            yield piece
            while place is not None:
                piece, place = await self._next(request, person, read, place)
                yield piece

        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Pieces(pieces(), headers, kind, self._places.of(person.name))

    async def _next(
        self, request: Request, person: Person, read: Read[Place], place: Place
    ) -> tuple[bytes, Place | None]:
        """The next page. A file that can't go on is broken off, not ended, so that nobody takes a part for the
        whole."""
        try:
            now = await self._console.gate.look(request)
            if now is None or (now.role, now.accounts) != (person.role, person.accounts):
                raise Problem(403, "whoever asked is not signed in any more")
            return await read(place)
        except (Overloaded, *UNAVAILABLE) as error:
            log.warning("console.store_away", error=type(error).__name__)
            raise Problem(503, "the database does not answer") from None

    def _require_place(self, person: Person) -> None:
        try:
            with self._places.of(person.name):
                pass
        except Problem:
            detail = "Each of them reads the database for as long as it takes. Try again when one of them has ended."
            raise Refused(503, "Too many pages and downloads are open", detail) from None
