"""``/console/people``: who may sign in, who is signed in, and the tokens of the HTTP interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from shlex import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from domain.permissions import Action, Role
from workers.store.people import Session, User, find_user_by_id, key_of, list_sessions, list_users, sessions_of
from workers.store.tokens import Token, newest_tokens
from workers.web.console.console import Console, read_filter
from workers.web.console.person import Person
from workers.web.console.refusals import NotFound

PLACE = "/console/people"
#: Of each kind the page shows so many.
MOST = 500
#: What may be said to have been done.
DONE = frozenset({"role", "ended", "removed", "revoked"})


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody in the list. ``user_id`` None: they signed in by a link or an issuer's word, and have no password."""

    name: str
    user_id: str | None
    role: Role
    accounts: frozenset[str] | None
    way: str
    sessions: int
    seen_at: datetime | None
    created_at: datetime | None


class People:
    """The list, and one of them."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it: behind pages whose address would be one of somebody's."""
        return [
            self._console.route(PLACE, self.list, Action.TOKENS),
            self._console.route(f"{PLACE}/{{id}}", self.show, Action.TOKENS),
        ]

    async def list(self, request: Request, person: Person) -> Response:
        """Everybody that the person may change, and the newest tokens."""
        done = read_filter(request, ("done",)).get("done")
        return await self.draw_list(request, person, done=done if done in DONE else None)

    async def draw_list(
        self,
        request: Request,
        person: Person,
        status: int = 200,
        *,
        done: str | None = None,
        problem: str | None = None,
    ) -> Response:
        """The list; ``problem``: why the form for ending sessions could not be used."""
        now, users, sessions, tokens = await self._console.ask(self._read)
        entries = [one for one in entries_of(users, sessions) if manages(person, one.accounts)]
        content = {
            "entries": entries,
            "tokens": [one for one in tokens if manages(person, one.accounts)],
            "at": now,
            "most": MOST if max(len(users), len(sessions), len(tokens)) >= MOST else None,
            "done": done,
            "problem": problem,
        }
        return await self._console.draw(request, person, "people.html", status, **content)

    async def show(self, request: Request, person: Person) -> Response:
        """One of them, with what may be done."""
        done = read_filter(request, ("done",)).get("done")
        user = await self.find(request, person)
        return await self.draw(request, person, user, done=done if done in DONE else None)

    async def find(self, request: Request, person: Person) -> User:
        """The one that the address names. Raises NotFound: also for somebody whom the person may not change."""
        find = self._console.store.database.read
        user: User | None = await self._console.ask(find, find_user_by_id, request.path_params["id"])
        if user is None or not manages(person, user.accounts):
            raise NotFound("There is nobody with this id")
        sessions = await self._console.ask(self.read_sessions, user.name)
        if not all(manages(person, one.accounts) for one in sessions):  # the issuer's word let somebody of this name in
            raise NotFound("There is nobody with this id")
        return user

    async def draw(
        self,
        request: Request,
        person: Person,
        user: User,
        status: int = 200,
        *,
        done: str | None = None,
        problem: str | None = None,
        given: Mapping[str, str] | None = None,
        opened: str | None = None,
    ) -> Response:
        """Their page. ``problem``: why the form called ``opened`` can't be used, which is shown as it was ``given``."""
        sessions = await self._console.ask(self.read_sessions, user.name)
        content = {
            "user": user,
            "sessions": sessions,
            "is_self": is_self(person, user.name),
            "choices": accounts_for(self._console, person, user.accounts),
            "roles": list(Role),
            "quoted": quote(user.name),
        }
        form = {"done": done, "problem": problem, "given": given, "opened": opened}
        return await self._console.draw(request, person, "person.html", status, **content, **form)

    def _read(self) -> tuple[datetime, Sequence[User], Sequence[Session], Sequence[Token]]:
        database = self._console.store.database
        now = database.time()
        users, sessions = database.read(list_users, MOST), database.read(list_sessions, now, MOST)
        return now, users, sessions, database.read(newest_tokens, MOST)

    def read_sessions(self, name: str) -> Sequence[Session]:
        """A name's that count. Not on the loop."""
        database = self._console.store.database
        try:
            return database.read(sessions_of, database.time(), key_of(name))
        except ValueError:  # a name that nobody can have
            return ()


def entries_of(users: Sequence[User], sessions: Sequence[Session]) -> Iterator[Entry]:
    """Those with a password by name, then whoever else is signed in."""
    by_key: dict[str, list[Session]] = {}
    for session in sessions:
        by_key.setdefault(key_of(session.name), []).append(session)
    for user in users:
        own = by_key.pop(key_of(user.name), [])
        seen_at = max((one.seen_at for one in own), default=None)
        yield Entry(user.name, user.id, user.role, user.accounts, "password", len(own), seen_at, user.created_at)
    for others in by_key.values():
        first, seen_at = others[0], max(one.seen_at for one in others)
        yield Entry(first.name, None, first.role, first.accounts, first.way, len(others), seen_at, None)


def manages(person: Person, accounts: frozenset[str] | None) -> bool:
    """Whether the person may change somebody, or a token, that sees these accounts: whoever sees some only may not
    reach beyond them by way of others."""
    return person.accounts is None or (accounts is not None and accounts <= person.accounts)


def is_self(person: Person, name: str) -> bool:
    """Whether this is the person who asks."""
    return key_of(person.name) == key_of(name)


def accounts_for(console: Console, person: Person, also: frozenset[str] | None = None) -> Sequence[str]:
    """The accounts that the person may limit somebody to; ``also`` those that they are limited to now."""
    return sorted({one for one in console.accounts if person.sees(one)} | (also or frozenset()))
