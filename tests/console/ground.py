"""The console over a store of the test's own, for people of any role who have signed in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import httpx
from starlette.requests import Request

from domain.permissions import Role
from domain.told_setting import ToldSetting
from domain.why.patience import Pace
from tests.console.outside import Outside
from tests.console.scene import ACCOUNTS, Scene
from workers.store.reads.why.late import read_overview
from workers.store.reads.why.order import Around
from workers.web.application import Surroundings, build_application
from workers.web.console.person import Person
from workers.web.console.routes import build_console
from workers.web.health import Health
from workers.web.metrics import Metrics
from workers.web.threads import StoreThreads

ROLE, ONLY = "x-role", "x-accounts"
SITE = "http://127.0.0.1"


#: A setting of each kind.
TOLD = (
    ToldSetting("INVOICES_DATABASE_URL", "postgresql+psycopg://***@db/invoices", "environment"),
    ToldSetting("INVOICES_ACCOUNTS", "nebulox, zeroxhost", "file"),
    ToldSetting("INVOICES_SECRET_KEY", "***", "environment", is_secret=True),
    ToldSetting("INVOICES_WEB_PORT", "8420", "default"),
    ToldSetting("INVOICES_PUBLIC_URL", None, "decided"),
)


class OpenGate:
    """Lets everybody in, as what the request's headers say. Signing in has tests of its own."""

    async def why_closed(self) -> str | None:
        return None

    async def look(self, request: Request) -> Person | None:
        return await self.find(request)

    @contextmanager
    def watching(self, request: Request, person: Person) -> Iterator[Callable[[], Awaitable[Person | None]]]:
        yield partial(self.find, request)

    async def find(self, request: Request) -> Person | None:
        role = request.headers.get(ROLE, "admin")
        only = request.headers.get(ONLY)
        accounts = None if only is None else frozenset(only.split(","))
        return None if role == "nobody" else Person("j.brandt", Role(role), accounts, "10.4.2.17")


class Ground:
    """The application over a scene."""

    def __init__(
        self,
        scene: Scene,
        trusted_proxies: tuple[str, ...] = (),
        settings: Sequence[ToldSetting] = TOLD,
        patience_seconds: float = 60.0,
    ) -> None:
        self.scene = scene
        self.store = scene.store
        self.threads = StoreThreads()
        overview = partial(scene.database.read, read_overview, scene.database, Pace(ACCOUNTS, {}))
        self.breakers: dict[str, str] = {}  #: as Redis tells
        self.around = Around(ACCOUNTS, "https://pay.example/callbacks/{}".format, lambda _: self.breakers)
        self.outside = Outside()
        self.served = build_console(
            scene.store,
            self.threads,
            ACCOUNTS,
            OpenGate(),
            overview,
            "eu-prod",
            self.around,
            self.outside.reach,
            settings=settings,
            patience_seconds=patience_seconds,
        )
        health = Health(self.threads, lambda: None, lambda: None)
        self.application = build_application(
            Surroundings(trusted_proxies, (), (), None), health, Metrics("1"), list(self.served.routes)
        )

    def ask(self, method: str, path: str, role: str = "admin", accounts: str | None = None, **options):
        """One request of a browser's; redirects are not followed."""
        headers = {ROLE: role, "sec-fetch-site": "same-origin", **options.pop("headers", {})}
        if accounts is not None:
            headers[ONLY] = accounts

        async def go():
            transport = httpx.ASGITransport(self.application, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=SITE, timeout=60) as client:
                return await client.request(method, path, headers=headers, **options)

        return asyncio.run(go())

    def get(self, path: str, role: str = "admin", **options):
        """A page."""
        return self.ask("GET", path, role, **options)

    def post(self, path: str, fields: dict[str, str], role: str = "admin", **options):
        """A form."""
        return self.ask("POST", path, role, data=fields, **options)

    def messages(self, path: str, method: str = "GET") -> list[dict]:
        """What the application sends for a page of an admin's, message by message."""
        sent = []

        async def send(message):
            sent.append(message)

        async def receive():
            await asyncio.Event().wait()

        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(b"host", b"127.0.0.1")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "scheme": "http",
            "root_path": "",
            "http_version": "1.1",
        }

        async def go():
            await self.application(scope, receive, send)

        asyncio.run(go())
        return sent

    def close(self) -> None:
        """Nothing goes on after this."""
        self.threads._executor.shutdown()  # waits: a connection in use would outlive its database
