"""What a person has to settle in a scene: messages that were rejected, a callback that no invoice is known for,
something said against a closed invoice."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal

from tests.contracts.store_cases import change, judge, rows, seen
from workers.store.callbacks import UNMATCHED, NewCallback
from workers.store.intake import Rejection
from workers.store.store import Store
from workers.store.tables import AGENDA, CALLBACK


def turn_away(store: Store, markup: str) -> None:
    """Two messages: one that was kept whole, and the beginning of one that is no order at all."""
    order = {"account": "zeroxhost", "order_id": "dpkg-48240", "price": "0", "currency": "EUR", "note": markup}
    price = "price: must be greater than 0"
    whole = Rejection("a" * 64, "invoices.create", price, json.dumps(order), complete=True)
    part = Rejection("b" * 64, "shop.tasks.refund", "no task of ours", f"\x01 {markup} " + "x" * 2000, complete=False)
    for one in (whole, part):
        store.reject([one])


def call_back(store: Store, markup: str) -> int:
    """A callback that no invoice is known for; its number."""
    body = json.dumps({"orderId": "dpkg-47002", "status": "COMPLETED", "note": markup}).encode()
    call = NewCallback(
        account="zeroxhost",
        digest=hashlib.sha256(body).hexdigest(),
        body=body,
        headers="{}",
        order_id="dpkg-47002",
        reference="trk_91c",
        word=markup[:64],
        amount=Decimal("0.0358619204"),
    )
    store.keep_callbacks([call])
    reason = "no invoice of this account has its order id"
    change(store.database, CALLBACK, CALLBACK.c.state == "new", state=UNMATCHED, reason=reason)
    with store.database.transaction() as connection:
        connection.execute(AGENDA.delete().where(AGENDA.c.stage == "callback"))
    number: int = rows(store.database, CALLBACK)[-1].id
    return number


def contradict(store: Store, paid: str) -> None:
    """The provider says of a paid invoice that it is expired."""
    assert judge(store, paid, seen("expired")).verdict == "contradiction"
