"""``/console/jobs/{id}/failures``: every invoice that a job could do nothing with, and why; as a page and as a file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from domain.exact_json import write_json
from workers.store.bulk_jobs import failures_of
from workers.store.rows import StoredRow
from workers.web.console.console import Console, read_filter
from workers.web.console.downloads import Downloads
from workers.web.console.jobs import PLACE, Jobs
from workers.web.console.numbers import number_of
from workers.web.console.person import Person
from workers.web.console.refusals import Refused

PAGE, EXPORTED = 100, 1000


class JobFailures:
    """In the order in which the job came to them."""

    def __init__(self, console: Console, downloads: Downloads, jobs: Jobs) -> None:
        self._console = console
        self._downloads = downloads
        self._jobs = jobs

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [
            self._console.route(f"{PLACE}/{{id}}/failures", self.list, live_seconds=10.0),
            self._console.route(f"{PLACE}/{{id}}/failures.jsonl", self.as_json_lines),
        ]

    async def list(self, request: Request, person: Person) -> Response:
        """A page of them."""
        after = number_of(read_filter(request, ("after",)).get("after", "0"))
        if after is None:
            raise Refused(400, "The request can't be used", "after: must be a number")
        job = await self._jobs.find(request, person)
        rows = await self._read(job.id, after, PAGE + 1)
        more = rows[PAGE - 1].number if len(rows) > PAGE else None
        return await self._console.draw(
            request, person, "job_failures.html", job=job, rows=rows[:PAGE], more=more, after=after
        )

    async def as_json_lines(self, request: Request, person: Person) -> Response:
        """All of them, a line of JSON each."""
        read_filter(request, ())
        job = await self._jobs.find(request, person)

        async def read(after: int | None) -> tuple[bytes, int | None]:
            rows = await self._read(job.id, after or 0, EXPORTED)
            text = "".join(f"{write_json(_fields(row))}\n" for row in rows)
            return text.encode("utf-8", "replace"), rows[-1].number if len(rows) == EXPORTED else None

        kind = "application/jsonl; charset=utf-8"
        return await self._downloads.send(request, person, read, f"{job.id}-failures.jsonl", kind)

    async def _read(self, job_id: str, after: int, limit: int) -> Sequence[StoredRow]:
        find = partial(failures_of, job_id=job_id, after=after, limit=limit)
        return await self._console.ask(self._console.store.database.read, find)


def _fields(row: StoredRow) -> dict[str, object]:
    return {"invoice": row.invoice_id, "order_id": row.order_id, "why": row.why}
