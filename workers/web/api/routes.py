"""Everything under ``/v1``. A part is a class with ``routes()``, and a line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from starlette.routing import BaseRoute

from workers.intake.desk import Desk
from workers.shipped import VERSION
from workers.store.database import Database
from workers.store.reads.log import Page, read_page
from workers.store.reads.why.order import Around
from workers.store.store import Store
from workers.store.tokens import find_tokens, note_use
from workers.web.api.access import Access
from workers.web.api.acts import Acts
from workers.web.api.api import Api
from workers.web.api.deliveries import Deliveries
from workers.web.api.documents import Documents
from workers.web.api.drift import Drifts
from workers.web.api.endpoints import Endpoints, Webhooks
from workers.web.api.events import Events
from workers.web.api.following import Following
from workers.web.api.invoice_reads import InvoiceReads
from workers.web.api.invoices import Invoices
from workers.web.api.jobs import JobRunner
from workers.web.api.orders import Orders
from workers.web.api.places import SHARE_OF_CONNECTIONS, Places
from workers.web.api.schema.operation import know_each_other
from workers.web.api.snapshot import Snapshots
from workers.web.api.why import Whys
from workers.web.metrics import Metrics
from workers.web.server import most_connections
from workers.web.threads import StoreThreads


@dataclass(frozen=True, slots=True)
class Served:
    """The routes, and ``on_stop``, which ends requests that wait."""

    routes: Sequence[BaseRoute]
    reads: InvoiceReads
    jobs: JobRunner
    following: Following
    on_stop: Callable[[], None]


def build_api(
    store: Store, desk: Desk, threads: StoreThreads, metrics: Metrics, webhooks: Webhooks, around: Around
) -> Served:
    """All of it."""
    database = store.database
    api = Api(store, threads, Access(threads, partial(find_tokens, database), partial(note_use, database)))
    reads = InvoiceReads(api)
    metrics.waiting.set_function(lambda: len(reads.waiting))
    jobs, following = JobRunner(store), _following(database, threads, metrics)
    places = Places(int(most_connections() * SHARE_OF_CONNECTIONS))
    parts = (
        Orders(api, desk, reads),
        Invoices(api, reads),
        Whys(api, reads, around),
        Acts(api, reads),
        Endpoints(api, webhooks, frozenset(desk.accounts)),
        Deliveries(api, jobs),
        Drifts(api),
        Events(api, following, places),
        Snapshots(api, places),
    )
    routes = [route for part in parts for route in part.routes()]

    def on_stop() -> None:
        reads.waiting.end()
        following.end()

    routes += Documents(list(routes), VERSION).routes()
    know_each_other(routes)
    return Served(routes, reads, jobs, following, on_stop)


def _following(database: Database, threads: StoreThreads, metrics: Metrics) -> Following:
    def read(after: int, limit: int) -> Page:
        return database.read(read_page, after, limit)

    following = Following(threads, read, partial(find_tokens, database))
    metrics.following.set_function(lambda: len(following))
    return following
