"""``/console/endpoints/{id}/replay``: what a replay would send, and how it is begun."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from domain.permissions import Action
from workers.store.acts import bare_url
from workers.store.endpoints import EVENT_TYPES
from workers.store.operate.replay import Job, NoSuchEndpoint, plan
from workers.store.operate.replay_jobs import begin
from workers.store.reads.tries import COUNTED, Doing
from workers.store.replay import Choice, Sampled, sample_of
from workers.web.console.console import Console, read_filter, read_form
from workers.web.console.endpoints import PLACE, Endpoints
from workers.web.console.person import Person
from workers.web.console.reach import Reach
from workers.web.console.reasons import why_no_reason
from workers.web.console.refusals import NotFound
from workers.web.console.times import read_field

WHATS = ("missed", "newest", "dead", "all")
TYPE = "type:"
FIELDS = ("what", "since", "until", *(f"{TYPE}{one}" for one in sorted(EVENT_TYPES)))
SAMPLE = 3
#: How many more events than were seen are sent without another look.
MORE = 20


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be sent."""

    job: Job
    sample: Sequence[Sampled]
    command: str


class EndpointReplays:
    """Replays of one endpoint's events."""

    def __init__(self, console: Console, pages: Endpoints, reach: Reach) -> None:
        self._console = console
        self._pages = pages
        self._reach = reach

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        place = f"{PLACE}/{{id}}/replay"
        return [
            self._console.route(place, self.show, Action.REPLAY),
            self._console.route(place, self.begin, Action.REPLAY, ("POST",)),
        ]

    async def show(self, request: Request, person: Person) -> Response:
        """How many it would send, a few of them, and what will change."""
        given = read_filter(request, FIELDS)
        doing = await self._pages.find(request, person)
        return await self._draw(request, person, doing, given)

    async def begin(self, request: Request, person: Person) -> Response:
        """As a job; its page tells how far it is."""
        given = await read_form(request, (*FIELDS, "reason", "seen"))
        doing = await self._pages.find(request, person)
        why = why_no_reason(given)
        if why is not None:
            return await self._draw(request, person, doing, given, why)
        try:
            choice = _choice(doing.endpoint.id, given)
            job = await self._console.ask(self._begin, person, choice, given)
        except ValueError as error:
            return await self._draw(request, person, doing, given, str(error))
        except NoSuchEndpoint:
            raise NotFound("There is no such endpoint") from None
        if job is None:
            return await self._draw(
                request, person, doing, given, "Many more events match by now than you have seen: look again.", 409
            )
        self._reach.wake_replays()
        return RedirectResponse(f"/console/jobs/{job}", 303)

    def _begin(self, person: Person, choice: Choice, given: Mapping[str, str]) -> str | None:
        """The job's id; None where there is much more to send than was seen: a few more come all the time."""
        text = given.get("seen", "")
        seen = int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0
        if len(plan(self._console.store, choice).events) > seen + max(MORE, seen // 4):
            return None
        return begin(self._console.store, person.acting(given["reason"].strip()), choice).id

    async def _preview(self, choice: Choice) -> Preview:
        """Raises ValueError for what can't be meant, and NotFound."""
        try:
            job = await self._console.ask(plan, self._console.store, choice)
        except NoSuchEndpoint:
            raise NotFound("There is no such endpoint") from None
        read, numbers = self._console.store.database.read, [one.number for one in job.events[:SAMPLE]]
        return Preview(job, await self._console.ask(read, sample_of, numbers), _command(choice))

    async def _draw(
        self,
        request: Request,
        person: Person,
        doing: Doing,
        given: Mapping[str, str],
        problem: str | None = None,
        status: int = 422,
    ) -> Response:
        preview = None
        try:
            preview = await self._preview(_choice(doing.endpoint.id, given))
        except ValueError as error:
            problem = problem or str(error)
        content = {
            "endpoint": doing.endpoint,
            "doing": doing,
            "url": bare_url(doing.endpoint.url),
            "counted": COUNTED,
            "what": given.get("what", WHATS[0]),
            "given": given,
            "types": sorted(EVENT_TYPES),
            "preview": preview,
            "problem": problem,
        }
        return await self._console.draw(request, person, "endpoint-replay.html", status if problem else 200, **content)


def _choice(endpoint_id: str, given: Mapping[str, str]) -> Choice:
    """Raises ValueError."""
    what = given.get("what", WHATS[0])
    if what not in WHATS:
        raise ValueError("what: there are missed, newest, dead and all")
    return Choice(
        endpoint_id,
        tuple(name.removeprefix(TYPE) for name in given if name.startswith(TYPE)),
        _time("since", given),
        _time("until", given),
        dead_only=what == "dead",
        missed_only=what in {"missed", "newest"},
        newest_only=what == "newest",
    )


def _time(name: str, given: Mapping[str, str]) -> datetime | None:
    """Raises ValueError."""
    text = given.get(name, "").strip()
    return read_field(name, text) if text else None


def _command(choice: Choice) -> str:
    """The command that does the same."""
    words = ["invoices", "deliveries", "replay", "--endpoint", choice.endpoint_id]
    for one in choice.types:
        words += ["--type", one]
    for name, time in (("--since", choice.since), ("--until", choice.until)):
        words += [] if time is None else [name, time.isoformat().replace("+00:00", "Z")]
    flags = {"--dead-only": choice.dead_only, "--missed-only": choice.missed_only, "--newest-only": choice.newest_only}
    words += [name for name, is_given in flags.items() if is_given]
    return f"{shlex.join(words)} --reason '…'"
