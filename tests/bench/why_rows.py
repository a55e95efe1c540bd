"""How long `why` takes to answer among many open invoices: of one order, and of everything."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable

from domain.account import Account
from domain.evidence import FAILED_LOOK_UP
from domain.why import first_cause
from domain.why.patience import Pace
from tests.bench.ground import Filling, Ground, plain, settle_down, timed
from tests.bench.results import Row
from tests.bench.sql_rows import open_ones
from workers.store.database import Database
from workers.store.reads.search import search
from workers.store.reads.why.late import read_overview
from workers.store.reads.why.order import Around, read_facts
from workers.store.store import Store

MOST_MS = 300.0
ASKED = 50  #: orders a round; the slowest counts

ACCOUNT = Account(name="shop", provider="nebulox", base_url="http://127.0.0.1:9", api_key="k")
AROUND = Around({"shop": ACCOUNT}, lambda _: None, lambda _: {})

#: What each open invoice has beside its row and its clock: a look-up planned, what was said, an event, a webhook. One
#: in a hundred is looked up in vain, one in a thousand is in doubt, one in a thousand webhooks is tried again.
HISTORY = (
    """
    INSERT INTO agenda (stage, subject, lane, due_at, claims, pokes)
    SELECT 'check', id, 'shop', now() + interval '1 hour', 0, 0 FROM invoice
    """,
    """
    INSERT INTO evidence (invoice_id, at, kind, detail, verdict, source)
    SELECT id, now(), 'Created', '{"provider_ref":"ref"}', 'applied', 'create' FROM invoice
    """,
    """
    INSERT INTO event (id, invoice_id, sequence, type, body, created_at, published_at, positioned)
    SELECT 'evt_' || substr(id, 5), id, 1, 'invoice.pending', '{}', now(), now(), 1 FROM invoice
    """,
    """
    INSERT INTO endpoint (id, url, secrets, headers, max_in_flight, created_at)
    VALUES ('ep_1', 'https://shop.example', 'sealed', '{}', 50, now())
    """,
    """
    INSERT INTO delivery (endpoint_id, event_number, invoice_id, sequence, state, tries, created_at)
    SELECT 'ep_1', number, invoice_id, 1, CASE number % 1000 WHEN 0 THEN 'due' ELSE 'delivered' END, 1, now() FROM event
    """,
    f"""
    UPDATE invoice SET evidence_digest = '{FAILED_LOOK_UP}' || repeat('0', 63) WHERE substr(id, 5)::bigint % 100 = 0
    """,
    f"""
    INSERT INTO evidence (invoice_id, at, kind, detail, verdict, source)
    SELECT id, now(), 'Unreachable', '{{"reason":"connection refused"}}', 'noted', 'look-up' FROM invoice
    WHERE evidence_digest LIKE '{FAILED_LOOK_UP}%'
    """,
    """
    UPDATE invoice SET status = 'in_doubt', doubts = 1 WHERE substr(id, 5)::bigint % 1000 = 1
    """,
)


def with_history(count: int) -> Filling:
    """So many open invoices and all that is kept of them."""
    return Filling(f"{count} open with history", fill, open_ones(count))


def fill(store: Store) -> None:
    """Beside what is there already."""
    with plain(store) as connection:
        for statement in HISTORY:
            connection.execute(statement)
    settle_down(store)


def all_rows(ground: Ground) -> list[Row]:
    """Both, on the same database."""
    many, rounds = ground.sizes.open_many, ground.sizes.rounds
    order = Row(
        "why-order",
        f"why ORDER, slowest of {ASKED} among {many:,} open",
        "",
        "ms",
        MOST_MS,
        better="less",
        judged="ours",
    )
    everything = Row("why-all", f"why --all among {many:,} open", "", "ms", MOST_MS, better="less", judged="ours")
    with ground.store(with_history(many)) as store:
        database = store.database
        order.run(rounds, lambda: max(_ask_ms(database, many) for _ in range(ASKED)))
        everything.run(rounds, lambda: 1000 * timed(lambda: database.read(read_overview, database, Pace())))
    return [order, everything]


def _ask_ms(database: Database, many: int) -> float:
    number = random.randint(1, many)

    def ask() -> None:
        found = database.read(search, f"open-{number}")
        assert found is not None
        facts = database.read(read_facts, database, found.newest.id, AROUND)
        assert facts is not None
        first_cause(facts)

    return 1000 * timed(ask)


def rows(ground: Ground) -> dict[str, Callable[[], list[Row]]]:
    """By key."""
    return {"why": functools.partial(all_rows, ground)}
