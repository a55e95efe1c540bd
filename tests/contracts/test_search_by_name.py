"""What a name means, whichever kind it is, across accounts and by index: one use case for people and programs."""

from __future__ import annotations

import hashlib
import re
from decimal import Decimal
from typing import Any

import pytest

from domain.evidence import CalledBack, Created
from domain.status import Status
from tests.contracts.plan_cases import explained
from tests.contracts.store_cases import (
    ACCOUNT,
    SILENT_ACCOUNT,
    change,
    events_of,
    invoice_of,
    judge,
    open_store,
    order,
    pend,
    seen,
    take,
)
from workers.store.callbacks import NewCallback
from workers.store.reads.search import search
from workers.store.tables import CALLBACK

ADDRESS = "0x7717A0B1C2D3E4F5A6B7C8D9E0F1A2B3C4D8A179"
TRANSACTION = "0x" + "ab" * 32
CODE = "100061"


def world(database):
    """Two invoices, of an account each, and a name of every kind for each: (by kind the name and the invoice's id)."""
    store = open_store(database)
    ours, theirs = take(store, order("A-1", idempotency_key="key-1"), order("B-1", account=SILENT_ACCOUNT))
    judge(store, ours, Created(provider_ref="ref-1", address=ADDRESS, pay_amount=Decimal("0.5"), pay_currency="ETH"))
    judge(store, ours, seen("confirming", tx_hash=TRANSACTION, paid_amount=Decimal("0.5"), pay_currency="ETH"))
    judge(store, theirs, Created(provider_ref="ref-2", payment_url="https://pay.example/2"))
    digest = hashlib.sha256(b"{}").hexdigest()
    brought: dict[str, Any] = {"order_id": "B-1", "reference": CODE, "word": "COMPLETED", "amount": None}
    store.keep_callbacks([NewCallback(account=SILENT_ACCOUNT, digest=digest, body=b"{}", headers="{}", **brought)])
    change(database, CALLBACK, state="matched", invoice_id=theirs)
    judge(store, theirs, CalledBack(status=Status.PAID, word="COMPLETED", reference=CODE, tx_hash="cd" * 32))
    return {
        "id": (ours, ours),
        "order": ("A-1", ours),
        "event": (events_of(database, theirs)[0].id, theirs),
        "idempotency key": ("key-1", ours),
        "reference": ("ref-2", theirs),
        "transaction": (TRANSACTION, ours),
        "address": (ADDRESS, ours),
    } | {f"{kind} 2": named for kind, named in (("reference", (CODE, theirs)), ("transaction", ("cd" * 32, theirs)))}


@pytest.mark.parametrize(
    "kind",
    ["id", "order", "event", "idempotency key", "reference", "transaction", "address", "reference 2", "transaction 2"],
)
def test_each_kind_of_name_finds_its_invoice_whichever_its_account(database, kind):
    name, invoice_id = world(database)[kind]
    found = database.read(search, name)
    assert (found.kind, [row.id for row in found.rows]) == (kind.removesuffix(" 2"), [invoice_id])
    account = invoice_of(database, invoice_id).account
    assert database.read(search, name, account).newest.id == invoice_id
    other = ACCOUNT if account == SILENT_ACCOUNT else SILENT_ACCOUNT
    assert kind == "id" or database.read(search, name, other) is None


@pytest.mark.parametrize("name", ["A-", "a-1", "A-1 ", "%", "key", ADDRESS[:-1], TRANSACTION[:-1], "", "ref-_"])
def test_a_name_is_taken_as_it_stands(database, name):
    world(database)
    assert database.read(search, name) is None


def test_a_transaction_is_found_however_it_is_spelled(database):
    _, invoice_id = world(database)["transaction"]
    for spelling in (TRANSACTION.upper().replace("0X", "0x"), TRANSACTION):
        assert database.read(search, spelling).newest.id == invoice_id


@pytest.mark.parametrize(
    "kind", ["nothing", "id", "order", "event", "idempotency key", "reference 2", "transaction", "address"]
)
def test_no_table_is_read_from_end_to_end(crowded, kind):
    named = world(crowded)
    pend(open_store(crowded), 40)
    name = named[kind][0] if kind in named else "nobody's"
    plan = explained(crowded, lambda: crowded.read(search, name), r"SELECT")
    tables = "invoice|event|callback|payment"
    assert not re.findall(rf"^.*(?:Seq Scan on|\bSCAN) (?:{tables})\b(?!.*USING).*$", plan, re.MULTILINE), plan
