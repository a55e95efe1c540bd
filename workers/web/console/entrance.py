"""The pages by which people come in, put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx
from starlette.routing import BaseRoute

from workers.delivery.secretbox import SecretBox
from workers.http.trust import public_tls
from workers.store.operate.sign_in_attempts import Attempts
from workers.web.console.client import Client
from workers.web.console.console import Console
from workers.web.console.gate import Doors
from workers.web.console.link import LinkPages
from workers.web.console.sign_in import SignInPages
from workers.web.threads import StoreThreads

#: How many threads check passwords, each with 64 MiB, and how many sign-ins may be under way.
CHECKING_THREADS, MOST_UNDER_WAY = 2, 16


@dataclass(frozen=True, slots=True)
class IssuersWord:
    """What signing in by an issuer needs. ``box`` seals what a browser keeps meanwhile."""

    client: Client
    box: Callable[[], SecretBox]
    public_url: str | None
    transport: httpx.AsyncBaseTransport | None = None  #: None: the network


class Entrance:
    """What lets people in, and the threads that it needs."""

    def __init__(self, doors: Doors, word: IssuersWord | None = None) -> None:
        self._doors = doors
        self._word = word
        self._checking = StoreThreads(CHECKING_THREADS, MOST_UNDER_WAY)

    def routes(self, console: Console) -> Sequence[BaseRoute]:
        """What the application serves of it."""
        attempts = Attempts(console.store.database)
        pages = [
            *SignInPages(console, self._doors, attempts, self._checking, MOST_UNDER_WAY).routes(),
            *LinkPages(console, self._doors).routes(),
        ]
        if self._word is not None:
            pages += _issuers_pages(console, attempts, self._word)
        return pages

    def close(self) -> None:
        """Nobody comes in any more."""
        self._checking.close()


def _issuers_pages(console: Console, attempts: Attempts, word: IssuersWord) -> list[BaseRoute]:
    from workers.web.console.issuer import Issuer
    from workers.web.console.oidc import IssuerPages

    http = httpx.AsyncClient(transport=word.transport, verify=public_tls(), trust_env=False)
    return IssuerPages(console, Issuer(word.client, http), word.box, attempts, word.public_url).routes()
