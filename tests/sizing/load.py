"""Orders with all that becomes of them, written by the store's own functions: one endpoint, every webhook delivered at
the first attempt, seven orders in ten paid in two steps, the others expired; one look-up each says nothing new. Order
ids, references, addresses and transactions are random: what is in no order costs a database most."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal

from domain.decision import Policy
from domain.evidence import Created, Evidence, Seen
from domain.order import Order, parse_order
from domain.status import Status
from workers.store.database import Database
from workers.store.deliveries import DeliveryAttempt
from workers.store.endpoints import NewEndpoint, add_endpoint, find_endpoint
from workers.store.judging import Judgement
from workers.store.outbox import ClaimedDelivery
from workers.store.store import Store

ACCOUNT, ENDPOINT = "shop", "ep_sizing"
BATCH = 500
POLICY = Policy(
    lifetime_minutes=Decimal(60),
    timeout_seconds=10,
    on_doubt="retry",
    poll_seconds=30,
    hold_refused_minutes=Decimal(10),
    monitor_minutes=Decimal(0),
    can_be_asked=True,
)


def open_store(url: str) -> Store:
    """With an endpoint, and what always stands on the agenda."""
    store = Store(Database(url, pool_size=4), {ACCOUNT: POLICY}, lambda _: None)
    store.add_standing()
    with store.database.transaction() as connection:
        if find_endpoint(connection, ENDPOINT) is None:
            new = NewEndpoint("https://shop.example/hooks/invoices", "sealed" * 30)
            add_endpoint(connection, ENDPOINT, new, store.database.now(connection))
    return store


def load(store: Store, orders: int) -> None:
    """So many more, all of them ended, told and delivered."""
    for start in range(0, orders, BATCH):
        ids = take(store, min(BATCH, orders - start))
        _judge(store, ids, created)
        _judge(store, ids, lambda n: seen(Status.PENDING, n))
        paid = [one for place, one in enumerate(ids) if place % 10 < 7]
        _judge(store, paid, lambda n: seen(Status.CONFIRMING, n))
        _judge(store, paid, lambda n: seen(Status.PAID, n))
        _judge(store, [one for one in ids if one not in set(paid)], lambda n: seen(Status.EXPIRED, n))
        _tell(store)


def take(store: Store, count: int) -> list[str]:
    """New orders; their invoices' ids."""
    added = store.add_orders([(_order(), "zeroxhost") for _ in range(count)])
    return [one.invoice_id for one in added if one.invoice_id]


def _order() -> Order:
    number = uuid.uuid4().hex
    metadata = {"cart": number, "customer": number[:8], "items": 3}
    return parse_order(
        {"account": ACCOUNT, "order_id": number, "price": "19.99", "currency": "EUR", "metadata": metadata}
    )


def _judge(store: Store, ids: Sequence[str], say: Callable[[int], Evidence]) -> None:
    store.judge([Judgement(one, say(number_of(one))) for one in ids])


def number_of(invoice_id: str) -> int:
    """A number of its own for each invoice."""
    return int(invoice_id.removeprefix("inv_"), 16)


def created(_: int) -> Evidence:
    """A provider's invoice, with a reference and an address of its own."""
    reference = f"ref_{uuid.uuid4().hex}"
    address = f"bc1q{reference[4:36]}abcdef"
    return Created(
        provider_ref=reference,
        price=Decimal("19.99"),
        currency="EUR",
        pay_amount=Decimal("0.0003586192"),
        pay_currency="BTC",
        network="Bitcoin",
        address=address,
        payment_url=f"https://pay.example/i/{reference}",
        raw=_answer(reference, address, "new"),
    )


def seen(status: Status, number: int) -> Evidence:
    """A look-up's answer; ``number``, the invoice's, makes its transaction."""
    word = status.value
    paid = Decimal("0.0003586192") if status in {Status.PAID, Status.CONFIRMING} else None
    hashed = hashlib.sha256(b"%x" % number).hexdigest() if paid else None
    return Seen(status=status, word=word, paid_amount=paid, tx_hash=hashed, raw=_answer("ref", "bc1q" * 10, word))


def _answer(reference: str, address: str, word: str) -> str:
    """About as long as providers' answers are."""
    fields = {"id": reference, "status": word, "address": address, "amount": "0.0003586192", "currency": "BTC"}
    more = {f"field_{number}": "a value of some length" for number in range(6)}
    return json.dumps(fields | more)


def _tell(store: Store) -> None:
    """The stream and the receiver have taken everything."""
    tell_stream(store)
    for deliveries in _due(store):
        store.settle([DeliveryAttempt(one, "delivered", status=204, latency_ms=40) for one in deliveries])


def tell_stream(store: Store) -> None:
    """The stream has taken everything."""
    while events := store.publishing.unpublished(2000):
        (claim,) = store.publishing.claim_publisher(1, 60)
        store.publishing.place_events(claim, 2000)
        store.publishing.mark_published([event.number for event in events])
        store.finish(claim, 0)


def _due(store: Store) -> Iterator[Sequence[ClaimedDelivery]]:
    while found := store.claim_deliveries(ENDPOINT, BATCH, 60):
        yield found
