"""The console with its real gate: browsers that sign in, over a store of the test's own."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import httpx

from domain.permissions import Role
from domain.why.patience import Pace
from tests.console.outside import Outside
from tests.console.scene import ACCOUNTS, OPERATOR
from workers.store.operate.people import NewPerson, add
from workers.store.reads.why.late import read_overview
from workers.store.reads.why.order import Around
from workers.web.application import Surroundings, build_application
from workers.web.console.entrance import Entrance
from workers.web.console.gate import Doors, SessionGate
from workers.web.console.routes import build_console
from workers.web.health import Health
from workers.web.metrics import Metrics
from workers.web.threads import StoreThreads

SITE, PUBLIC = "http://127.0.0.1", "https://pay.example"
SAME_ORIGIN = {"sec-fetch-site": "same-origin"}


class Browser:
    """Keeps its cookies. Redirects are not followed."""

    def __init__(self, doorstep: Doorstep, site: str, address: str) -> None:
        transport = httpx.ASGITransport(doorstep.application, raise_app_exceptions=False, client=(address, 1234))
        self._client = httpx.AsyncClient(transport=transport, base_url=site, timeout=60)
        self._run = doorstep.run

    @property
    def cookies(self):
        return self._client.cookies

    def ask(self, method: str, path: str, **options):
        """A request as a page of the site sends it; ``headers`` say otherwise."""
        headers = SAME_ORIGIN | options.pop("headers", {})
        return self._run(self._client.request(method, path, headers=headers, **options))

    def get(self, path: str, **options):
        return self.ask("GET", path, **options)

    def post(self, path: str, fields: dict[str, str] | None = None, **options):
        return self.ask("POST", path, data={} if fields is None else fields, **options)

    def sign_in(self, name: str, password: str, **more: str):
        """By the form."""
        return self.post("/console/sign-in", {"name": name, "password": password, **more})

    def is_signed_in(self) -> bool:
        """Whether a page is shown to it."""
        return bool(self.get("/console/invoices").status_code == 200)


class Doorstep:
    """The application, on one event loop."""

    def __init__(
        self,
        store,
        doors: Doors = Doors(is_public=False, takes_links=True),  # noqa: B008
        clock=time.monotonic,
        **more,
    ) -> None:
        self.store = store
        self._runner = asyncio.Runner()
        self._threads = StoreThreads()
        self.gate = SessionGate(store, self._threads, doors, clock)
        self._entrance = Entrance(doors, **more)
        database = store.database
        overview = partial(database.read, read_overview, database, Pace(ACCOUNTS, {}))
        around = Around(ACCOUNTS, "https://pay.example/callbacks/{}".format, lambda _: {})
        served = build_console(
            store,
            self._threads,
            ACCOUNTS,
            self.gate,
            overview,
            "pay.example",
            around,
            Outside().reach,
            self._entrance.routes,
        )
        health = Health(self._threads, lambda: None, lambda: None)
        surroundings = Surroundings((), (), (), PUBLIC)
        self.routes = served.routes
        self.application = build_application(surroundings, health, Metrics("1"), list(served.routes))

    def run(self, coroutine):
        """On the application's loop."""
        return self._runner.run(coroutine)

    def browser(self, site: str = SITE, address: str = "127.0.0.1") -> Browser:
        return Browser(self, site, address)

    def add(self, name: str, role: Role = Role.VIEWER, *accounts: str) -> str:
        """Somebody; the password."""
        return add(self.store, OPERATOR, NewPerson(name, role, accounts))

    def signed_in(self, name: str, role: Role = Role.VIEWER, *accounts: str, **place: str) -> Browser:
        """A browser of somebody who has just signed in."""
        browser = self.browser(**place)
        assert browser.sign_in(name, self.add(name, role, *accounts)).status_code == 303
        return browser

    def close(self) -> None:
        """Nothing goes on after this."""
        self._threads._executor.shutdown()  # waits: a connection in use would outlive its database
        self._entrance.close()
        self._runner.close()
