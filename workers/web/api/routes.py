"""What there is under ``/v1``. A part is a class with ``routes()``; it gets its line here."""

from __future__ import annotations

from functools import partial

from starlette.routing import BaseRoute

from workers.intake.orders import Desk
from workers.store.store import Store
from workers.store.tokens import find_tokens, note_use
from workers.web.api.access import Access
from workers.web.api.api import Api
from workers.web.api.invoices import Invoices
from workers.web.threads import StoreThreads


def build_api(store: Store, desk: Desk, threads: StoreThreads) -> list[BaseRoute]:
    """The routes."""
    database = store.database
    access = Access(threads, partial(find_tokens, database), partial(note_use, database))
    api = Api(store, threads, access)
    return [*Invoices(api).routes()]
