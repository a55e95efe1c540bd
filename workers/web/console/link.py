"""Signing in by a link that works once. Looking at it uses nothing up: messengers and scanners look at links too."""

from __future__ import annotations

import re

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from workers.store.operate.sessions import use_link
from workers.web.console.console import Console, read_filter, read_form
from workers.web.console.cookies import session_of, why_unusable
from workers.web.console.gate import Doors, address_of
from workers.web.console.redirects import HOME
from workers.web.console.refusals import Refused
from workers.web.console.sign_in import welcome

log = structlog.get_logger()

PLACE = "/console/link"
_KEY = re.compile(r"[A-Za-z0-9_-]{16,100}")  # of 256 random bits: there is nothing to be guessed, and no limit


class LinkPages:
    """The page of a link, and its button."""

    def __init__(self, console: Console, doors: Doors) -> None:
        self._console = console
        self._doors = doors

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [
            self._console.open_route(PLACE, self.page),
            self._console.open_route(PLACE, self.sign_in, ("POST",)),
        ]

    async def page(self, request: Request) -> Response:
        """One button."""
        self._require_links()
        key = read_filter(request, ("key",)).get("key", "")
        return await self._draw(request, 200, key if _KEY.fullmatch(key) else "")

    async def sign_in(self, request: Request) -> Response:
        """Exchange the link for a session."""
        self._require_links()
        key = (await read_form(request, ("key",))).get("key", "")
        unusable = why_unusable(request)
        if unusable is not None:
            raise Refused(400, "Nobody can sign in over this connection", unusable)
        store, address, secret = self._console.store, address_of(request), None
        if _KEY.fullmatch(key):
            secret = await self._console.ask(use_link, store, key, address, session_of(request))
        if secret is None:
            log.warning("console.sign_in_failed", client=address)
            return await self._draw(request, 401, "")
        return welcome(request, secret, HOME)

    def _require_links(self) -> None:
        if not self._doors.takes_links:
            raise Refused(
                403, "Links do not work here", "They do on the embedded default only; here people have names."
            )

    async def _draw(self, request: Request, status: int, key: str) -> Response:
        return await self._console.draw(request, None, "link.html", status, key=key, doors=self._doors)
