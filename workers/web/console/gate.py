"""Who uses the console: the session that a browser's cookie names, read with every request. How long one lasts:
``workers/store/people.py``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog
from starlette.requests import Request

from workers.store.database import UNAVAILABLE
from workers.store.people import Session, find_sessions, has_users, note_seen
from workers.store.store import Store
from workers.web.console.console import LIVE
from workers.web.console.cookies import session_of
from workers.web.console.open_sessions import OpenSessions
from workers.web.console.person import Person
from workers.web.gathering import Gathering
from workers.web.threads import Overloaded, StoreThreads

log = structlog.get_logger()

#: Sessions read in one statement, and requests that may wait to be read.
MOST_SESSIONS, MOST_WAITING = 100, 1000
READ_SECONDS = 5.0
#: How often, at most, this process notes that a session was used.
NOTE_SECONDS = 60.0
MOST_NOTED = 10_000
#: How often it is read whether anybody can sign in: while the console is closed, and while it is open.
CLOSED_SECONDS, OPEN_SECONDS = 2.0, 30.0

CLOSED = (
    "It is reached from outside (INVOICES_PUBLIC_URL, INVOICES_WEB_HOST), and nobody can sign in yet. "
    "Add somebody with `invoices users add NAME --role admin`, or set INVOICES_OIDC_ISSUER. "
    "Callbacks and the HTTP interface go on."
)


@dataclass(frozen=True, slots=True)
class Doors:
    """How people come in here."""

    is_public: bool  #: reached from other hosts
    issuer: str | None = None  #: by whose word people sign in
    takes_links: bool = False  #: on the embedded default: who can read its files may do anything


class SessionGate:
    """Finds the person of a request. Used on one event loop."""

    def __init__(
        self, store: Store, threads: StoreThreads, doors: Doors, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.doors = doors
        self._database = store.database
        self._threads = threads
        self._clock = clock
        self._reading: Gathering[str, tuple[datetime, Session | None]] = Gathering(
            threads, self._read, most=MOST_SESSIONS, most_waiting=MOST_WAITING, seconds=READ_SECONDS
        )
        self._open = OpenSessions(self._read_open, clock)
        self._noted: dict[str, float] = {}  #: by secret, by ``clock``
        self._notes: set[asyncio.Task[None]] = set()
        self._has_people = False
        self._look_again_at = float("-inf")

    async def why_closed(self) -> str | None:
        """Why nobody may use the console here; None: it is open. Raises Overloaded, ``UNAVAILABLE``."""
        if not self.doors.is_public or self.doors.issuer is not None:
            return None
        if self._clock() >= self._look_again_at:
            self._has_people = await self._threads.run(self._database.read, has_users, seconds=READ_SECONDS)
            self._look_again_at = self._clock() + (OPEN_SECONDS if self._has_people else CLOSED_SECONDS)
        return None if self._has_people else CLOSED

    async def find(self, request: Request) -> Person | None:
        """Who asks; None: nobody who has signed in. Raises Overloaded, ``UNAVAILABLE``."""
        person, secret = await self.look(request), session_of(request)
        if person is not None and secret is not None and request.url.path != LIVE:
            self._note(secret)
        return person

    async def look(self, request: Request) -> Person | None:
        """The same without using the session: a live page keeps nobody signed in."""
        secret = session_of(request)
        if secret is None:
            return None
        now, session = await self._reading.ask(secret)
        if session is None or not session.is_live(now):
            return None
        return _person(session, address_of(request))

    @contextmanager
    def watching(self, request: Request, person: Person) -> Iterator[Callable[[], Awaitable[Person | None]]]:
        """This person's page is live inside; the function says who they are by now. That raises Overloaded,
        ``UNAVAILABLE``."""
        secret = session_of(request) or ""
        with self._open.page(secret, person):
            yield partial(self._open.look, secret)

    async def _read_open(self, secrets: Sequence[str]) -> Mapping[str, Person]:
        now, found = await self._threads.run(find_sessions, self._database, secrets, seconds=READ_SECONDS)
        return {secret: _person(one) for secret, one in found.items() if one.is_live(now)}

    def _read(self, secrets: Sequence[str]) -> list[tuple[datetime, Session | None]]:
        now, found = find_sessions(self._database, secrets)
        return [(now, found.get(secret)) for secret in secrets]

    def _note(self, secret: str) -> None:
        """That it was used; nobody waits for it."""
        now = self._clock()
        if now - self._noted.get(secret, float("-inf")) < NOTE_SECONDS:
            return
        if len(self._noted) >= MOST_NOTED:
            self._noted.clear()
        self._noted[secret] = now
        noting = asyncio.create_task(self._write_note(secret))
        self._notes.add(noting)
        noting.add_done_callback(self._notes.discard)

    async def _write_note(self, secret: str) -> None:
        try:
            await self._threads.run(partial(note_seen, self._database), secret, seconds=READ_SECONDS)
        except (Overloaded, *UNAVAILABLE) as error:
            self._noted.pop(secret, None)  # with the next request then
            log.info("console.use_not_noted", error=type(error).__name__)


def _person(session: Session, address: str = "") -> Person:
    return Person(session.name, session.role, session.accounts, address)


def address_of(request: Request) -> str:
    """Where a request came from, as far as trusted proxies tell."""
    return request.client.host if request.client else ""
