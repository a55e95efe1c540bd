"""``/console/endpoints``: receivers of webhooks, how each does, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from workers.store.acts import bare_url
from workers.store.reads.endpoints import doing_within, page_of_endpoints
from workers.store.reads.tries import COUNTED, DAY, QUARTER, Doing, shown_tries
from workers.store.rows import StoredRow
from workers.web.console.bars import bars_of
from workers.web.console.console import Console, read_filter
from workers.web.console.endpoint_states import Failure, answer_text, answered_of, condition_of, failures_of, share
from workers.web.console.person import Person
from workers.web.console.refusals import NotFound

#: A page of the list, and how many of each one's newest events are looked at for it.
PAGE, LOOK_IN_LIST = 20, 200
#: The same for one's own page.
LOOK, SHOWN_TRIES, SHOWN_FAILURES = 1000, 15, 5
PLACE = "/console/endpoints"
LIVE_SECONDS = 10.0
#: What may be said to have been done.
DONE = frozenset({"disabled", "enabled", "enabling", "removed", "removing"})


class Endpoints:
    """The list, and one endpoint."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [
            self._console.route(PLACE, self.list, live_seconds=LIVE_SECONDS),
            self._console.route(f"{PLACE}/{{id}}", self.show, live_seconds=LIVE_SECONDS),
        ]

    async def list(self, request: Request, person: Person) -> Response:
        """Those that the person sees, oldest first."""
        given = read_filter(request, ("after", "done"))
        read = partial(page_of_endpoints, after=given.get("after"), limit=PAGE, look=LOOK_IN_LIST)
        found, following = await self._console.ask(read, self._console.store.database, person.accounts)
        breakers = await self.breakers(tuple(one.endpoint.id for one in found))
        rows = [_in_list(one, breakers.get(one.endpoint.id)) for one in found]
        done = given.get("done") if given.get("done") in DONE else None
        older = None if following is None else f"{PLACE}?after={following}"
        return await self._console.draw(
            request, person, "endpoints.html", rows=rows, older=older, counted=COUNTED, done=done
        )

    async def show(self, request: Request, person: Person) -> Response:
        """One of them."""
        given = read_filter(request, ("done",))
        doing = await self.find(request, person)
        return await self.draw(request, person, doing, done=given.get("done") if given.get("done") in DONE else None)

    async def find(self, request: Request, person: Person) -> Doing:
        """The one that the address names. Raises NotFound."""
        database, endpoint_id = self._console.store.database, request.path_params["id"]
        found = await self._console.ask(doing_within, database, endpoint_id, person.accounts, LOOK)
        if found is None:
            raise NotFound("There is no such endpoint")
        return found

    async def breakers(self, ids: tuple[str, ...]) -> Mapping[str, str]:
        """Their breakers; nothing where Redis does not answer."""
        return await self._console.ask(self._console.around.breakers, ids)

    async def draw(
        self,
        request: Request,
        person: Person,
        doing: Doing,
        status: int = 200,
        *,
        done: str | None = None,
        problem: str | None = None,
        given: Mapping[str, str] | None = None,
        opened: str | None = None,
        trial: object = None,
    ) -> Response:
        """Its page. ``problem``: why the form called ``opened`` can't be used, which is shown as it was ``given``.
        ``trial``: what came of a test."""
        breaker = (await self.breakers((doing.endpoint.id,))).get(doing.endpoint.id)
        failures = failures_of(doing.tries.rows)
        ids = [row.id for row in doing.tries.rows[:SHOWN_TRIES]] + [one.newest.id for one in failures[:SHOWN_FAILURES]]
        found = {row.id: row for row in await self._console.ask(self._console.store.database.read, shown_tries, ids)}
        content = _content(doing, breaker, failures, found)
        form = {"done": done, "problem": problem, "given": given or {}, "opened": opened, "trial": trial}
        return await self._console.draw(request, person, "endpoint.html", status, **content, **form)


def _content(
    doing: Doing, breaker: str | None, failures: Sequence[Failure], found: Mapping[int, StoredRow]
) -> dict[str, object]:
    """What the page shows. ``found``: the tries that are shown, with their answers."""
    told = [(one, found.get(one.newest.id)) for one in failures[:SHOWN_FAILURES]]
    return {
        "doing": doing,
        "endpoint": doing.endpoint,
        "url": bare_url(doing.endpoint.url),
        "condition": condition_of(doing, breaker),
        "answered": answered_of(failures),
        "failures": [(one, "" if row is None else answer_text(row.answer)) for one, row in told],
        "tries": [found[row.id] for row in doing.tries.rows[:SHOWN_TRIES] if row.id in found],
        "bars": bars_of(((row.at, row.outcome == "delivered") for row in doing.tries.rows), doing.tries.now),
        "quarter": share(*doing.tries.since(QUARTER)),
        "day": share(*doing.tries.since(DAY)),
        "counted": COUNTED,
    }


def _in_list(doing: Doing, breaker: str | None) -> dict[str, object]:
    """A row of the list."""
    return {
        "doing": doing,
        "endpoint": doing.endpoint,
        "url": bare_url(doing.endpoint.url),
        "condition": condition_of(doing, breaker),
        "quarter": share(*doing.tries.since(QUARTER)),
        "day": share(*doing.tries.since(DAY)),
        "last_error": doing.tries.last_error,
    }
