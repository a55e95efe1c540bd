"""``/console/jobs/new``: act on everything that matches a filter. What would change is shown before it begins."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from domain.marks import MARKS
from domain.status import Status
from workers.store.acts import bare_url
from workers.store.bulk_jobs import MARK, REPLAY, Deal
from workers.store.endpoints import list_endpoints
from workers.store.operate.bulk import NothingMatches, begin
from workers.store.operate.invoices import Mark
from workers.store.reads.endpoints import is_within
from workers.store.reads.selection import COUNTED, read_page
from workers.web.console.bulk_kinds import KINDS, Foreseen, Kind, foresee, kinds_of
from workers.web.console.console import Console, parse_filter, read_form
from workers.web.console.filters import BEFORE, NAMES, Filter, filter_of, find_filter
from workers.web.console.invoices import Listed, with_next
from workers.web.console.person import Person
from workers.web.console.reach import Reach
from workers.web.console.reasons import why_no_reason
from workers.web.console.refusals import Forbidden, Refused

PLACE = "/console/jobs"
#: Shown; and so many of the newest are looked at closely.
SAMPLE, CLOSELY = 10, 200
#: A few more than were seen match by now: no reason to look again.
MORE = 20
FIELDS = ("do", "filter", "seen", "reason", "status", "endpoint", "newest")


@dataclass(frozen=True, slots=True)
class Preview:
    """What it would be done to. ``found``: so many match, COUNTED + 1 stands for more."""

    found: int
    is_more: bool
    sample: Listed
    foreseen: Mapping[str, Foreseen | None]  #: by a mark's status; of what is no mark under nothing
    is_order: bool

    @property
    def shown(self) -> str:
        """How many match, in digits."""
        return f"{COUNTED:,}" if self.found > COUNTED else f"{self.found:,}"


class Acting:
    """The page that asks, and the job's beginning."""

    def __init__(self, console: Console, reach: Reach) -> None:
        self._console = console
        self._reach = reach

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [
            self._console.route(f"{PLACE}/new", self.ask),
            self._console.route(PLACE, self.begin, methods=("POST",)),
        ]

    async def ask(self, request: Request, person: Person) -> Response:
        """How many match, a few of them, and what will change."""
        chosen = await find_filter(self._console, request, person, ("do",))
        kind = _kind(request.query_params.get("do"), person)
        return await self._draw(request, person, kind, chosen, {})

    async def begin(self, request: Request, person: Person) -> Response:
        """As a job; its page tells how far it is."""
        given = await read_form(request, FIELDS)
        kind = _kind(given.get("do"), person)
        if kind.name != given.get("do"):
            raise Refused(400, "The request can't be used", "It does not say what is to be done.")
        chosen = await filter_of(self._console, _parsed(given.get("filter", "")), person)
        problem = why_no_reason(given) or await self._why_not(kind, given, person)
        if problem is not None:
            return await self._draw(request, person, kind, chosen, given, problem)
        preview = await self._console.ask(self._look, kind, chosen, person)
        if preview.found > _seen(given) + max(MORE, _seen(given) // 4):
            problem = "Many more invoices match by now than you have seen: look again."
            return await self._draw(request, person, kind, chosen, given, problem, 409)
        actor, deal = person.acting(given["reason"].strip()), _deal(kind, given)
        try:
            job = await self._console.ask(begin, self._console.store, actor, deal, chosen.selection, chosen.query)
        except NothingMatches:
            return await self._draw(request, person, kind, chosen, given, "No invoice matches any more.")
        self._reach.wake_replays()
        return RedirectResponse(f"{PLACE}/{job.id}", 303)

    async def _why_not(self, kind: Kind, given: Mapping[str, str], person: Person) -> str | None:
        """What the kind's own fields lack."""
        if kind.name == MARK and given.get("status") not in [one.value for one in MARKS]:
            return "Say what they are to be marked as."
        if kind.name == REPLAY:
            seen = await self._console.ask(self._endpoints, person)
            if given.get("endpoint") not in [one for one, _ in seen]:
                return "Choose an endpoint."
        return None

    async def _draw(
        self,
        request: Request,
        person: Person,
        kind: Kind,
        chosen: Filter,
        given: Mapping[str, str],
        problem: str | None = None,
        status: int = 422,
    ) -> Response:
        preview = await self._console.ask(self._look, kind, chosen, person)
        content = {
            "kind": kind,
            "kinds": kinds_of(person),
            "filter": chosen,
            "preview": preview,
            "counted": COUNTED,
            "marks": list(MARKS),
            "endpoints": await self._console.ask(self._endpoints, person) if kind.name == REPLAY else (),
            "given": given,
            "problem": problem,
            "command": _command(kind, chosen, person, preview.is_order),
        }
        return await self._console.draw(request, person, "acting.html", 200 if problem is None else status, **content)

    def _look(self, kind: Kind, chosen: Filter, person: Person) -> Preview:
        database = self._console.store.database
        page = database.read(read_page, chosen.selection, limit=CLOSELY)
        marks = [Mark(one) for one in MARKS] if kind.name == MARK else [None]
        return Preview(
            page.found,
            page.found > COUNTED or page.looked_to is not None,
            Listed(page, list(with_next(self._console, page.rows[:SAMPLE], person))),
            {
                "" if one is None else one.status.value: foresee(self._console.store, kind, page.rows, one)
                for one in marks
            },
            page.meant == "order",
        )

    def _endpoints(self, person: Person) -> Sequence[tuple[str, str]]:
        """Those that the person sees: ids and addresses."""
        found = self._console.store.database.read(list_endpoints)
        return [(one.id, bare_url(one.url)) for one in found if is_within(one, person.accounts)]


def _kind(name: str | None, person: Person) -> Kind:
    """The wanted one, or the first that the person may do. Raises Forbidden, Refused."""
    allowed = kinds_of(person)
    if name is None or not allowed:
        if not allowed:
            raise Forbidden(person.role.value)
        return allowed[0]
    if name not in KINDS:
        raise Refused(400, "The request can't be used", f"do: there is no {name[:40]!r}; there are {', '.join(KINDS)}")
    if KINDS[name] not in allowed:
        raise Forbidden(person.role.value)
    return KINDS[name]


def _parsed(query: str) -> dict[str, str]:
    """A filter as its page wrote it. Raises Refused."""
    return {name: value for name, value in parse_filter(query, (*NAMES, BEFORE)).items() if name != BEFORE}


def _seen(given: Mapping[str, str]) -> int:
    text = given.get("seen", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0


def _deal(kind: Kind, given: Mapping[str, str]) -> Deal:
    if kind.name == MARK:
        return Deal(kind.name, mark=Mark(Status(given["status"])))
    if kind.name == REPLAY:
        return Deal(kind.name, endpoint_id=given["endpoint"], newest_only="newest" in given)
    return Deal(kind.name)


def _command(kind: Kind, chosen: Filter, person: Person, is_order: bool) -> str | None:
    """A pipe that does the same; None where the command line has no such filter."""
    listing = chosen.command(person.accounts, is_order)
    if listing is None or kind.command is None:
        return None
    verb, _, reason = kind.command.partition(" --reason ")
    words = shlex.split(verb)
    each = f"xargs -n 1 {shlex.join(words)} --reason {reason}"
    return f"{listing} --limit 0 --json | jq -r .id | {each}"
