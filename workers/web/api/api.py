"""What every part of ``/v1`` uses."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

import structlog
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from domain.event import Told, invoice_text
from domain.exact_json import JsonError, read_strict_json, write_json
from domain.findings import read_line
from domain.json_size import holds_more_values
from domain.requests import RequestError, parse_request
from domain.visible import escape, why_meaningless
from workers.store.database import UNAVAILABLE
from workers.store.store import Store
from workers.web.api.access import Access
from workers.web.api.headers import entity_tag
from workers.web.bodies import BodyRefused, read_body
from workers.web.problems import Problem
from workers.web.threads import Overloaded, StoreThreads

log = structlog.get_logger()

Result = TypeVar("Result")
Model = TypeVar("Model", bound=BaseModel)

JSON, NDJSON = "application/json", "application/x-ndjson"
#: What a read or a write of the store may take. The database stops waiting for a lock earlier.
STORE_SECONDS = 15.0
BODY_BYTES = 64 * 1024
BODY_SECONDS = 15.0
MOST_VALUES = 10_000
RETRY_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Api:
    """The store, its threads, and who may use them."""

    store: Store
    threads: StoreThreads
    access: Access

    async def ask(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """The result of a function of the store. Raises Problem 503 while the database is away or overloaded."""
        try:
            return await self.threads.run(function, *arguments, seconds=STORE_SECONDS)
        except (Overloaded, *UNAVAILABLE) as error:
            raise away(error) from None


def away(error: Exception) -> Problem:
    """503: the database is away, and the client is to try again."""
    log.warning("api.store_away", error=type(error).__name__)
    return Problem(503, "the database is away or busy; try again", headers={"retry-after": str(RETRY_SECONDS)})


def answer(content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; numbers keep their digits."""
    return _answer(write_json(content), status, headers)


def answer_invoice(invoice: Told, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An invoice, with its ETag."""
    return _answer(invoice_text(invoice), status, {**(headers or {}), "etag": entity_tag(invoice.sequence)})


def _answer(text: str, status: int, headers: Mapping[str, str] | None) -> Response:
    return Response(escape(text).encode(), status, {"cache-control": "no-store", **(headers or {})}, media_type=JSON)


async def read_request(request: Request, model: type[Model]) -> Model:
    """A body, read by this model. Raises Problem: 400, 408, 413, 415, 422 with a pointer for each field."""
    try:
        return parse_request(model, await read_document(request))
    except RequestError as error:
        raise _unusable(error) from None


def unusable(line: str) -> Problem:
    """422 for a body: ``field: what is wrong``."""
    return _unusable(RequestError([read_line(line)]))


def _unusable(error: RequestError) -> Problem:
    errors = [{"detail": one.message, "pointer": one.pointer} for one in error.findings]
    return Problem(422, str(error), kind="invalid-request", title="The request can't be used", errors=errors)


def media_type(request: Request) -> str:
    """The body's media type, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_document(request: Request, limit: int = BODY_BYTES) -> Any:
    """A JSON body; numbers keep every digit. Raises Problem: 400, 408, 413, 415."""
    if media_type(request) != JSON:
        raise Problem(415, f"the body must be {JSON}")
    return parse_document(await read_bytes(request, limit))


async def read_bytes(request: Request, limit: int) -> bytes:
    """A body, counted as it is read. Raises Problem: 400, 408, 413, 415."""
    try:
        return await read_body(request, limit, BODY_SECONDS)
    except BodyRefused as refused:
        raise Problem(refused.status, refused.detail, headers={"connection": "close"}) from None


def parse_document(body: bytes, what: str = "the body") -> Any:
    """JSON from its bytes; numbers keep every digit. Raises Problem 400 about ``what``."""
    if holds_more_values(body, MOST_VALUES):
        raise Problem(400, f"{what} holds more than {MOST_VALUES} values")
    try:
        return read_strict_json(body)
    except JsonError as error:
        raise Problem(400, f"{what} {error}") from None


def read_query(request: Request, allowed: Collection[str]) -> dict[str, str]:
    """The query's parameters, each given once. Raises Problem 400: a misspelled filter must not match everything."""
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in allowed:
            there = ", ".join(sorted(allowed)) or "none"
            raise Problem(400, f"there is no query parameter {name[:60]!r}; there are: {there}")
        if name in given:
            raise Problem(400, f"the query parameter {name} is there twice")
        hidden = why_meaningless(value)
        if hidden is not None:
            raise Problem(400, f"{name}: must not contain {hidden}")
        given[name] = value
    return given


def next_page(path: str, query: Mapping[str, str], following: str | None) -> dict[str, str]:
    """The header that links to the next page; none on the last one."""
    if following is None:
        return {}
    return {"link": f'<{path}?{urlencode({**query, "cursor": following})}>; rel="next"'}


def whole(name: str, text: str, low: int, high: int) -> int:
    """A whole number from the query. Raises Problem 400."""
    if not re.fullmatch(r"[0-9]{1,18}", text, re.ASCII) or not low <= int(text) <= high:
        raise Problem(400, f"{name}: must be a whole number from {low} to {high}")
    return int(text)
