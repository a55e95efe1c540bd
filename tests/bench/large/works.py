"""What is done at each size: the store's own functions, as workers, shops and people call them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

from sqlalchemy import text

from domain.decision import Stage
from domain.status import Status
from tests.sizing.load import ACCOUNT, ENDPOINT, created, number_of, seen, take, tell_stream
from tests.sizing.tables import run_alone
from workers.store.agenda import Claim
from workers.store.deliveries import DeliveryAttempt
from workers.store.judging import Judgement
from workers.store.reads.history import read_history
from workers.store.reads.invoices import page_of_invoices
from workers.store.reads.search import search
from workers.store.store import Store

PAGE, SOME = 50, 100
#: Of the history that was filled in, what is older is removed: a batch in each round.
KEPT = timedelta(days=45)
_NAMES = """
SELECT {0} FROM invoice TABLESAMPLE SYSTEM (:percent) WHERE {0} IS NOT NULL ORDER BY md5(id) LIMIT :count
"""
_TRANSACTIONS = """
SELECT tx_hash FROM payment TABLESAMPLE SYSTEM (:percent) WHERE tx_hash IS NOT NULL ORDER BY md5(key) LIMIT :count
"""
SEARCHED = "id", "order_id", "provider_ref", "address"
SAMPLED_PAGES = 400
#: A server that works has its indexes in memory.
_WARM = """
SELECT sum(pg_prewarm(indexrelid, 'read')) FROM pg_index JOIN pg_class ON oid = indrelid
WHERE relnamespace = 'public'::regnamespace
"""


class Round:
    """A hundred orders on their way, and what people and retention do beside them."""

    def __init__(self, store: Store, rounds: int) -> None:
        self._store = store
        self._ids: list[str] = []
        self._claims: dict[str, Claim] = {}
        names = {one: _sample(store, _NAMES.format(one), "invoice", rounds) for one in SEARCHED}
        names["transaction"] = _sample(store, _TRANSACTIONS, "payment", rounds)
        self._names = names
        run_alone(store, "CREATE EXTENSION IF NOT EXISTS pg_prewarm", _WARM)

    def works(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """By name, in the order in which an order goes through them."""
        read = self._store.database.read
        yield f"{SOME} orders taken in", self._take
        yield f"{SOME} claimed with their invoices", self._claim
        yield f"{SOME} creates judged", self._judge_creates
        yield f"{SOME} payments judged", partial(self._judge, Status.PAID)
        yield f"{2 * SOME} events told", partial(tell_stream, self._store)
        yield f"{2 * SOME} webhooks claimed and settled", self._deliver
        yield "the newest page", partial(read, page_of_invoices, limit=PAGE)
        yield "a page by status", partial(read, page_of_invoices, status="expired", limit=PAGE)
        yield "a page from half a year ago", partial(read, page_of_invoices, before=_id_ago(182), limit=PAGE)
        for kind, names in self._names.items():
            yield f"a search by {kind}", partial(self._search, names)
        yield "an invoice's history", partial(read, read_history, self._store.database, self._names["id"][0], 301)
        yield "a batch removed by retention", partial(self._store.remove_finished, KEPT)
        yield "the same where invoices are archived", partial(self._store.remove_finished, KEPT, archived=True)

    def _take(self) -> None:
        self._ids = take(self._store, SOME)

    def _claim(self) -> None:
        found = self._store.claim_invoices(Stage.CREATE, ACCOUNT, SOME, 3600)
        self._claims = {claim.subject: claim for claim, _ in found}

    def _judge_creates(self) -> None:
        self._store.judge([Judgement(one, created(number_of(one)), self._claims.get(one)) for one in self._ids])

    def _judge(self, status: Status) -> None:
        self._store.judge([Judgement(one, seen(status, number_of(one))) for one in self._ids])

    def _deliver(self) -> None:
        while found := self._store.claim_deliveries(ENDPOINT, SOME, 60):
            self._store.settle([DeliveryAttempt(one, "delivered", status=204, latency_ms=40) for one in found])

    def _search(self, names: list[str]) -> None:
        if self._store.database.read(search, names.pop()) is None:
            raise RuntimeError("an order that is there was not found")


def _sample(store: Store, query: str, table: str, rounds: int) -> list[str]:
    """From all over the table, without reading it whole."""
    with store.database.reading() as connection:
        pages = connection.execute(text(f"SELECT pg_relation_size('{table}') / 8192")).scalar_one()
        given = {"percent": min(100.0, 100 * SAMPLED_PAGES / pages), "count": rounds + 2}
        return list(connection.execute(text(query), given).scalars())


def _id_ago(days: int) -> str:
    """Where the invoices of that time end."""
    return f"inv_{int((time.time() - days * 86400) * 1000):012x}"
