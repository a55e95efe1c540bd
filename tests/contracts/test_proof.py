"""Proofs on both databases: whatever became of an invoice, its proof is whole, fits together, and tells no secret."""

from __future__ import annotations

import hashlib
import io
import json
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.evidence import CalledBack, CancelRequested, InDoubt, OrderRefused
from domain.status import Status
from tests.contracts.archive_cases import age, end, run
from tests.contracts.plan_cases import explained
from tests.contracts.store_cases import (
    ACCOUNT,
    OPERATOR,
    SILENT_ACCOUNT,
    change,
    disable_endpoint,
    invoice_of,
    judge,
    open_store,
    order,
    pend,
    policy,
    queue,
    rows,
    seen,
    subscribe,
    take,
)
from tests.proofs import check, only, prove, top_of
from workers.store.callbacks import NewCallback
from workers.store.deliveries import DeliveryAttempt
from workers.store.operate import invoices as operated
from workers.store.operate import restoration
from workers.store.operate.archiving import find_newest, unpacked
from workers.store.reads.proof import EVENTS_PAGE, Unreadable, write_proof
from workers.store.store import Store
from workers.store.tables import CALLBACK, ENDPOINT, EVENT, EVIDENCE, INVOICE, PAYMENT

OLD = timedelta(days=90)
ODD = {"näme": '\u202e \U0001f600 \\ " \n\t', "big": "x" * 3900, "list": [1, 2.50, None, {"1e3": "NaN"}]}


@pytest.fixture
def proven(database, tmp_path):
    """An invoice's proof, which the script has found in order."""

    def prove_it(invoice_id):
        proof = prove(database, invoice_id)
        assert check(tmp_path, proof) == ""
        assert check(tmp_path, proof, "--hash", top_of(proof)) == ""
        assert prove(database, invoice_id) == proof
        return proof

    return prove_it


def deliver(store, endpoint, **outcome):
    given: dict[str, Any] = {"outcome": "delivered", "status": 200, "answer": b"ok\xff"} | outcome
    while claimed := store.claim_deliveries(endpoint, 100, 60):
        for one in claimed:
            store.settle([DeliveryAttempt(one, **given)])


def test_a_paid_invoice_with_all_that_happened_to_it(database, store, proven):
    endpoint = subscribe(database)
    (invoice_id,) = take(store, order("o-ü", metadata=ODD, pay_currency="btc"))
    judge(store, invoice_id, InDoubt(reason="no answer", raw="<html>\u202e"))
    judge(store, invoice_id, CalledBack(status=None, word="ODD", raw="{}"))
    judge(store, invoice_id, seen("pending", provider_ref="ref-1"))
    for paid in ("0.1", "0.25"):
        judge(
            store, invoice_id, seen("partially_paid", paid_amount=Decimal(paid), pay_currency="BTC", tx_hash=f"a{paid}")
        )
    deliver(store, endpoint)
    judge(store, invoice_id, seen("paid", paid_amount=Decimal("0.50"), pay_currency="BTC", tx_hash="ff"))
    judge(store, invoice_id, seen("refunded", paid_amount=Decimal("0.50")))
    judge(store, invoice_id, CancelRequested(reason="too late"))
    proof = proven(invoice_id)
    assert [one["type"] for one in only(proof, "event")] == [
        "invoice.pending",
        "invoice.partially_paid",
        "invoice.partially_paid",
        "invoice.paid",
        "invoice.refunded",
        "invoice.contradiction",
    ]
    assert [bytes(row.body) in proof for row in rows(database, EVENT)] == [True] * 6
    assert [one["sha256"] for one in only(proof, "event")] == [
        hashlib.sha256(bytes(row.body)).hexdigest() for row in rows(database, EVENT)
    ]
    (ordered,) = only(proof, "order")
    assert json.loads(ordered["content"])["metadata"] == ODD
    (stands,) = only(proof, "invoice")
    assert (stands["body"]["status"], stands["payments_add_up"]) == ("refunded", True)
    assert {(one["kind"], one["amount"]) for one in stands["sums"]} == {("payment", "0.50"), ("refund", "0.50")}
    assert [one["answer"] for one in only(proof, "attempt")] == ["ok\ufffd"] * 3
    assert [one["state"] for one in only(proof, "delivery")] == ["delivered"] * 3 + ["due"] * 3
    assert only(proof, "end")[0]["missing"] == []


def test_open_cancelled_failed_and_doubted_ones(store, proven):
    queued, doubted = queue(store), queue(store)
    judge(store, doubted, InDoubt(reason="reset"))
    cancelled, failed = queue(store), queue(store)
    judge(store, cancelled, CancelRequested(reason="no more"))
    judge(store, failed, OrderRefused(reason="no such user"))
    (pending,) = pend(store)
    for invoice_id, status, events in (
        (queued, "queued", 0),
        (doubted, "in_doubt", 0),
        (cancelled, "cancelled", 1),
        (failed, "failed", 1),
        (pending, "pending", 1),
    ):
        proof = proven(invoice_id)
        assert (only(proof, "invoice")[0]["body"]["status"], len(only(proof, "event"))) == (status, events)


def test_what_people_did(database, store, proven):
    (invoice_id,) = pend(store, pay_amount=Decimal("2.50"))
    operated.mark(store, OPERATOR, invoice_id, operated.Mark(Status.PAID, Decimal("2.50")))
    proof = proven(invoice_id)
    assert [(one["act"], one["by"], one["reason"]) for one in only(proof, "act")] == [
        ("invoice.mark", OPERATOR.name, OPERATOR.reason)
    ]
    assert [one["kind"] for one in only(proof, "evidence")] == ["Created", "Marked"]
    assert [one["amount"] for one in only(proof, "payment")] == ["2.50"]


def test_an_order_that_another_account_made(database, rung, proven):
    providers = {ACCOUNT: "zeroxhost", SILENT_ACCOUNT: "nebulox", "third": "nebulox"}
    policies = {name: policy(providers=providers) for name in providers}
    store = Store(database, policies, rung.append)
    known = queue(store, fallback_accounts=[SILENT_ACCOUNT])
    lost = queue(store, fallback_accounts=[{"account": SILENT_ACCOUNT, "price": "7", "currency": "USD"}, "third"])
    for invoice_id in (known, lost):
        judge(store, invoice_id, OrderRefused(reason="no such user"))
    assert only(proven(known), "order")[0]["content"] is not None
    proof = proven(lost)
    assert only(proof, "order")[0]["content"] is None
    assert [one["what"] for one in only(proof, "end")[0]["missing"]] == ["order"]


def test_callbacks_byte_for_byte_also_those_that_are_no_text(database, store, proven):
    (invoice_id,) = pend(store, account=SILENT_ACCOUNT)
    row = invoice_of(database, invoice_id)
    bodies = (b'{"a":  1}\r\n', b'{"of": "another"}', '"\u202e\u00e9"'.encode(), b"\xff\xfe\x00 a=1")
    for body in bodies:
        store.keep_callbacks(
            [
                NewCallback(
                    account=row.provider_account,
                    digest=hashlib.sha256(body).hexdigest(),
                    body=body,
                    headers='{"x-signature": "THE-SIGNATURE"}',
                    order_id=row.order_id,
                    reference=None,
                    word="PAID",
                    amount=Decimal("1.50"),
                )
            ]
        )
    change(database, CALLBACK, CALLBACK.c.id == rows(database, CALLBACK)[0].id, invoice_id=invoice_id, state="matched")
    other = pend(store, account=SILENT_ACCOUNT)[0]
    change(database, CALLBACK, CALLBACK.c.id == rows(database, CALLBACK)[1].id, invoice_id=other, state="matched")
    proof = proven(invoice_id)
    assert b"THE-SIGNATURE" not in proof
    assert [(one["state"], one["headers"]) for one in only(proof, "callback")] == [
        ("matched", ["x-signature"]),
        ("new", ["x-signature"]),
        ("new", ["x-signature"]),
    ]
    told = [one["raw"].encode("utf-8", "surrogateescape") for one in only(proof, "callback")]
    assert told == [bodies[0], *bodies[2:]]


def test_a_secret_that_a_callback_repeats_is_masked_and_that_is_said(database, store, tmp_path):
    (invoice_id,) = pend(store, account=SILENT_ACCOUNT)
    row, body = invoice_of(database, invoice_id), b'{"status": "PAID", "key": "THE-KEY-OF-THE-ACCOUNT"}'
    told: dict[str, Any] = {
        "headers": "{}",
        "order_id": row.order_id,
        "reference": None,
        "word": "PAID",
        "amount": None,
    }
    new = NewCallback(account=row.provider_account, digest=hashlib.sha256(body).hexdigest(), body=body, **told)
    store.keep_callbacks([new])
    written = io.BytesIO()
    write_proof(database, invoice_id, (), written.write, ["THE-KEY-OF-THE-ACCOUNT"])
    proof = written.getvalue()
    (callback,) = only(proof, "callback")
    assert callback["raw"] == '{"status": "PAID", "key": "***"}'
    assert [one["what"] for one in only(proof, "end")[0]["missing"]] == [f"callback {callback['id']} as it came"]
    assert check(tmp_path, proof) == ""


def test_endpoints_secrets_and_what_their_address_holds_are_not_told(database, store, proven):
    endpoint = subscribe(database)
    hidden = {"secrets": "SEALED-1", "sealed_headers": '{"x-key": "SEALED-2"}', "headers": '{"x-old": "CLEAR-3"}'}
    change(database, ENDPOINT, url="https://user:PASS-4@shop.example/hook?token=TOKEN-5", **hidden)
    (invoice_id,) = pend(store)
    deliver(store, endpoint, outcome="failed", error="status: 503", status=503, wait_seconds=60.0)
    disable_endpoint(database, endpoint)
    proof = proven(invoice_id)
    assert only(proof, "delivery")[0]["url"] == "https://shop.example/hook?token=***"
    assert only(proof, "delivery")[0]["state"] == "parked"
    assert not re.search(rb"SEALED|CLEAR|PASS|TOKEN-5", proof)


def test_what_retention_removed_is_said_and_the_rest_is_checked(database, store, proven):
    endpoint = subscribe(database)
    (invoice_id,) = pend(store)
    judge(store, invoice_id, seen("confirming"))
    deliver(store, endpoint)
    store.publishing.mark_published([event.number for event in store.publishing.unpublished(100)])
    long_ago = rows(database, EVENT)[0].created_at - OLD - timedelta(days=1)
    change(database, EVENT, created_at=long_ago)
    change(database, EVIDENCE, at=long_ago)
    while store.remove_finished(OLD):
        pass
    proof = proven(invoice_id)
    gone = [(one["what"], one.get("after"), one.get("before")) for one in only(proof, "end")[0]["missing"]]
    assert gone == [("evidence", None, None), ("events", 0, 3)]
    judge(store, invoice_id, seen("paid"))
    proof = proven(invoice_id)
    assert [one["sequence"] for one in only(proof, "event")] == [3]
    assert [one["before"] for one in only(proof, "end")[0]["missing"]] == [3]


def test_an_archived_invoice_is_proven_by_its_line_with_the_same_bytes(database, store, tmp_path):
    (kept,) = age(database, end(store, pay_amount=Decimal("1.50")))
    row = invoice_of(database, kept)
    body = b"\xff a=1"
    told: dict[str, Any] = {
        "headers": "{}",
        "order_id": row.order_id,
        "reference": None,
        "word": "PAID",
        "amount": Decimal("1.50"),
    }
    new = NewCallback(account=row.account, digest=hashlib.sha256(body).hexdigest(), body=body, **told)
    store.keep_callbacks([new])
    change(database, CALLBACK, state="matched", invoice_id=kept)
    before = prove(database, kept)
    assert run(database, tmp_path / "archive") != []
    assert rows(database, INVOICE, INVOICE.c.id == kept) == []
    (line,) = find_newest(tmp_path / "archive", row.order_id, None).values()
    with unpacked(line, database) as (unpacked_one, found):
        assert found.id == kept
        after = prove(unpacked_one, kept)
    assert after == before
    assert find_newest(tmp_path / "archive", row.order_id, "nobody") == {}


def test_after_a_restore_sequences_go_on_in_its_epoch(store, proven):
    (invoice_id,) = pend(store)
    for _ in range(2):
        restoration.restore(store, OPERATOR, lambda _: 0.0)
    judge(store, invoice_id, seen("confirming"))
    later = pend(store)[0]
    assert [one["sequence"] for one in only(proven(invoice_id), "event")] == [1, 2_000_001]
    assert [one["epoch"] for one in only(proven(later), "restored")] == [1, 2]


def test_payments_that_do_not_come_to_what_the_invoice_says_are_told(database, store, proven):
    (invoice_id,) = pend(store, pay_amount=Decimal(1), pay_currency="BTC")
    judge(store, invoice_id, seen("paid", paid_amount=Decimal(1), pay_currency="BTC", tx_hash="aa"))
    change(database, PAYMENT, amount=Decimal("0.75"))
    proof = proven(invoice_id)
    assert only(proof, "invoice")[0]["payments_add_up"] is False
    assert [one["what"] for one in only(proof, "end")[0]["missing"]] == ["payments"]


def test_a_long_history_is_read_in_pages(database, store, proven):
    endpoint = subscribe(database)
    (invoice_id,) = pend(store, pay_amount=Decimal(100))
    parts = EVENTS_PAGE * 2 + 1
    for part in range(1, parts):
        judge(store, invoice_id, seen("partially_paid", paid_amount=Decimal(part) / 100, reference=f"r{part}"))
    deliver(store, endpoint)
    proof = proven(invoice_id)
    assert [one["sequence"] for one in only(proof, "event")] == list(range(1, parts + 1))
    assert len(only(proof, "attempt")) == parts


def test_all_of_it_is_of_one_moment(database, store, tmp_path):
    """However much happens while it is written."""
    (invoice_id,) = pend(store, pay_amount=Decimal(1))
    written, other = io.BytesIO(), open_store(database)
    news = iter([seen("confirming"), seen("paid", paid_amount=Decimal(1)), seen("refunded")])

    def write(line):
        written.write(line)
        if (one := next(news, None)) is not None:
            judge(other, invoice_id, one)

    found = write_proof(database, invoice_id, (), write)
    assert found is not None
    assert found.top == top_of(written.getvalue())
    assert check(tmp_path, written.getvalue()) == ""
    assert [one["type"] for one in only(written.getvalue(), "event")] == ["invoice.pending"]
    assert invoice_of(database, invoice_id).status == "refunded"


@pytest.mark.parametrize("body", [b'{"data":\n{}}', b"[]", b"{}", b"\xff", b"7"])
def test_a_body_that_nobody_of_ours_wrote_is_refused(database, store, body):
    (invoice_id,) = pend(store)
    change(database, EVENT, body=body)
    with pytest.raises(Unreadable, match="its body can't be read"):
        prove(database, invoice_id)


def test_of_no_invoice_there_is_no_proof(database):
    assert write_proof(database, "inv_nobody", (), lambda _: None) is None


def test_it_is_read_by_index(database):
    """But for what is small."""
    if database.is_postgresql:
        pytest.skip("its plans depend on how much there is")
    store = open_store(database)
    subscribe(database)
    ids = pend(store, 20)
    plan = explained(database, lambda: prove(database, ids[0]), r"SELECT")
    scanned = [found for found in re.findall(r"\bSCAN (\w+)(.*)", plan) if "USING" not in found[1]]
    assert {table for table, _ in scanned} <= {"endpoint", "restoration", "CONSTANT"}, plan
