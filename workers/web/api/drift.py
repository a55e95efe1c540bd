"""``GET /v1/drift``: what providers' answers had that they never had before."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from domain.permissions import Action
from workers.store.reads.drift import drift_fields, list_drifts
from workers.web.api.api import Api, answer, next_page, read_query, whole
from workers.web.api.schema.drift import DEFAULT_STATE, LIST_DRIFT, STATES
from workers.web.api.schema.invoices import DEFAULT_LIMIT, MAX_LIMIT
from workers.web.api.schema.operation import route
from workers.web.problems import Problem

FILTERS = ("account", "state", "limit", "cursor")
MAX_NUMBER = 2**62


class Drifts:
    """Of the accounts that the caller sees."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [route(LIST_DRIFT, self.list)]

    async def list(self, request: Request) -> Response:
        """Newest first, a page at a time."""
        caller = await self._api.access.require(request, Action.READ)
        query = read_query(request, FILTERS)
        limit = whole("limit", query.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT)
        state = query.get("state", DEFAULT_STATE)
        if state not in STATES:
            raise Problem(400, f"state: must be one of {', '.join(STATES)}")
        if "account" in query:
            caller.require_account(query["account"])
        read = partial(
            list_drifts,
            account=query.get("account"),
            accounts=caller.accounts,
            accepted_too=state != DEFAULT_STATE,
            before=whole("cursor", query["cursor"], 1, MAX_NUMBER) if "cursor" in query else None,
            limit=limit + 1,
        )
        found = await self._api.ask(self._api.store.database.read, read)
        following = str(found[limit - 1].id) if len(found) > limit else None
        page = [drift_fields(row) for row in found[:limit]]
        return answer({"drift": page, "next": following}, headers=next_page("/v1/drift", query, following))
