"""What every page of the console works with, and what stands around each: who asks, from where, what is answered when
something is wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qsl, quote

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from domain.account import Account
from domain.permissions import Action
from domain.visible import why_meaningless
from workers.store.database import UNAVAILABLE
from workers.store.reads.why.order import Around
from workers.store.store import Store
from workers.web.bodies import BodyRefused, read_body
from workers.web.console.cache import PATIENCE_SECONDS
from workers.web.console.origin import why_foreign
from workers.web.console.person import Gate, Person
from workers.web.console.pulse import PulseReader
from workers.web.console.refusals import Forbidden, NotFound, Refused
from workers.web.console.view import Scene, View
from workers.web.threads import Overloaded, StoreThreads

log = structlog.get_logger()

Result = TypeVar("Result")
#: A page: what a person who may see it is answered.
Page = Callable[[Request, Person], Awaitable[Response]]

STORE_SECONDS = 15.0
FORM_BYTES, FORM_SECONDS, MOST_FIELDS = 64 * 1024, 15.0, 200
SIGN_IN, LIVE = "/console/sign-in", "/console/live"
SAFE = frozenset({"GET", "HEAD"})
#: Nothing inline, nothing from elsewhere. Pages may not be framed.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Watched:
    """A live page: one with parts that are sent anew."""

    route: Route
    page: Page
    action: Action
    every_seconds: float


@dataclass(frozen=True, slots=True)
class Console:
    """The store and its threads, the accounts, who may use it, how pages are drawn, and what is known
    beside the rows."""

    store: Store
    threads: StoreThreads
    accounts: Mapping[str, Account]
    gate: Gate
    view: View
    pulse: PulseReader
    around: Around
    patience_seconds: float = PATIENCE_SECONDS  #: how long a page waits for what is read beside it
    watched: list[Watched] = field(default_factory=list)  #: live pages

    def route(
        self,
        path: str,
        page: Page,
        action: Action = Action.READ,
        methods: Collection[str] = ("GET",),
        live_seconds: float | None = None,
    ) -> Route:
        """A page for people whose role allows ``action``. ``live_seconds``: its template has ``live`` parts, which are
        drawn anew when something has been added, and after this time in any case."""

        async def for_people(request: Request) -> Response:
            person = await self.gate.find(request)
            if person is None:
                return _to_sign_in(request)
            if not person.may(action):
                return await self.draw_refusal(request, Forbidden(person.role.value), person)
            if live_seconds is not None:
                request.state.live_url = f"{LIVE}?of={quote(_with_query(request), safe='')}"
            return await self._show(page, request, person)

        route = self.open_route(path, for_people, methods)
        if live_seconds is not None:
            self.watched.append(Watched(route, page, action, live_seconds))
        return route

    async def _show(self, page: Page, request: Request, person: Person) -> Response:
        try:
            if any(why_meaningless(str(part)) for part in request.path_params.values()):
                raise NotFound  # PostgreSQL takes no NUL: no row is named so
            return await page(request, person)
        except Refused as refused:
            request.state.live_url = None
            return await self.draw_refusal(request, refused, person)

    def open_route(
        self, path: str, answer: Callable[[Request], Awaitable[Response]], methods: Collection[str] = ("GET",)
    ) -> Route:
        """A page for everybody: signing in. Refuses what another site's page sends."""

        async def around(request: Request) -> Response:
            try:
                response = await self._answer(request, answer)
            except Refused as refused:
                response = await self.draw_refusal(request, refused, None)
            except (Overloaded, *UNAVAILABLE) as error:
                log.warning("console.store_away", error=type(error).__name__)
                response = await self.draw_refusal(request, _AWAY, None)
            except Exception:
                log.exception("web.bug", path=request.url.path[:200], traceback=True)
                response = await self.draw_refusal(request, _BUG, None)
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            response.headers.setdefault("cache-control", "no-store")
            return response

        return Route(path, around, methods=list(methods))

    async def _answer(self, request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        closed = await self.gate.why_closed()
        if closed is not None:
            raise Refused(503, "The console is closed here", closed)
        if request.method not in SAFE and (why := why_foreign(request)) is not None:
            raise Refused(403, "This did not come from a page of the console", why)
        return await answer(request)

    def patience(self, request: Request) -> float:
        """How long this page waits for what is read beside it. One that is drawn for live viewers takes its time:
        nobody waits for the answer."""
        return STORE_SECONDS if getattr(request.state, "goes_on", False) else self.patience_seconds

    async def ask(self, function: Callable[..., Result], *arguments: object) -> Result:
        """What a function of the store gives. Raises Overloaded, or what says that the database is away."""
        return await self.threads.run(function, *arguments, seconds=STORE_SECONDS)

    async def draw(
        self, request: Request, person: Person | None, template: str, status: int = 200, **content: object
    ) -> Response:
        """A page, with its bar and its rail."""
        pulse = None if person is None else await self.pulse.take(person.accounts)
        return self.view.page(request, template, Scene(person, pulse), status, **content)

    async def draw_refusal(self, request: Request, refused: Refused, person: Person | None) -> Response:
        """An error page."""
        return await self.draw(request, person, "error.html", refused.status, refused=refused)

    async def nowhere(self, request: Request, person: Person) -> Response:
        """For an address below ``/console/`` that is no page."""
        raise NotFound


_AWAY = Refused(
    503,
    "The database does not answer",
    "Nothing is lost: orders and callbacks wait. Try again in a few seconds; `invoices doctor` says more.",
)


_BUG = Refused(500, "This is our fault", "It is in the log, with its cause.")


async def read_form(request: Request, allowed: Collection[str]) -> dict[str, str]:
    """A form's fields, each once; those that are missing are left out. Raises Refused for anything else."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Refused(415, "This is no form", "Use the page's own form.")
    try:
        body = (await read_body(request, FORM_BYTES, FORM_SECONDS)).decode()
        pairs = parse_qsl(body, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except BodyRefused as refused:
        raise Refused(refused.status, "The form can't be read", refused.detail) from None
    except ValueError:
        raise Refused(400, "The form can't be read", "It is not UTF-8, or has too many fields.") from None
    return _once(pairs, allowed)


def read_filter(request: Request, allowed: Collection[str], lists: Collection[str] = ()) -> dict[str, str]:
    """The query's parameters, each once, without empty ones; of ``lists`` several make a list with commas.

    Raises Refused 400: a misspelled one must not find all.
    """
    pairs = request.query_params.multi_items()
    if len(pairs) > MOST_FIELDS:
        raise Refused(400, "The request can't be used", "It has too many parameters.")
    joined = {name: ",".join(value for one, value in pairs if one == name and value) for name, _ in pairs}
    once = [(name, value) for name, value in pairs if name not in lists]
    found = _once([*once, *((name, value) for name, value in joined.items() if name in lists)], allowed)
    return {name: value for name, value in found.items() if value}


def parse_filter(text: str, allowed: Collection[str]) -> dict[str, str]:
    """The same of a query that a form carries along."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        raise Refused(400, "The filter can't be used", "It is not UTF-8, or has too many parts.") from None
    return {name: value for name, value in _once(pairs, allowed).items() if value}


def _once(pairs: Collection[tuple[str, str]], allowed: Collection[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in pairs:
        hidden = why_meaningless(value)
        if name not in allowed or name in given or hidden is not None:
            wrong = f"must not contain {hidden}" if hidden else "is there twice" if name in given else "is not known"
            there = ", ".join(sorted(allowed)) or "none"
            raise Refused(400, "The request can't be used", f"{name[:60]} {wrong}; there are: {there}")
        given[name] = value
    return given


def _to_sign_in(request: Request) -> Response:
    """Back to where the person wanted to go, once signed in; a form that was sent is not sent again."""
    place = f"{SIGN_IN}?next={quote(_with_query(request), safe='')}" if request.method in SAFE else SIGN_IN
    return RedirectResponse(place, 303)


def _with_query(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
