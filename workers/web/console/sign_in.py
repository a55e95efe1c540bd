"""Signing in with a name and a password, and signing out."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from workers.store.database import UNAVAILABLE
from workers.store.operate.sessions import begin_for, end
from workers.store.operate.sign_in_attempts import Attempts
from workers.store.passwords import NOBODYS, is_password
from workers.store.people import User, find_user, key_of
from workers.web.console.console import SIGN_IN, Console, read_filter, read_form
from workers.web.console.cookies import SESSION, drop_cookie, session_of, set_cookie, why_unusable
from workers.web.console.gate import Doors, address_of
from workers.web.console.person import Person
from workers.web.console.redirects import local_place
from workers.web.console.refusals import Refused
from workers.web.threads import Overloaded, StoreThreads

log = structlog.get_logger()

CHECK_SECONDS = 10.0
LONGEST_NAME, LONGEST_PASSWORD = 100, 1000
BUSY_SECONDS = 5
WRONG = "That name and password don't go together."
BUSY = "Many people sign in at the moment. Try again in a few seconds."


@dataclass(frozen=True, slots=True)
class Given:
    """What somebody typed. ``key``: the name as names are told apart; a name that nobody can have is nobody's."""

    name: str
    key: str
    password: str
    place: str


class SignInPages:
    """The sign-in by password."""

    def __init__(
        self, console: Console, doors: Doors, attempts: Attempts, checking: StoreThreads, most_under_way: int
    ) -> None:
        self._console = console
        self._doors = doors
        self._attempts = attempts
        self._checking = checking
        self._most_under_way = most_under_way
        self._under_way = 0

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [
            self._console.open_route(SIGN_IN, self.page),
            self._console.open_route(SIGN_IN, self.sign_in, ("POST",)),
            self._console.route("/console/sign-out", self.sign_out, methods=("POST",)),
        ]

    async def page(self, request: Request) -> Response:
        """The form; whoever has signed in already goes on."""
        query = read_filter(request, ("next", "done"))
        place = local_place(query.get("next"))
        if await self._console.gate.find(request) is not None:
            return RedirectResponse(place, 303)
        return await self._draw(request, 200, place, done=query.get("done"))

    async def sign_in(self, request: Request) -> Response:
        """Whoever gives the right password has a session from now on."""
        given = _read(await read_form(request, ("name", "password", "next")))
        unusable = why_unusable(request)
        if unusable is not None:
            raise Refused(400, "Nobody can sign in over this connection", unusable)
        if self._under_way >= self._most_under_way:
            return await self._busy(request, given)
        self._under_way += 1
        try:
            return await self._try(request, given)
        finally:
            self._under_way -= 1

    async def sign_out(self, request: Request, person: Person) -> Response:
        """The session is over, everywhere."""
        secret = session_of(request)
        if secret is not None:
            await self._console.ask(end, self._console.store, person.acting(None), secret)
        response = RedirectResponse(f"{SIGN_IN}?{urlencode({'done': 'out'})}", 303)
        drop_cookie(request, response, SESSION)
        return response

    async def _try(self, request: Request, given: Given) -> Response:
        address = address_of(request)
        wait = await self._console.ask(self._attempts.take, given.key, address)
        if wait > 0:
            return await self._too_many(request, given, math.ceil(wait))
        try:
            secret = await self._secret(request, given)
        except (Overloaded, *UNAVAILABLE):
            with suppress(Overloaded, *UNAVAILABLE):
                await self._console.ask(self._attempts.give_back, given.key, address)  # nobody has failed
            raise
        if secret is None:
            log.warning("console.sign_in_failed", client=address)  # no name: it may be a password in the wrong field
            return await self._draw(request, 401, given.place, wrong=WRONG, name=given.name)
        await self._console.ask(self._attempts.welcome, given.key, address)
        return welcome(request, secret, given.place)

    async def _secret(self, request: Request, given: Given) -> str | None:
        """A session's, for the right password. An unknown name takes as long as a wrong password."""
        console = self._console
        find = partial(find_user, key=given.key)
        user: User | None = await console.ask(console.store.database.read, find)
        kept = NOBODYS if user is None else user.password
        is_right = await self._checking.run(is_password, kept, given.password, seconds=CHECK_SECONDS)
        if user is None or not is_right:
            return None
        return await console.ask(begin_for, console.store, user, address_of(request), session_of(request))

    async def _too_many(self, request: Request, given: Given, seconds: int) -> Response:
        log.warning("console.sign_ins_limited", client=address_of(request))
        response = await self._draw(request, 429, given.place, wait=seconds, name=given.name)
        response.headers["retry-after"] = str(seconds)
        return response

    async def _busy(self, request: Request, given: Given) -> Response:
        response = await self._draw(request, 503, given.place, wrong=BUSY, name=given.name)
        response.headers["retry-after"] = str(BUSY_SECONDS)
        return response

    async def _draw(self, request: Request, status: int, place: str, **content: object) -> Response:
        known: dict[str, object] = {"done": None, "wrong": None, "wait": 0, "name": "", **content}
        more = {"place": place, "doors": self._doors}
        return await self._console.draw(request, None, "sign_in.html", status, **known, **more)


def welcome(request: Request, secret: str, place: str) -> Response:
    """To where somebody wanted to go, now that they are signed in."""
    response = RedirectResponse(place, 303)
    set_cookie(request, response, SESSION, secret)
    return response


def _read(fields: dict[str, str]) -> Given:
    """Raises Refused for a form without its fields."""
    name, password = fields.get("name"), fields.get("password")
    if name is None or password is None:
        raise Refused(400, "The form can't be read", "It has no name or no password.")
    try:
        key = key_of(name)
    except ValueError:
        key = ""  # nobody's
    return Given(name[:LONGEST_NAME], key, password[:LONGEST_PASSWORD], local_place(fields.get("next")))
