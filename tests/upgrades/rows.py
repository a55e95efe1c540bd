"""One row of every kind a release leaves behind: each status, stage and state of a lease, made by the release's code.

Nothing is written past the store but what time and deaths would have done: ages of claims, and an endpoint's secret.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from domain.decision import Stage
from domain.evidence import (
    CancelRequested,
    Created,
    CredentialsRefused,
    InDoubt,
    OrderRefused,
    Unreachable,
)
from domain.order import parse_order
from domain.status import Anomaly
from tests.acceptance.system import SECRET_KEY, nebulox_order, zeroxhost_order
from tests.contracts.store_cases import judge, make_due, open_store, seen
from workers.delivery.secretbox import SecretBox
from workers.store.agenda import park
from workers.store.database import Database
from workers.store.deliveries import DeliveryAttempt
from workers.store.endpoints import NewEndpoint, add_endpoint
from workers.store.intake import Rejection
from workers.store.store import Store
from workers.store.tables import AGENDA, ENDPOINT

#: Stands for the address of the test's receiver, which changes from run to run.
RECEIVER = "http://receiver.invalid/hook"
ENDPOINT_ID = "ep_release_1"
#: What the endpoint signs with, as its receiver knows it (sealed in the row under the tests' key).
WEBHOOK_SECRET = "whsec_" + "cmVsZWFzZSBvbmUsIGEgd2ViaG9vaydzIHNlY3JldCE="
#: Invoices that were made at the provider end then, seconds after the rows are loaded.
EXPIRE_SECONDS = 8


def build_rows(database: Database) -> None:
    """Fill a fresh, migrated database."""
    store = open_store(database)
    store.add_standing()
    _add_endpoint(database, ENDPOINT_ID, RECEIVER)
    for name, bring in WAYS.items():
        bring(Case(database, store, name))
    _deliver_some(store)
    _leave_leases(Case(database, store, "leased"))
    _add_endpoint(database, "ep_release_1_disabled", RECEIVER + "-disabled")
    with database.transaction() as connection:
        values = {"disabled_at": database.now(connection), "disabled_reason": "by hand"}
        connection.execute(ENDPOINT.update().where(ENDPOINT.c.id == "ep_release_1_disabled").values(values))
    store.reject(
        [
            Rejection("0" * 64, "invoices.create", "price: must be greater than 0", '{"price":"-1"}', complete=True),
            Rejection("1" * 64, None, "body: is not UTF-8", "\ufffd", complete=False),
        ]
    )


class Case:
    """An order under way: its store, its name, and what brings it further."""

    def __init__(self, database: Database, store: Store, name: str) -> None:
        self.database = database
        self.store = store
        self.name = name

    def queue(self, suffix: str = "", marker: str = "~pay:1~", **fields: Any) -> str:
        """An order as a shop sends it, queued; its invoice's id."""
        order = parse_order(zeroxhost_order(f"{self.name}{suffix}", marker, metadata={"cart": [1, "ä"]}, **fields))
        (added,) = self.store.add_orders([(order, "zeroxhost")])
        assert added.invoice_id, added
        return added.invoice_id

    def pend(self, suffix: str = "", expire_seconds: float = EXPIRE_SECONDS) -> str:
        """One that the provider has made."""
        invoice_id = self.queue(suffix)
        self.bring(
            invoice_id,
            Created(
                provider_ref=f"lost-{self.name}{suffix}",
                pay_amount=Decimal("0.0358619204"),
                pay_currency="BTC",
                network="Bitcoin",
                address="bc1qexample",
                payment_url="https://pay.example/1",
                expires_at=self.store.now() + timedelta(seconds=expire_seconds),
            ),
        )
        return invoice_id

    def bring(self, invoice_id: str, *evidence: Any) -> str:
        """What sources say, one after the other."""
        for said in evidence:
            assert judge(self.store, invoice_id, said).verdict in {"applied", "noted", "contradiction"}, said
        return invoice_id

    def set(self, stage: Stage, subject: str, **values: Any) -> None:
        """What time, or a death, did to a row of the agenda."""
        with self.database.transaction() as connection:
            chosen = (AGENDA.c.stage == stage.value) & (AGENDA.c.subject == subject)
            assert connection.execute(AGENDA.update().where(chosen).values(values)).rowcount == 1


def _monitored(case: Case) -> None:
    """Expired, and watched for a late payment."""
    invoice_id = case.pend(expire_seconds=3600)
    case.bring(invoice_id, seen("expired"))


def _park(case: Case) -> None:
    invoice_id = case.queue()
    with case.database.transaction() as connection:
        park(connection, Stage.CREATE, [invoice_id])


def _nebulox(case: Case) -> None:
    """Of the provider that can't be asked, with every field an order may have."""
    fields = {"price": "0.1000000000000000055", "pay_currency": "BTC", "network": "Bitcoin", "lifetime_minutes": "0.1"}
    order = parse_order(nebulox_order(case.name, idempotency_key="another key", metadata={"a": None}, **fields))
    case.store.add_orders([(order, "nebulox")])


def _redoubt(case: Case) -> None:
    """In doubt, and its next try is due."""
    invoice_id = case.bring(case.queue(), InDoubt(reason="no answer within 10 s"))
    make_due(case.database, invoice_id, Stage.CREATE)


def _hold_back(case: Case) -> None:
    """A first refusal of the credentials; the orders wait."""
    invoice_id = case.bring(case.queue(), CredentialsRefused(reason="401"))
    make_due(case.database, invoice_id, Stage.CREATE)


def _contradict(case: Case) -> None:
    invoice_id = case.bring(case.pend(), CancelRequested(reason="no more"))
    case.bring(invoice_id, seen("paid", paid_amount=Decimal("0.0358619204")))


def _fill_late(case: Case) -> None:
    case.bring(case.pend(), seen("expired"), seen("confirming"))


def _overpay(case: Case) -> None:
    case.bring(case.pend(), seen("paid", paid_amount=Decimal(1), anomaly=Anomaly.OVERPAID))


def _refund(case: Case) -> None:
    invoice_id = case.bring(case.pend(), seen("paid"))
    case.bring(invoice_id, seen("refunded"))


def _underpay(case: Case) -> None:
    case.bring(case.pend(), seen("partially_paid", paid_amount=Decimal("0.01")), seen("expired"))


#: How each case came about, by its order's name.
WAYS: dict[str, Callable[[Case], Any]] = {
    "queued": lambda case: case.queue(),
    "queued-too-late": lambda case: case.queue(create_before=case.store.now() + timedelta(seconds=0.2)),
    "queued-nebulox": _nebulox,
    "queued-unreached": lambda case: case.bring(case.queue(), Unreachable(reason="connection refused")),
    "queued-parked": _park,
    "queued-refused-key": _hold_back,
    "in-doubt": _redoubt,
    "pending": lambda case: case.pend(),
    "partially-paid": lambda case: case.bring(case.pend(), seen("partially_paid", paid_amount=Decimal("0.01"))),
    "confirming": lambda case: case.bring(case.pend(), seen("confirming")),
    "paid": lambda case: case.bring(case.pend(), seen("paid", paid_amount=Decimal("0.0358619204"))),
    "overpaid": _overpay,
    "refunded": _refund,
    "failed": lambda case: case.bring(case.queue(), OrderRefused(reason="400: no such user")),
    "cancelled": lambda case: case.bring(case.pend(), CancelRequested(reason="no more")),
    "contradicted": _contradict,
    "expired": _monitored,
    "underpaid": _underpay,
    "late": _fill_late,
}


def _leave_leases(case: Case) -> None:
    """Rows in the hands of workers that are gone when the next release comes."""
    held = {
        Stage.CREATE: case.queue("-create"),
        Stage.CHECK: case.pend("-check"),
        Stage.CLOCK: case.pend("-clock"),
    }
    now = case.store.now()
    for stage, invoice_id in held.items():
        lease = {"lease_token": "0123456789abcdef", "claims": 1, "due_at": now + timedelta(seconds=2)}
        case.set(stage, invoice_id, **lease)
    tired = case.queue("-twice")
    case.set(Stage.CREATE, tired, lease_token="fedcba9876543210", claims=2, due_at=now)
    case.set(Stage.PUBLISH, "stream", lease_token="0123456789abcdef", claims=9, due_at=now)
    case.set(Stage.DELIVER, f"{ENDPOINT_ID}/{held[Stage.CHECK]}", lease_token="aa", claims=1, due_at=now)


def _deliver_some(store: Store) -> None:
    """Of what waits for the endpoint: one delivered, one that failed once, one that is dead; the rest is untouched."""
    delivered, failed, dead = store.claim_deliveries(ENDPOINT_ID, 3, 60)
    store.settle(
        [
            DeliveryAttempt(delivered, "delivered", status=200, latency_ms=12, answer=b"ok \xff"),
            DeliveryAttempt(failed, "failed", error="503 Service Unavailable", status=503, wait_seconds=3),
            DeliveryAttempt(dead, "failed", error="timed out", wait_seconds=None),
        ]
    )
    store.publishing.mark_published([event.number for event in store.publishing.unpublished(4)])


def _add_endpoint(database: Database, endpoint_id: str, url: str) -> None:
    box = SecretBox([SECRET_KEY])
    with database.transaction() as connection:
        new = NewEndpoint(url, box.seal(WEBHOOK_SECRET), sealed_headers=box.seal_headers({"X-Shop": "1"}))
        add_endpoint(connection, endpoint_id, new, database.now(connection))
