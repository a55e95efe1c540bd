"""One invoice to which nearly everything happened: in doubt, made at last, called back about, half paid, looked up in
vain, expired, told of, rechecked by hand."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from domain.evidence import CalledBack, InDoubt, RateLimited
from domain.status import Status
from tests.contracts.store_cases import change, created, judge, now, order, rows, seen, take
from workers.store.acts import Actor
from workers.store.callbacks import MATCHED, NewCallback
from workers.store.operate.invoices import create_again, recheck
from workers.store.store import Store
from workers.store.tables import ACT, AGENDA, CALLBACK, EVENT, EVIDENCE, INVOICE

ORDER = "dpkg-48187"
HALF, WHOLE = Decimal("0.0200000000"), Decimal("0.0358619204")
TRANSACTION = "0x9f3c07e2a44d51b08c77aa09d1e5c2f6b7b0e6419da2b8aa51d7c03fd1b8aa51"


def tell_story(store: Store, shop: Actor) -> str:
    """Its id."""
    (invoice_id,) = take(
        store, order(ORDER, price="89.97", metadata={"cart": 77120, "channel": "web"}, params={"user_id": "u-4410"})
    )
    judge(store, invoice_id, InDoubt(reason="no answer in 10 s"))
    create_again(store, replace(shop, reason="0xhost lists no transaction for this user since 18:30."), invoice_id)
    made = {"pay_amount": WHOLE, "pay_currency": "ETH", "network": "Ethereum", "provider_ref": "110816020"}
    place = {"address": "0x7717bE41c93Ad05f62f3D1b8E0C4a5917d2A8179", "payment_url": "https://pay.example/110816020"}
    answer = json.dumps({"track_id": "110816020", "status": "waiting"})
    expires_at = now(store.database) + timedelta(hours=1)
    judge(store, invoice_id, created(**made, **place, expires_at=expires_at, raw=answer))
    for number in range(4):  # each says something else and changes nothing
        judge(store, invoice_id, RateLimited(reason=f"429, request {number}", retry_after_seconds=float(number + 1)))
    _call_back(store, invoice_id)
    half = {"paid_amount": HALF, "tx_hash": TRANSACTION, "pay_currency": "ETH"}
    judge(store, invoice_id, seen("partially_paid", raw='{"status": "partially_paid"}', **half))
    judge(store, invoice_id, seen("expired", raw='{"status": "expired"}', **half))
    recheck(store, replace(shop, reason="The customer says the rest was sent at 20:15."), invoice_id)
    assert rows(store.database, INVOICE, INVOICE.c.id == invoice_id)[0].status == Status.EXPIRED
    return invoice_id


def _call_back(store: Store, invoice_id: str) -> None:
    body = json.dumps({"orderId": ORDER, "status": "Paying", "txs": [TRANSACTION]}).encode()
    digest = hashlib.sha256(body).hexdigest()
    call = NewCallback(
        account="zeroxhost",
        digest=digest,
        body=body,
        headers="{}",
        order_id=ORDER,
        reference="110816020",
        word="Paying",
        amount=HALF,
    )
    store.keep_callbacks([call])
    chosen = CALLBACK.c.order_id == ORDER
    change(store.database, CALLBACK, chosen, state=MATCHED, invoice_id=invoice_id)
    number = rows(store.database, CALLBACK, chosen)[0].id
    with store.database.transaction() as connection:
        connection.execute(AGENDA.delete().where(AGENDA.c.stage == "callback", AGENDA.c.subject == str(number)))
    judge(store, invoice_id, CalledBack(status=Status.PARTIALLY_PAID, word="Paying", order_id=ORDER))


def spread(store: Store, invoice_id: str) -> None:
    """Let what happened to it within a moment have taken two hours: each instant lies minutes after the one before."""
    database = store.database
    invoice = rows(database, INVOICE, INVOICE.c.id == invoice_id)[0]
    told = [
        (table, key, at, row)
        for table, key, at in _TIMES
        for row in rows(database, table, table.c.invoice_id == invoice_id)
    ]
    judged = [getattr(row, at) for table, _, at, row in told if table is not ACT]
    moments = sorted({invoice.created_at, *judged})
    when = {moment: moments[-1] - STEP * (len(moments) - place) for place, moment in enumerate(moments)}
    for table, key, at, row in told:
        was = getattr(row, at)
        moment = max(one for one in moments if one <= was)  # an act is written a little after the evidence that it is
        change(database, table, key == getattr(row, key.name), **{at: when[moment] + (was - moment)})
    change(database, EVENT, EVENT.c.invoice_id == invoice_id, published_at=now(database))
    change(database, INVOICE, INVOICE.c.id == invoice_id, created_at=when[invoice.created_at])


STEP = timedelta(minutes=7)
_TIMES = (
    (EVIDENCE, EVIDENCE.c.id, "at"),
    (EVENT, EVENT.c.number, "created_at"),
    (ACT, ACT.c.id, "at"),
    (CALLBACK, CALLBACK.c.id, "at"),
)
