"""Who is told of a scene's invoices, and what they answer: one receiver takes everything, one has answered 503 for a
while, one of a single account is switched off."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from tests.contracts.store_cases import change, now, rows
from workers.delivery.secretbox import SecretBox
from workers.delivery.signature import new_secret
from workers.store.acts import Actor
from workers.store.deliveries import DeliveryAttempt
from workers.store.endpoints import NewEndpoint
from workers.store.operate import endpoints
from workers.store.store import Store
from workers.store.tables import ATTEMPT, DELIVERY, EVENT

#: What endpoints' secrets are sealed with.
BOX = SecretBox(["MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="])
HEALTHY, FAILING, SWITCHED_OFF = "healthy", "failing", "switched off"
LEASE = 60.0
#: What the failing one answers; a page of its proxy's.
AWAY = b'<h1>503</h1>upstream connect error or disconnect/reset before headers "><script>alert(1)</script>'


def add_receivers(store: Store, actor: Actor) -> Mapping[str, str]:
    """Their ids by what they are."""

    def add(url: str, events: list[str] | None = None, accounts: tuple[str, ...] = ()) -> str:
        new = NewEndpoint(url, BOX.seal(new_secret()), events, BOX.seal_headers({}), 8, accounts)
        return endpoints.add(store, actor, new)

    added = {
        HEALTHY: add("https://hooks.shop.example/eu/invoices?token=a-secret-token"),
        FAILING: add("https://erp.shop.example/hooks/payments"),
        SWITCHED_OFF: add("https://nebulox.shop.example/hook?<b>=1", ["invoice.pending", "invoice.paid"], ("nebulox",)),
    }
    endpoints.disable(store, actor, added[SWITCHED_OFF], 'Their side is being moved <img src=x onerror="alert(1)">')
    return added


def deliver(store: Store, receivers: Mapping[str, str]) -> None:
    """Everything is tried; what the failing one took before it failed lies hours back."""
    while batch := store.claim_deliveries(receivers[HEALTHY], 100, LEASE):
        store.settle([DeliveryAttempt(one, "delivered", None, 204, 88, b"") for one in batch])
    first = store.claim_deliveries(receivers[FAILING], 100, LEASE)
    taken, refused = first[:5], first[5:]
    store.settle([DeliveryAttempt(one, "delivered", None, 200, 92, b"thank you") for one in taken])
    store.settle([DeliveryAttempt(one, "failed", "status: 503", 503, 1220, AWAY, 600.0) for one in refused[:-2]])
    silent, given_up = refused[-2:]
    store.settle([DeliveryAttempt(silent, "failed", "timeout: no answer within 15 s", None, 15000, None, 600.0)])
    store.settle([DeliveryAttempt(given_up, "failed", "status: 503", 503, 1190, AWAY)])
    _age(store)


def _age(store: Store) -> None:
    """Tries lie minutes apart; what waits has waited since the first that failed."""
    at = now(store.database)
    tries = rows(store.database, ATTEMPT)
    for place, one in enumerate(reversed(tries)):
        back = timedelta(minutes=2 * place + (45 if one.outcome == "delivered" else 1))
        change(store.database, ATTEMPT, ATTEMPT.c.id == one.id, at=at - back)
        if one.outcome == "delivered":
            change(store.database, DELIVERY, DELIVERY.c.id == one.delivery_id, finished_at=at - back)
    change(store.database, DELIVERY, DELIVERY.c.state == "due", created_at=at - timedelta(minutes=20))


def first_event(store: Store, invoice_id: str) -> int:
    """The number of the first event of an invoice."""
    number: int = rows(store.database, EVENT, EVENT.c.invoice_id == invoice_id)[0].number
    return number
