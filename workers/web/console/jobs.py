"""``/console/jobs``: acts on many invoices and replays, how far each is, what came of it, and their end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from domain.permissions import Action
from workers.store.acts import Actor, bare_url
from workers.store.bulk_jobs import MARK, REPLAY, BulkJob
from workers.store.endpoints import find_endpoint
from workers.store.job_leases import PAUSED, RUNNING
from workers.store.operate.bulk import pause, resume, stop
from workers.store.reads.jobs import Job, job_within, page_of_jobs
from workers.store.replay_jobs import ReplayJob
from workers.store.store import Store
from workers.web.console.bulk_kinds import KINDS, kinds_of
from workers.web.console.console import Console, read_filter, read_form
from workers.web.console.person import Person
from workers.web.console.reach import Reach
from workers.web.console.reasons import why_no_reason
from workers.web.console.refusals import Forbidden, NotFound, Refused

PLACE = "/console/jobs"
PAGE = 50
#: How often a running job's page is drawn anew.
LIVE_SECONDS = 2.0
WIDTH = 1000  #: of the bar


class Failure(NamedTuple):
    """An invoice that nothing could be done with."""

    invoice_id: str
    order_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the bar, in thousandths."""

    kind: str
    start: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A job as it is drawn, whichever its kind. ``total`` None: more than were counted."""

    id: str
    title: str
    action: Action
    state: str
    actor: Actor
    created_at: datetime
    finished_at: datetime | None
    why: str | None
    total: int | None
    dealt_with: int
    done: int
    skipped: int = 0
    failed: int = 0
    events: int | None = None
    query: str | None = None
    failures: Sequence[Failure] = ()
    endpoint_id: str | None = None
    endpoint_url: str | None = None
    marked_as: str | None = None
    newest_only: bool = False
    can_stop: bool = False
    can_pause: bool = False
    can_resume: bool = False

    @property
    def is_running(self) -> bool:
        return self.state == RUNNING

    def parts(self) -> list[Part]:
        """The bar: done, failed, left out. Nothing where it is not known how many there are."""
        if not self.total:
            return []
        found, start = [], 0
        for kind, count in (("done", self.done), ("failed", self.failed), ("skipped", self.skipped)):
            width = min(WIDTH - start, max(count * WIDTH // self.total, 4 if count else 0))
            if width > 0:
                found.append(Part(kind, start, width))
                start += width
        return found


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a job's state. ``do``: the store's use case, which returns False if it is not possible; then
    ``why_not`` is shown."""

    do: Callable[[Store, Actor, str], bool]
    why_not: str


CHANGES: Mapping[str, Change] = {
    "stop": Change(stop, "It runs no more: there is nothing to stop."),
    "pause": Change(pause, "It does not run: there is nothing to pause."),
    "resume": Change(resume, "It is not paused: there is nothing to resume."),
}


class Jobs:
    """The list, a job, its pause and its stop."""

    def __init__(self, console: Console, reach: Reach) -> None:
        self._console = console
        self._reach = reach

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [
            self._console.route(PLACE, self.list, live_seconds=LIVE_SECONDS),
            self._console.route(f"{PLACE}/{{id}}", self.show, live_seconds=LIVE_SECONDS),
            *(
                self._console.route(f"{PLACE}/{{id}}/{name}", partial(self.change, change), methods=("POST",))
                for name, change in CHANGES.items()
            ),
        ]

    async def list(self, request: Request, person: Person) -> Response:
        """A page of them, newest first."""
        before = read_filter(request, ("before",)).get("before")
        if before is not None and before[:4] not in {"job_", "rpl_"}:
            raise Refused(400, "The request can't be used", "before: must be a job's id")
        jobs = await self._console.ask(self._page, person, before)
        older = jobs[PAGE - 1].id if len(jobs) > PAGE else None
        return await self._console.draw(request, person, "jobs.html", jobs=jobs[:PAGE], older=older)

    async def show(self, request: Request, person: Person) -> Response:
        """One of them."""
        read_filter(request, ())
        job = await self.find(request, person)
        return await self._console.draw(request, person, "job.html", job=job, problem=None, given={})

    async def change(self, change: Change, request: Request, person: Person) -> Response:
        """It waits, goes on, or does no more; what is done stays done."""
        if not kinds_of(person):
            raise Forbidden(person.role.value)
        given = await read_form(request, ("reason",))
        job = await self.find(request, person)
        if not person.may(job.action):
            raise Forbidden(person.role.value)
        problem, status = why_no_reason(given), 422
        if problem is None:
            actor = person.acting(given["reason"].strip())
            if await self._console.ask(change.do, self._console.store, actor, job.id):
                self._reach.wake_replays()
                return RedirectResponse(f"{PLACE}/{job.id}", 303)
            problem, status, job = change.why_not, 409, await self.find(request, person)
        return await self._console.draw(request, person, "job.html", status, job=job, problem=problem, given=given)

    async def find(self, request: Request, person: Person) -> Shown:
        """The one that the address names. Raises NotFound."""
        found = await self._console.ask(self._read, request.path_params["id"], person)
        if found is None:
            raise NotFound("There is no such job")
        return found

    def _read(self, job_id: str, person: Person) -> Shown | None:
        job = self._console.store.database.read(job_within, job_id, person.accounts)
        return None if job is None else self._shown(job, person)

    def _page(self, person: Person, before: str | None) -> Sequence[Shown]:
        database = self._console.store.database
        jobs = database.read(page_of_jobs, person.accounts, before=before, limit=PAGE + 1)
        return [self._shown(job, person) for job in jobs]

    def _shown(self, job: Job, person: Person) -> Shown:
        """Who sees some accounts only is told neither of endpoints of all accounts nor from where others acted."""
        endpoint_id = job.deal.endpoint_id if isinstance(job, BulkJob) else job.endpoint_id
        endpoint, database = None, self._console.store.database
        if endpoint_id is not None:
            endpoint = database.read(find_endpoint, endpoint_id)
        is_seen = person.accounts is None or (endpoint is not None and endpoint.is_within(person.accounts))
        shown = _bulk(job) if isinstance(job, BulkJob) else _replay(job)
        return replace(
            shown,
            actor=job.actor if person.accounts is None else replace(job.actor, origin=""),
            endpoint_id=endpoint_id if is_seen else None,
            endpoint_url=bare_url(endpoint.url) if endpoint is not None and is_seen else None,
        )


def _replay(job: ReplayJob) -> Shown:
    return Shown(
        id=job.id,
        title="Replay to an endpoint",
        action=Action.REPLAY,
        state=job.state,
        actor=job.actor,
        created_at=job.created_at,
        finished_at=job.finished_at,
        why=job.why,
        total=job.total,
        dealt_with=job.sent,
        done=job.sent,
        events=job.sent,
        newest_only=job.choice.newest_only,
    )


def _bulk(job: BulkJob) -> Shown:
    kind, tally = KINDS[job.deal.kind], job.tally
    return Shown(
        id=job.id,
        title=kind.title,
        action=kind.action,
        state=job.state,
        actor=job.actor,
        created_at=job.created_at,
        finished_at=job.finished_at,
        why=job.why,
        total=None if job.more else job.foreseen,
        dealt_with=tally.dealt_with,
        done=tally.done,
        skipped=tally.skipped,
        failed=tally.failed,
        events=tally.events if kind.name == REPLAY else None,
        query=job.query,
        failures=[Failure(*one) for one in tally.failures],
        marked_as=job.deal.mark.status.value if kind.name == MARK and job.deal.mark is not None else None,
        newest_only=job.deal.newest_only,
        can_stop=job.state in {RUNNING, PAUSED},
        can_pause=job.state == RUNNING,
        can_resume=job.state == PAUSED,
    )
