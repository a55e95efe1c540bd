"""What the tests of operators' acts share."""

from __future__ import annotations

import hashlib
from decimal import Decimal

from domain.decision import Stage
from domain.evidence import InDoubt
from tests.contracts.store_cases import ACCOUNT, change, judge, pend, queue, rows
from workers.store.acts import Actor
from workers.store.agenda import park
from workers.store.callbacks import NewCallback
from workers.store.deliveries import DeliveryAttempt
from workers.store.endpoints import NewEndpoint
from workers.store.intake import Rejection
from workers.store.operate import endpoints
from workers.store.reads.acts import act_fields, list_acts
from workers.store.tables import ACT, AGENDA, CALLBACK, REJECTED

BOB = Actor("bob", "cli deploy@host7", "the shop asked for it")
#: None of these is ever kept with an act.
SECRET, TOKEN, PASSWORD = "sealed-whsec-1", "s3cret-token", "pa55word"
URL = f"https://user:{PASSWORD}@shop.example/hook?key={TOKEN}"


def old_endpoint(store):
    """Its id; it was there before anybody acted."""
    added = endpoints.add(store, BOB, NewEndpoint("https://shop.example/", "sealed"))
    with store.database.transaction() as connection:
        connection.execute(ACT.delete())
    return added


def told(store):
    """Every act, oldest first."""
    return [act_fields(row) for row in list_acts(store.database, limit=0)][::-1]


def unmatched(store):
    """A callback that no invoice is known for."""
    body = b'{"orderId": "lost"}'
    call = NewCallback(
        account=ACCOUNT,
        digest=hashlib.sha256(body).hexdigest(),
        body=body,
        headers="{}",
        order_id="lost",
        reference="7",
        word="PAID",
        amount=Decimal(1),
    )
    store.keep_callbacks([call])
    change(store.database, CALLBACK, state="unmatched")
    with store.database.transaction() as connection:
        connection.execute(AGENDA.delete().where(AGENDA.c.stage == Stage.CALLBACK.value))
    return rows(store.database, CALLBACK)[0].id


def rejected(store, key="0" * 64):
    store.reject([Rejection(key, "invoices.create", "price: must be greater than 0", "{}", complete=True)])
    return rows(store.database, REJECTED)[0].id


def doubtful(store):
    invoice_id = queue(store)
    judge(store, invoice_id, InDoubt(reason="the answer was lost"))
    return invoice_id


def parked(store):
    invoice_id = queue(store)
    with store.database.transaction() as connection:
        park(connection, Stage.CREATE, [invoice_id])
    return invoice_id


def told_events(store, endpoint):
    """An endpoint that had every event of some invoices."""
    pend(store, 3)
    for delivery in store.claim_deliveries(endpoint, 100, 60):
        store.settle([DeliveryAttempt(delivery, "delivered", None, 204, 1, b"")])


def keep_headers(sealed, clear):
    """Headers of an endpoint that need not be sealed anew."""
    return sealed if clear == "{}" else clear
