"""``GET /v1/events``: the log after a position, as a page, as lines, or as a stream that goes on live."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from domain.permissions import Action
from workers.store.reads.log import Bounds, Entry, Page, PositionGone, read_bounds, read_page
from workers.web.api.access import Caller
from workers.web.api.api import JSON, NDJSON, Api, read_query, whole
from workers.web.api.following import Follower, Following
from workers.web.api.places import Places
from workers.web.api.schema.events import DEFAULT_LIMIT, LIST_EVENTS, MAX_LIMIT, MAX_POSITION, NEXT_HEADER, SSE
from workers.web.api.schema.operation import route
from workers.web.api.streaming import Pieces
from workers.web.problems import Problem

#: Readers of older events that may ask the database at the same time; the others wait for their turn.
CATCHING_UP = 4
CATCH_UP_EVENTS = 500
HEARTBEAT_SECONDS = 15.0
RETRY_MILLISECONDS = 1000
#: Why a stream ends that can't catch up, by the status that a page would be answered.
WHY = {401: "token", 410: "gone", 503: "away"}
_QUALITY = re.compile(r"q\s*=\s*([01](?:\.[0-9]{1,3})?)")


class Events:
    """Serves the log."""

    def __init__(self, api: Api, following: Following, places: Places) -> None:
        self._api = api
        self._places = places
        self._following = following
        self._catching_up = asyncio.Semaphore(CATCHING_UP)

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [route(LIST_EVENTS, self.list)]

    async def list(self, request: Request) -> Response:
        """A page, lines or a stream, as ``Accept`` says."""
        caller = await self._api.access.require(request, Action.READ)
        query = read_query(request, ("after", "limit"))
        limit = whole("limit", query.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT)
        kind = chosen(request.headers.get("accept", ""))
        given = query.get("after")
        if kind == SSE:
            given = request.headers.get("last-event-id", "") or given
        if given is not None:
            return await self._answer(caller, read_position("after", given), limit, kind)
        try:
            return await self._answer(caller, await self._oldest(), limit, kind)
        except Problem as problem:
            if problem.status != 410:
                raise
            return await self._answer(caller, await self._oldest(), limit, kind)  # more was removed in between

    async def _answer(self, caller: Caller, after: int, limit: int, kind: str) -> Response:
        if kind == SSE:
            return await self._stream(caller, after)
        return await self._page(caller, after, limit, kind)

    async def _page(self, caller: Caller, after: int, limit: int, kind: str) -> Response:
        page = await self._read(caller, after, limit)
        lines = [b'{"position":%d,"event":%s}' % (entry.position, one_line(entry.body)) for entry in page.entries]
        body = b'{"events":[%s],"next":%d}' % (b",".join(lines), page.next)
        if kind == NDJSON:
            body = b"".join(line + b"\n" for line in lines)
        headers = {"cache-control": "no-store", NEXT_HEADER: str(page.next)}
        return Response(body, headers=headers, media_type=kind)

    async def _oldest(self) -> int:
        bounds: Bounds = await self._api.ask(self._api.store.database.read, read_bounds)
        return bounds.oldest

    async def _read(self, caller: Caller, after: int, limit: int) -> Page:
        """Raises Problem: 410, 503."""
        try:
            return await self._api.ask(self._api.store.database.read, read_page, after, limit, caller.accounts)
        except PositionGone as gone:
            raise position_gone(gone) from None

    async def _stream(self, caller: Caller, after: int) -> Response:
        """Problems are answered before the stream begins."""
        with ExitStack() as place:
            place.enter_context(self._places.of(caller.token.id))
            page = None if self._following.covers(after) else await self._catch_up(caller, after)
            return Pieces(self._follow(caller, after, page), {}, SSE, place.pop_all())

    async def _catch_up(self, caller: Caller, after: int) -> Page:
        async with self._catching_up:
            return await self._read(caller, after, CATCH_UP_EVENTS)

    async def _catch_up_still(self, caller: Caller, after: int) -> Page:
        """Catching up may take long: a token that ends meanwhile gets no more pages."""
        await self._api.access.require_still(caller, Action.READ)
        return await self._catch_up(caller, after)

    async def _follow(self, caller: Caller, position: int, page: Page | None) -> AsyncGenerator[bytes]:
        """Older events page by page, then live ones. While a page is sent the live readers move on: hence the loop."""
        yield b"retry: %d\n\n" % RETRY_MILLISECONDS
        while page is not None or not self._following.covers(position):
            try:
                page = page or await self._catch_up_still(caller, position)
            except Problem as problem:
                yield _end(WHY.get(problem.status, "away"), position)
                return
            if page.entries:
                yield _events(page.entries)
            position = page.next
            if self._following.is_over:
                yield _end("stop", position)
                return
            if self._following.reaches(position, is_newest=len(page.entries) < CATCH_UP_EVENTS):
                break
            page = None
        follower = self._following.join(caller.token.id, caller.accounts, position)
        try:
            async for piece in _live(follower):
                yield piece
        finally:
            self._following.leave(follower)


async def _live(follower: Follower) -> AsyncGenerator[bytes]:
    """Without events, an id without data: the reader can come back with it, past events that it does not see."""
    while True:
        entries = await follower.take(HEARTBEAT_SECONDS)
        if entries:
            yield _events(entries)
        elif follower.over is not None:
            yield _end(follower.over, follower.position)
            return
        else:
            yield b"id: %d\n: waiting\n\n" % follower.position


def _events(entries: Sequence[Entry]) -> bytes:
    return b"".join(b"id: %d\ndata: %s\n\n" % (entry.position, one_line(entry.body)) for entry in entries)


def _end(why: str, position: int) -> bytes:
    """The last event of a stream: why it ends, and the position to come back with."""
    told = json.dumps({"why": why, "after": position}).encode()
    return b"event: end\nid: %d\ndata: %s\n\n" % (position, told)


def one_line(body: bytes) -> bytes:
    """JSON on one line: a raw line break in it can only stand between tokens."""
    return body.replace(b"\r", b" ").replace(b"\n", b" ")


def read_position(name: str, text: str) -> int:
    """A position from the query. One that is larger than any can be was never given either: that is 410, not 400."""
    is_whole = re.fullmatch(r"[0-9]{1,1000}", text, re.ASCII)
    return min(int(text), MAX_POSITION) if is_whole else whole(name, text, 0, MAX_POSITION)


def position_gone(gone: PositionGone) -> Problem:
    """410: some of what comes after the position is gone, or the position was never given."""
    bounds = gone.bounds
    kept = f"events are kept after position {bounds.oldest}, the newest is {bounds.newest}"
    return Problem(
        410,
        f"{gone.after} can't be followed: {kept}; take /v1/snapshot and go on from its position",
        kind="position-gone",
        title="The position can't be followed",
        oldest=bounds.oldest,
        newest=bounds.newest,
    )


def chosen(accept: str) -> str:
    """The media type that ``Accept`` prefers; JSON where it names none of ours."""
    best, wanted = JSON, 0.0
    for part in accept.lower().split(","):
        name, _, parameters = part.partition(";")
        found = _QUALITY.search(parameters)
        quality = float(found[1]) if found else 1.0
        if name.strip() in {JSON, NDJSON, SSE} and quality > wanted:
            best, wanted = name.strip(), quality
    return best
