"""``GET /v1/invoices`` and ``/v1/invoices/{id}``: pages of invoices, and one invoice, now or when it changes."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from domain.event import Told, invoice_fields
from domain.permissions import Action
from domain.status import Status
from workers.store.reads.endpoints import timeline_within
from workers.store.reads.invoices import page_of_invoices
from workers.store.reads.timeline import entry_fields
from workers.web.api.access import Caller
from workers.web.api.api import Api, answer, answer_invoice, next_page, read_query, whole
from workers.web.api.headers import MAX_WAIT_SECONDS, entity_tag, matches
from workers.web.api.invoice_reads import InvoiceReads, is_id
from workers.web.api.schema.invoices import (
    DEFAULT_LIMIT,
    LIST_INVOICES,
    MAX_LIMIT,
    MAX_SEQUENCE,
    SHOW_INVOICE,
    SHOW_TIMELINE,
)
from workers.web.api.schema.operation import route
from workers.web.problems import Problem

FILTERS = ("account", "order_id", "status", "since", "limit", "cursor")


class Invoices:
    """Reads invoices."""

    def __init__(self, api: Api, reads: InvoiceReads) -> None:
        self._api = api
        self._reads = reads

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [
            route(LIST_INVOICES, self.list),
            route(SHOW_INVOICE, self.show),
            route(SHOW_TIMELINE, self.timeline),
        ]

    async def show(self, request: Request) -> Response:
        """One invoice; with ``wait`` as soon as its sequence is higher than ``after``."""
        caller = await self._api.access.require(request, Action.READ)
        query = read_query(request, ("wait", "after"))
        row: Told = await self._reads.find(caller, request.path_params["id"])
        if "wait" in query:
            seconds = whole("wait", query["wait"], 0, MAX_WAIT_SECONDS)
            after = whole("after", query["after"], 0, MAX_SEQUENCE) if "after" in query else row.sequence
            row = await self._reads.wait(request, row, after, seconds)
        if matches(request.headers.get("if-none-match", ""), row.sequence):
            return Response(status_code=304, headers={"etag": entity_tag(row.sequence)})
        return answer_invoice(row)

    async def list(self, request: Request) -> Response:
        """Invoices, newest first, a page at a time."""
        caller = await self._api.access.require(request, Action.READ)
        query = read_query(request, FILTERS)
        limit = whole("limit", query.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT)
        find = partial(
            page_of_invoices,
            accounts=_accounts(caller, query),
            order_id=query.get("order_id"),
            status=_status(query),
            since=read_time("since", query["since"]) if "since" in query else None,
            before=_cursor(query),
            limit=limit + 1,
        )
        rows = await self._api.ask(self._api.store.database.read, find)
        page, following = rows[:limit], rows[limit - 1].id if len(rows) > limit else None
        invoices = [invoice_fields(row) for row in page]
        headers = next_page("/v1/invoices", query, following)
        return answer({"invoices": invoices, "next": following}, headers=headers)

    async def timeline(self, request: Request) -> Response:
        """What happened to it, oldest first."""
        caller = await self._api.access.require(request, Action.READ)
        read_query(request, ())
        row = await self._reads.find(caller, request.path_params["id"])
        entries = await self._api.ask(timeline_within, self._api.store.database, row.id, caller.accounts)
        return answer({"timeline": [entry_fields(entry) for entry in entries]})


def _accounts(caller: Caller, query: dict[str, str]) -> frozenset[str] | None:
    if "account" not in query:
        return caller.accounts
    caller.require_account(query["account"])
    return frozenset({query["account"]})


def _status(query: dict[str, str]) -> str | None:
    status = query.get("status")
    if status is not None and status not in set(Status):
        raise Problem(400, f"status: must be one of {', '.join(Status)}")
    return status


def _cursor(query: dict[str, str]) -> str | None:
    cursor = query.get("cursor")
    if cursor is not None and not is_id(cursor):
        raise Problem(400, "cursor: must be the one that came with the page before")
    return cursor


def read_time(name: str, text: str) -> datetime:
    """An RFC 3339 time from the query, where an unescaped plus arrives as a space. Raises Problem 400."""
    try:
        time = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else "")
    except ValueError:
        raise Problem(400, f"{name}: must be an RFC 3339 time such as 2026-11-21T20:19:00Z") from None
    if time.tzinfo is None:
        raise Problem(400, f"{name}: must have a time zone, such as the Z of 2026-11-21T20:19:00Z")
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise Problem(400, f"{name}: is outside the years 1 to 9999 in UTC") from None
