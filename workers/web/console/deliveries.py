"""``/console/deliveries``: webhooks, each try of them, and what the receivers answered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from domain.permissions import Action
from domain.schedule import DELIVERY_DELAYS
from workers.store.acts import bare_url
from workers.store.endpoints import EVENT_TYPES
from workers.store.operate.replay import NoSuchEndpoint, NoSuchEvent, NotForEndpoint
from workers.store.operate.replay_jobs import begin
from workers.store.queries import delivery_before
from workers.store.reads.deliveries import STATES, Wanted, find_delivery, page_of_deliveries
from workers.store.reads.endpoints import seen_endpoints
from workers.store.replay import Choice
from workers.store.rows import StoredRow
from workers.web.console.console import Console, read_filter, read_form
from workers.web.console.endpoint_states import answer_text
from workers.web.console.person import Person
from workers.web.console.reach import Reach
from workers.web.console.reasons import why_no_reason
from workers.web.console.refusals import NotFound, Refused
from workers.web.console.times import read_field

PLACE = "/console/deliveries"
FILTERS = ("endpoint", "state", "type", "event", "invoice", "since", "until", "before")
PAGE = 50
LIVE_SECONDS = 10.0
LONGEST_NUMBER = 18
#: Of an event's bytes; it is never so long.
SHOWN_BODY = 64 * 1024
_BEFORE = re.compile(r"(\d{1,18})\.([\w-]{0,40})", re.ASCII)


class Deliveries:
    """The list, and one delivery."""

    def __init__(self, console: Console, reach: Reach) -> None:
        self._console = console
        self._reach = reach

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [
            self._console.route(PLACE, self.list, live_seconds=LIVE_SECONDS),
            self._console.route(f"{PLACE}/{{id}}", self.show, live_seconds=LIVE_SECONDS),
            self._console.route(f"{PLACE}/{{id}}/replay", self.replay, Action.REPLAY, ("POST",)),
        ]

    async def list(self, request: Request, person: Person) -> Response:
        """Those that match, newest event first. The filter is the query."""
        given = read_filter(request, FILTERS)
        database = self._console.store.database
        endpoints = await self._console.ask(seen_endpoints, database, person.accounts)
        wanted = _wanted(given, None if person.accounts is None else [one.id for one in endpoints])
        page = await self._console.ask(database.read, page_of_deliveries, wanted, PAGE)
        return await self._console.draw(
            request,
            person,
            "deliveries.html",
            rows=page.rows,
            given=given,
            older=_older(given, page.next),
            endpoints=[(one.id, bare_url(one.url)) for one in endpoints[:200]],
            states=STATES,
            types=sorted(EVENT_TYPES),
            bare_url=bare_url,
            without=lambda name: _place({key: value for key, value in given.items() if key not in {name, "before"}}),
        )

    async def show(self, request: Request, person: Person) -> Response:
        """One of them."""
        return await self._draw(request, person, *await self._find(request, person))

    async def replay(self, request: Request, person: Person) -> Response:
        """Send this one once more, as a job."""
        row, tries = await self._find(request, person)
        given = await read_form(request, ("reason",))
        why = why_no_reason(given)
        if why is not None:
            return await self._draw(request, person, row, tries, why, given)
        actor, choice = person.acting(given["reason"].strip()), Choice(row.endpoint_id)
        try:
            job = await self._console.ask(begin, self._console.store, actor, choice, row.event_id)
        except (NoSuchEndpoint, NoSuchEvent, NotForEndpoint):  # removed since
            raise NotFound("There is no such delivery") from None
        self._reach.wake_replays()
        return RedirectResponse(f"/console/jobs/{job.id}", 303)

    async def _find(self, request: Request, person: Person) -> tuple[StoredRow, Sequence[StoredRow]]:
        """Raises NotFound: also for one to an endpoint that the person does not see."""
        number, database = request.path_params["id"], self._console.store.database
        found: tuple[StoredRow, Sequence[StoredRow]] | None = None
        if number.isascii() and number.isdecimal() and len(number) <= LONGEST_NUMBER:
            found = await self._console.ask(database.read, find_delivery, int(number))
        if found is not None and person.accounts is not None:
            seen = {one.id for one in await self._console.ask(seen_endpoints, database, person.accounts)}
            found = found if found[0].endpoint_id in seen else None
        if found is None:
            raise NotFound("There is no such delivery")
        return found

    async def _draw(
        self,
        request: Request,
        person: Person,
        row: StoredRow,
        tries: Sequence[StoredRow],
        problem: str | None = None,
        given: Mapping[str, str] | None = None,
    ) -> Response:
        read = self._console.store.database.read
        waits = row.state == "due"
        content = {
            "row": row,
            "url": bare_url(row.url),
            "tries": [(one, answer_text(one.answer)) for one in tries],
            "most": len(DELIVERY_DELAYS),
            "body": bytes(row.body).decode("utf-8", "replace")[:SHOWN_BODY],
            "size": len(row.body),
            "before": await self._console.ask(read, delivery_before, row) if waits else None,
            "problem": problem,
            "given": given or {},
        }
        return await self._console.draw(request, person, "delivery.html", 422 if problem else 200, **content)


def _wanted(given: Mapping[str, str], seen: Sequence[str] | None) -> Wanted:
    """Raises Refused: a misspelled filter must not find everything."""
    if given.get("state") not in {None, *STATES}:
        raise _unusable(f"state: there are {', '.join(STATES)}")
    if given.get("type") not in {None, *EVENT_TYPES}:
        raise _unusable(f"type: there are {', '.join(sorted(EVENT_TYPES))}")
    endpoints = seen
    if "endpoint" in given:
        endpoints = [given["endpoint"]] if seen is None or given["endpoint"] in seen else []
    return Wanted(
        endpoints,
        given.get("state"),
        given.get("type"),
        given.get("event"),
        given.get("invoice"),
        _time("since", given),
        _time("until", given),
        _before(given),
    )


def _time(name: str, given: Mapping[str, str]) -> datetime | None:
    try:
        return read_field(name, given[name]) if name in given else None
    except ValueError as error:
        raise _unusable(str(error)) from None


def _before(given: Mapping[str, str]) -> tuple[int, str] | None:
    if "before" not in given:
        return None
    found = _BEFORE.fullmatch(given["before"])
    if found is None:
        raise _unusable("before: is a place that a page of this list names")
    return int(found[1]), found[2]


def _unusable(what: str) -> Refused:
    return Refused(400, "The filter can't be used", what)


def _older(given: Mapping[str, str], place: tuple[int, str] | None) -> str | None:
    return None if place is None else _place({**given, "before": f"{place[0]}.{place[1]}"})


def _place(given: Mapping[str, str]) -> str:
    return f"{PLACE}?{urlencode(given)}" if given else PLACE
