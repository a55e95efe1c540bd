"""``/console/live?of=PAGE``: who looks at a page is sent what changes on it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from workers.store.database import UNAVAILABLE
from workers.store.reads.changes import read_newest
from workers.web.api.places import Places
from workers.web.api.streaming import Pieces
from workers.web.console.console import LIVE, Console, Watched, read_filter
from workers.web.console.live import Channels, Key, send_on
from workers.web.console.open_pages import OpenPages
from workers.web.console.person import Person
from workers.web.console.refusals import Forbidden, NotFound
from workers.web.console.view import language_of
from workers.web.problems import Problem
from workers.web.threads import Overloaded


class Watching:
    """Streams of pages."""

    def __init__(self, console: Console, places: Places) -> None:
        self._console = console
        self._places = places
        self._pages = OpenPages()
        database = console.store.database
        self.channels = Channels(lambda: console.ask(database.read, read_newest))

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [self._console.route(LIVE, self.watch)]

    async def watch(self, request: Request, person: Person) -> Response:
        """Parts of a page, as they change."""
        path, query = _split(read_filter(request, ("of",)).get("of", ""))
        watched, params = self.find(path)
        if not person.may(watched.action):
            raise Forbidden(person.role.value)
        key = Key(path, query, language_of(request), person.role, person.accounts)

        async def pieces() -> AsyncGenerator[bytes]:
            watcher = self.channels.join(key, watched.page, params, watched.every_seconds)
            try:
                with self._pages.page(person.name, watcher), self._console.gate.watching(request, person) as who:
                    async for piece in send_on(watcher, partial(_is_still, person, who)):
                        yield piece
            finally:
                self.channels.leave(key, watcher)

        return Pieces(pieces(), {}, "text/event-stream", self._places.of(person.name))

    def find(self, path: str) -> tuple[Watched, dict[str, object]]:
        """The live page at this address, and the parameters in it. Raises NotFound."""
        scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
        for watched in self._console.watched:
            match, child = watched.route.matches(scope)
            if match is Match.FULL:
                return watched, child["path_params"]
        raise NotFound


async def _is_still(person: Person, who: Callable[[], Awaitable[Person | None]]) -> bool:
    """Whether they may see what they saw."""
    try:
        now = await who()
    except (Overloaded, *UNAVAILABLE):
        raise Problem(503, "the database does not answer") from None  # the browser comes back by itself
    return now is not None and (now.role, now.accounts) == (person.role, person.accounts)


def _split(place: str) -> tuple[str, str]:
    try:
        parts = urlsplit(place)
    except ValueError:
        raise NotFound from None
    if parts.scheme or parts.netloc or not parts.path.startswith("/console/"):
        raise NotFound
    return parts.path, parts.query
