"""``GET /v1/snapshot``: every invoice as of one position of the log, for clients that lost what they knew."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import ExitStack

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from domain.exact_json import write_json
from domain.permissions import Action
from domain.visible import escape
from workers.store.reads.log import PositionGone
from workers.store.reads.snapshot import Moment, States, read_moment, read_states
from workers.web.api.access import Caller
from workers.web.api.api import NDJSON, Api, read_query
from workers.web.api.events import position_gone, read_position
from workers.web.api.places import Places
from workers.web.api.schema.events import POSITION_HEADER, SHOW_SNAPSHOT
from workers.web.api.schema.operation import route
from workers.web.api.streaming import Pieces


class Snapshots:
    """Serves snapshots, a page of rows at a time, as fast as the client reads."""

    def __init__(self, api: Api, places: Places) -> None:
        self._api = api
        self._places = places

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [route(SHOW_SNAPSHOT, self.show)]

    async def show(self, request: Request) -> Response:
        """One invoice per line; the position is in a header and in each line."""
        caller = await self._api.access.require(request, Action.READ)
        query = read_query(request, ("as_of",))
        as_of = read_position("as_of", query["as_of"]) if "as_of" in query else None
        with ExitStack() as place:
            place.enter_context(self._places.of(caller.token.id))
            moment = await self._moment(as_of)
            first = await self._read(caller, moment, "")
            headers = {POSITION_HEADER: str(moment.position)}
            return Pieces(self._lines(caller, moment, first), headers, NDJSON, place.pop_all())

    async def _moment(self, as_of: int | None) -> Moment:
        try:
            return await self._api.ask(self._api.store.database.read, read_moment, as_of)
        except PositionGone as gone:
            raise position_gone(gone) from None

    async def _lines(self, caller: Caller, moment: Moment, page: States) -> AsyncGenerator[bytes]:
        """Raises Problem when the database goes away in the middle, or the token ends."""
        while True:
            if page.invoices:
                lines = [escape(write_json({**one, "as_of": moment.position})) for one in page.invoices]
                yield "".join(f"{line}\n" for line in lines).encode()
            if page.next is None:
                return
            await self._api.access.require_still(caller, Action.READ)
            page = await self._read(caller, moment, page.next)

    async def _read(self, caller: Caller, moment: Moment, after: str) -> States:
        return await self._api.ask(self._api.store.database.read, read_states, moment, after, caller.accounts)
