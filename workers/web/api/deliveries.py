"""``/v1/deliveries`` and ``/v1/replays``: webhooks with their attempts, and events sent once more."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from domain.permissions import Action
from domain.requests import ReplayRequest
from workers.store.operate.replay import NoSuchEndpoint, NoSuchEvent, NotForEndpoint
from workers.store.operate.replay_jobs import begin
from workers.store.reads.endpoints import deliveries_within, endpoint_within
from workers.store.reads.parts import delivery_fields
from workers.store.replay import Choice
from workers.store.replay_jobs import ReplayJob, find_job, job_fields
from workers.web.api.access import Caller
from workers.web.api.api import Api, answer, next_page, read_query, read_request, unusable, whole
from workers.web.api.jobs import JobRunner
from workers.web.api.schema.deliveries import BEGIN_REPLAY, LIST_DELIVERIES, SHOW_REPLAY, STATES
from workers.web.api.schema.invoices import DEFAULT_LIMIT, MAX_LIMIT
from workers.web.api.schema.operation import route
from workers.web.problems import Problem

FILTERS = ("endpoint", "state", "invoice", "limit", "cursor")
MAX_NUMBER = 2**62


class Deliveries:
    """Webhooks to the endpoints that the caller sees."""

    def __init__(self, api: Api, jobs: JobRunner) -> None:
        self._api = api
        self._jobs = jobs

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [
            route(LIST_DELIVERIES, self.list),
            route(BEGIN_REPLAY, self.begin),
            route(SHOW_REPLAY, self.show),
        ]

    async def list(self, request: Request) -> Response:
        """Newest first, a page at a time."""
        caller = await self._api.access.require(request, Action.READ)
        query = read_query(request, FILTERS)
        limit = whole("limit", query.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT)
        if query.get("state") not in {None, *STATES}:
            raise Problem(400, f"state: must be one of {', '.join(STATES)}")
        if "endpoint" in query:
            await self._require_endpoint(caller, query["endpoint"])
        read = partial(
            deliveries_within,
            self._api.store.database,
            caller.accounts,
            endpoint=query.get("endpoint"),
            state=query.get("state"),
            invoice=query.get("invoice"),
            before=whole("cursor", query["cursor"], 1, MAX_NUMBER) if "cursor" in query else None,
            limit=limit + 1,
        )
        found = await self._api.ask(read)
        following = str(found[limit - 1][0].id) if len(found) > limit else None
        page = [delivery_fields(*one) for one in found[:limit]]
        return answer({"deliveries": page, "next": following}, headers=next_page("/v1/deliveries", query, following))

    async def begin(self, request: Request) -> Response:
        """Send events once more, as a job."""
        caller = await self._api.access.require(request, Action.REPLAY)
        body = await read_request(request, ReplayRequest)
        await self._require_endpoint(caller, body.endpoint)
        only = body.dead_only, body.missed_only, body.newest_only
        choice = Choice(body.endpoint, body.types, body.since, body.until, *only)
        try:
            job = await self._api.ask(begin, self._api.store, caller.acting(body.reason), choice, body.event)
        except NoSuchEndpoint:  # removed in between
            raise Problem(404, "there is no such endpoint") from None
        except (NoSuchEvent, NotForEndpoint):  # the same answer to both: it must not show events of others
            raise unusable("event: there is no such event for this endpoint") from None
        except ValueError as error:  # unknown types, or too many events
            raise unusable(str(error)) from None
        self._jobs.wake()
        return answer(job_fields(job), 202, {"location": f"/v1/replays/{job.id}"})

    async def show(self, request: Request) -> Response:
        """How far a job is."""
        caller = await self._api.access.require(request, Action.READ)
        read_query(request, ())
        read = self._api.store.database.read
        job: ReplayJob | None = await self._api.ask(read, find_job, request.path_params["id"])
        if job is None or (caller.accounts is not None and not await self._sees(caller, job.endpoint_id)):
            raise Problem(404, "there is no such replay")
        return answer(job_fields(job))

    async def _require_endpoint(self, caller: Caller, endpoint_id: str) -> None:
        if not await self._sees(caller, endpoint_id):
            raise Problem(404, "there is no such endpoint")

    async def _sees(self, caller: Caller, endpoint_id: str) -> bool:
        found = await self._api.ask(endpoint_within, self._api.store.database, endpoint_id, caller.accounts)
        return found is not None
