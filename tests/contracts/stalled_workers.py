"""Two workers that create invoices while an outsider holds locks: real stores and pumps, a provider that counts."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from contextlib import contextmanager
from typing import Any, cast

import fakeredis

from domain.account import Account
from domain.event import new_id
from domain.evidence import Created
from tests.contracts.store_cases import ACCOUNT, open_store, order, take, wait_until
from workers.coordination.rate_limit import RateLimit
from workers.engine import Pump
from workers.stages import ProviderStages
from workers.store.database import Database

TIMEOUT_SECONDS = 1.5
LEASE_SECONDS = 12  #: with the margins below; a busy machine must reach the open gate within it
ORDERS = 12


def shorten_leases(monkeypatch, doubt_seconds=1.0):
    """Leases of seconds, and what goes with them: a call that is counted as lost is soon made again."""
    monkeypatch.setattr("domain.schedule.DOUBT_RETRY_SECONDS", (doubt_seconds,) * 5)
    monkeypatch.setattr("workers.stages.provider.LEASE_MARGIN_SECONDS", LEASE_SECONDS - TIMEOUT_SECONDS)
    monkeypatch.setattr("workers.stages.provider.COMMIT_MARGIN_SECONDS", 0.0)
    monkeypatch.setattr("workers.engine.keeper.KEEP_AFTER_SECONDS", 0.2)
    monkeypatch.setattr("workers.engine.keeper.KEEP_TICK_SECONDS", 0.1)
    monkeypatch.setattr("workers.engine.keeper.KEPT_LEASE_SECONDS", 1.5)


class Provider:
    """Makes every invoice, once the gate is open, and counts how often each order was asked for."""

    can_be_asked = False
    can_search = staticmethod(lambda _account: False)

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.gate = threading.Event()

    async def create(self, request: Any, account: Any) -> Created:
        self.calls[request.order_id] += 1
        await asyncio.to_thread(self.gate.wait)
        return Created(provider_ref=new_id("ref"))


class Workers:
    """Two of them, on one database, and the orders that they were given."""

    def __init__(self, url: str, count: int = 2) -> None:
        self.databases = [Database(url) for _ in range(count)]
        self.stores = [open_store(database) for database in self.databases]
        self.provider = Provider()
        self.pumps = [self._pump(store) for store in self.stores]
        self.ids = take(self.stores[0], *(order(new_id("order")) for _ in range(ORDERS)))

    def _pump(self, store: Any) -> Pump:
        account = Account(
            name=ACCOUNT, provider="nebulox", base_url="http://127.0.0.1:1", api_key="key",
            timeout_seconds=TIMEOUT_SECONDS, max_in_flight=ORDERS,
        )  # fmt: skip

        async def open_works(_: Any) -> Any:
            rate = RateLimit(fakeredis.FakeAsyncRedis(), {})
            providers = {"nebulox": cast("Any", self.provider)}
            return ProviderStages(store, {ACCOUNT: account}, providers, rate).works()[:1]

        return Pump(open_works, store.next_due, store.release, lambda _: None)

    def start(self) -> None:
        for pump in self.pumps:
            pump.start()

    def wait_until_called(self) -> None:
        wait_until(lambda: len(self.provider.calls) == ORDERS, "every order is being created")

    def stop(self) -> None:
        self.provider.gate.set()
        for pump in self.pumps:
            pump.stop(2)
        for database in self.databases:
            database.close()


@contextmanager
def working(url: str, count: int = 2):
    """Two workers, until the end of the test."""
    workers = Workers(url, count)
    try:
        yield workers
    finally:
        workers.stop()
