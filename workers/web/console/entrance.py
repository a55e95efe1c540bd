"""The pages by which people come in, put together."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute

from workers.web.console.attempts import Attempts
from workers.web.console.console import Console
from workers.web.console.gate import Doors
from workers.web.console.link import LinkPages
from workers.web.console.sign_in import SignInPages
from workers.web.threads import StoreThreads

#: Passwords are looked at by so many threads at a time, each with 64 MiB; and so many sign-ins may be under way.
CHECKING_THREADS, MOST_UNDER_WAY = 2, 16


class Entrance:
    """What lets people in, and the threads that it needs."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._checking = StoreThreads(CHECKING_THREADS, MOST_UNDER_WAY)

    def routes(self, console: Console) -> Sequence[BaseRoute]:
        """What the application serves of it."""
        parts = (
            SignInPages(console, self._doors, Attempts(), self._checking, MOST_UNDER_WAY),
            LinkPages(console, self._doors),
        )
        return [route for part in parts for route in part.routes()]

    def close(self) -> None:
        """Nobody comes in any more."""
        self._checking.close()
