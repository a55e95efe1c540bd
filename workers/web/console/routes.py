"""What there is under ``/console/``. A part is a class with ``routes()``; it gets its line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from domain.account import Account
from domain.told_setting import ToldSetting
from workers.store.reads.why.late import Overview
from workers.store.reads.why.order import Around
from workers.store.store import Store
from workers.web.api.places import Places
from workers.web.console.accounts import Accounts
from workers.web.console.acting import Acting
from workers.web.console.assets import read_assets
from workers.web.console.audit import Audit
from workers.web.console.cache import PATIENCE_SECONDS
from workers.web.console.console import Console
from workers.web.console.contradictions import Contradictions
from workers.web.console.deliveries import Deliveries
from workers.web.console.doubts import Doubts
from workers.web.console.downloads import Downloads
from workers.web.console.endpoint_acts import EndpointActs
from workers.web.console.endpoint_adding import EndpointAdding
from workers.web.console.endpoint_replays import EndpointReplays
from workers.web.console.endpoints import Endpoints
from workers.web.console.figures import FiguresReader
from workers.web.console.invoice import Invoice
from workers.web.console.invoices import Invoices
from workers.web.console.job_failures import JobFailures
from workers.web.console.jobs import Jobs
from workers.web.console.language import LanguageChoice
from workers.web.console.open_pages import MOST_OF_ONE
from workers.web.console.overview import OverviewPage
from workers.web.console.people import People
from workers.web.console.people_acts import PeopleActs
from workers.web.console.person import Gate
from workers.web.console.pulse import PulseReader
from workers.web.console.reach import Reach
from workers.web.console.rejected import Rejected
from workers.web.console.searching import Searching
from workers.web.console.settings import SettingsPage
from workers.web.console.token_pages import TokenPages
from workers.web.console.unmatched import Unmatched
from workers.web.console.view import View
from workers.web.console.watching import Watching
from workers.web.server import most_connections
from workers.web.threads import StoreThreads

#: The share of all connections that live pages may have; the others are for orders, callbacks and streams of events.
SHARE_OF_CONNECTIONS = 2 / 7
#: Connections of one person: for their live pages, those that are just being let go, and a few downloads.
MOST_PLACES_OF_ONE = 2 * MOST_OF_ONE


class Part(Protocol):
    """Some of the console's pages."""

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        ...


@dataclass(frozen=True, slots=True)
class Served:
    """The routes; the live pages, to be ended when the process is told to stop; the figures, to be read from its start
    on."""

    routes: Sequence[BaseRoute]
    watching: Watching
    figures: FiguresReader


def build_console(
    store: Store,
    threads: StoreThreads,
    accounts: Mapping[str, Account],
    gate: Gate,
    read_overview: Callable[[], Overview],
    installation: str,
    around: Around,
    reach: Reach,
    entrance: Callable[[Console], Sequence[BaseRoute]] = lambda _: (),
    settings: Sequence[ToldSetting] = (),
    patience_seconds: float = PATIENCE_SECONDS,
) -> Served:
    """All of it. ``installation``: a name that people know this one by. ``around``: where callbacks go, and how the
    endpoints' breakers are. ``reach``: what acts need beside the store. ``entrance``: the pages by which people come
    in. ``settings``: as they may be shown. ``patience_seconds``: how long a page waits for what is read beside it."""
    assets = read_assets()
    pulse = PulseReader(threads, store.database, read_overview, around.breakers, patience_seconds)
    console = Console(store, threads, accounts, gate, View(assets, installation), pulse, around, patience_seconds)
    places = Places(int(most_connections() * SHARE_OF_CONNECTIONS), MOST_PLACES_OF_ONE)
    watching, downloads = Watching(console, places), Downloads(console, places)
    overview = OverviewPage(console)
    parts: list[Part] = [overview, *_parts(console, downloads, reach, settings), watching]
    routes = [Route("/", _from_root), Route("/console", _to_overview), *assets.routes(), *entrance(console)]
    routes += [route for part in parts for route in part.routes()]
    routes.append(console.route("/console/{rest:path}", console.nowhere))
    return Served(routes, watching, overview.figures)


def _parts(console: Console, downloads: Downloads, reach: Reach, settings: Sequence[ToldSetting]) -> Sequence[Part]:
    """In an order in which an address with a word of its own comes before one with any id in that place."""
    endpoints, people, jobs = Endpoints(console), People(console), Jobs(console, reach)
    return (
        LanguageChoice(console),
        Audit(console, downloads),
        Accounts(console),
        SettingsPage(console, settings),
        Invoices(console, downloads),
        EndpointAdding(console, reach),
        endpoints,
        EndpointActs(console, endpoints, reach),
        Invoice(console),
        EndpointReplays(console, endpoints, reach),
        Deliveries(console, reach),
        Doubts(console),
        Rejected(console, reach),
        Unmatched(console),
        Contradictions(console),
        Searching(console),
        TokenPages(console),
        PeopleActs(console, people),
        people,
        Acting(console, reach),
        JobFailures(console, downloads, jobs),
        jobs,
    )


async def _from_root(request: Request) -> Response:
    """For who types the host alone. Not for good: another process may serve something else there."""
    return RedirectResponse("/console/", 307)


async def _to_overview(request: Request) -> Response:
    return RedirectResponse("/console/", 308)
