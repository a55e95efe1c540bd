"""Who uses the console: a person with a role, perhaps limited to accounts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request

from domain.permissions import Action, Role, may, sees
from workers.store.acts import Actor


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has signed in. ``accounts`` None: every account's invoices."""

    name: str
    role: Role
    accounts: frozenset[str] | None
    address: str

    def may(self, action: Action) -> bool:
        """Whether the role allows this."""
        return may((self.role,), action)

    def sees(self, account: str) -> bool:
        """Whether this account's things are shown."""
        return sees(self.accounts, account)

    def acting(self, reason: str | None) -> Actor:
        """As the one who does something, for the audit log."""
        return Actor(self.name, f"console {self.address}", reason)


class Gate(Protocol):
    """Knows who asks."""

    def why_closed(self) -> Awaitable[str | None]:
        """Why nobody may use the console here; None: it is open."""
        ...

    def find(self, request: Request) -> Awaitable[Person | None]:
        """Who asks; None: nobody who has signed in."""
        ...

    def look(self, request: Request) -> Awaitable[Person | None]:
        """The same without using the session: a live page keeps nobody signed in."""
        ...

    def watching(
        self, request: Request, person: Person
    ) -> AbstractContextManager[Callable[[], Awaitable[Person | None]]]:
        """This person's page is live inside; the function says who they are by now, read at most a few seconds ago for
        all open pages together."""
        ...
