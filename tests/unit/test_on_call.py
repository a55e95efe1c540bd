"""The eight questions of whoever is on call: one command answers each. They stand in ``deploy/ON_CALL.md``."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from domain.decision import Stage
from domain.evidence import CalledBack, Created, CredentialsRefused, InDoubt, Seen
from domain.status import Status
from tests.contracts.store_cases import change, now
from workers.store.callbacks import NewCallback
from workers.store.deliveries import DeliveryAttempt
from workers.store.tables import EVENT, INVOICE

PAGE = Path(__file__).resolve().parents[2] / "deploy/ON_CALL.md"
ADDRESS = "0x7717A0B1C2D3E4F5A6B7C8D9E0F1A2B3C4D8A179"
CODE = "100061"
ITEMS = {"user_id": "u-1", "server_id": "s-1"}


@pytest.fixture
def endpoint(invoices, monkeypatch):
    """A receiver that is never there."""
    monkeypatch.setenv("INVOICES_WEBHOOK_ALLOW", "127.0.0.1:9")
    return invoices("endpoints", "add", "http://127.0.0.1:9/hook", "--json").lines[0]["id"]


def fail_next(store, endpoint, **fields):
    (delivery,) = store.claim_deliveries(endpoint, 1, 60)
    how: dict[str, Any] = {"error": "status: 503", "status": 503, "latency_ms": 12, "wait_seconds": 60.0} | fields
    store.settle([DeliveryAttempt(delivery, "failed", **how)])


def asks(command):
    """The page has the question's command, as it is run here."""
    assert f"`invoices {command}`" in PAGE.read_text(encoding="utf-8"), command


def test_the_payer_says_paid_and_it_is_pending(invoices, store, add_order, judge):
    """The callback said so; the look-up, whose word counts, does not yet."""
    invoice = add_order("order-1")
    judge(invoice, Created(provider_ref="r-1", payment_url="https://pay.example/1"))
    body = json.dumps({"orderId": "order-1", "status": "COMPLETED", "trackingCode": int(CODE)}).encode()
    brought: dict[str, Any] = {"order_id": "order-1", "reference": CODE, "word": "COMPLETED", "amount": Decimal("0.5")}
    digest = hashlib.sha256(body).hexdigest()
    store.keep_callbacks([NewCallback(account="nebulox", digest=digest, body=body, headers="{}", **brought)])
    said = CalledBack(status=Status.PAID, word="COMPLETED", order_id="order-1", reference=CODE)
    store.judge_callbacks(store.claim(Stage.CALLBACK, "nebulox", 10, 60), lambda *_: said)
    judge(invoice, Seen(status=Status.PENDING, word="PENDING", provider_ref="r-1", reference=CODE))
    asks("show ORDER")
    (shown,) = invoices("show", "order-1", "--json").lines
    assert shown["status"] == "pending"
    told = [(one["source"], one["text"]) for one in shown["timeline"]]
    assert any(source == "callback" and "COMPLETED" in text for source, text in told)
    (look_up,) = [one for one in shown["next"] if one["what"] == "look-up"]
    assert look_up["why"] == "a callback says COMPLETED, which no look-up has confirmed yet"
    assert look_up["at"] is not None
    out = invoices("show", "order-1").out
    assert "came: COMPLETED, amount 0.5, reference 100061" in out
    assert "a callback says COMPLETED, which no look-up has confirmed yet" in " ".join(out.split())


def test_a_webhook_is_missing(invoices, store, add_order, judge, endpoint):
    invoice = add_order("order-1")
    judge(invoice, Created(provider_ref="r-1", payment_url="https://pay.example/1"))
    fail_next(store, endpoint)
    asks("deliveries list --invoice ORDER")
    (found,) = invoices("deliveries", "list", "--invoice", "order-1", "--json").lines
    assert (found["type"], found["state"], found["endpoint_id"]) == ("invoice.pending", "due", endpoint)
    assert (found["attempts"][0]["status"], found["next_try_at"] is None) == (503, False)


def test_all_orders_of_an_account_hang(invoices, add_order, judge):
    for number in range(3):
        judge(add_order(f"order-{number}"), CredentialsRefused(reason="HTTP 406: This gateway is not active"))
    asks("why --all")
    found = {one["cause"]: one for one in invoices("why", "--all", "--json").lines}
    assert (found["key_refused"]["count"], found["key_refused"]["example"] is None) == (3, False)


def test_how_many_wait_and_how_old_they_are(invoices, store, add_order):
    waiting = [add_order(f"order-{number}") for number in range(4)]
    moment = now(store.database) - timedelta(hours=1)
    change(store.database, INVOICE, INVOICE.c.id == waiting[0], created_at=moment)
    asks("list --status queued --count")
    how_many = ("list", "--status", "queued", "--count")
    (found,) = invoices(*how_many, "--json").lines
    assert (found["count"], found["oldest_created_at"][:19]) == (4, f"{moment:%Y-%m-%dT%H:%M:%S}")
    assert invoices(*how_many).out == f"4 invoices, the oldest of {moment:%Y-%m-%d %H:%M:%S}\n"
    assert invoices(*how_many, "--account", "zeroxhost").out == "0 invoices\n"


def test_what_a_shop_missed_between_two_and_three(invoices, store, add_order, judge, endpoint):
    """Three changes, at half past one, half past two and half past three; of two at half past two one was delivered."""
    day = now(store.database).replace(hour=0, minute=0, second=0, microsecond=0)
    ids = [add_order(f"order-{number}") for number in range(4)]
    for invoice_id, minutes in zip(ids, (90, 150, 151, 210), strict=True):
        judge(invoice_id, Created(provider_ref=invoice_id, payment_url="https://pay.example/1"))
        change(store.database, EVENT, EVENT.c.invoice_id == invoice_id, created_at=day + timedelta(minutes=minutes))
    taken = {one.claim.subject.partition("/")[2]: one for one in store.claim_deliveries(endpoint, 10, 60)}
    store.settle([DeliveryAttempt(taken[ids[2]], "delivered", status=200, latency_ms=3)])
    asks("deliveries list --endpoint EP --missed --since TIME --until TIME")
    span = ("--since", f"{day:%Y-%m-%d}T02:00:00Z", "--until", f"{day:%Y-%m-%d}T03:00:00Z")
    found = invoices("deliveries", "list", "--endpoint", endpoint, "--missed", *span, "--json").lines
    assert [one["invoice_id"] for one in found] == [ids[1]]
    assert len(invoices("deliveries", "list", "--endpoint", endpoint, *span, "--json").lines) == 2
    wrong = invoices("deliveries", "list", *span[2:], "--since", f"{day:%Y-%m-%d}T04:00:00Z")
    assert (wrong.code, "--until must be later than --since" in wrong.err) == (2, True)


def test_was_somebody_billed_twice(invoices, add_order, judge):
    """The first create's answer was lost and it was made again; later the shop sent the order under another key."""
    first = add_order("order-1")
    judge(
        first, InDoubt(reason="no answer within 10 s"), Created(provider_ref="r-2", payment_url="https://p.example/2")
    )
    judge(first, CalledBack(status=Status.PAID, word="COMPLETED", paid_amount=Decimal("0.5")))
    second = add_order("order-1", idempotency_key="again")
    asks("show ORDER")
    (shown,) = invoices("show", "order-1", "--json").lines
    assert (shown["id"], [one["id"] for one in shown["siblings"]]) == (second, [first])
    assert [one["status"] for one in shown["siblings"]] == ["paid"]
    assert "1 other invoice of order order-1" in invoices("show", "order-1").out
    (twice,) = invoices("show", first, "--json").lines
    assert (twice["tries"]["creates"], twice["tries"]["lost_answers"]) == (2, 1)


def test_was_that_address_ours(invoices, add_order, judge):
    invoice = add_order("order-1", account="zeroxhost", params=ITEMS)
    judge(invoice, Created(provider_ref="77", address=ADDRESS, pay_amount=Decimal("0.5"), pay_currency="ETH"))
    asks("show ADDRESS")
    (shown,) = invoices("show", ADDRESS, "--json").lines
    assert (shown["id"], shown["order_id"], shown["address"]) == (invoice, "order-1", ADDRESS)
    other = invoices("show", ADDRESS[:-1] + "0")
    assert (other.code, other.err.startswith("invoices: there is no invoice or order")) == (1, True)


def test_minute_by_minute(invoices, store, add_order, judge, endpoint):
    """Order, calls and answers, events, tries of webhooks and what operators did, each with its time and its source."""
    invoice = add_order("order-1", account="zeroxhost", params=ITEMS)
    judge(invoice, InDoubt(reason="no answer within 10 s", raw="<html>"), Created(provider_ref="77", raw='{"a": 1.50}'))
    fail_next(store, endpoint, answer=b"try later")
    judge(invoice, Seen(status=Status.CONFIRMING, word="Paying", tx_hash="ab" * 32))
    assert invoices("cancel", invoice, "--by", "bob", "--reason", "sold out").code == 0
    asks("show ORDER --raw")
    lines = invoices("show", "order-1", "--raw").out.splitlines()
    told = lines[lines.index("what happened, in UTC") + 2 :]
    entries = [line for line in told if not line.startswith("      ")]
    assert [line.split()[1] for line in entries] == [
        *("order", "create", "create", "event", "webhook", "look-up", "event", "shop", "event", "operator")
    ]
    times = [line.split()[0] for line in entries]
    assert times == sorted(times)
    assert {"      <html>", '      {"a": 1.50}', "      try later"} <= set(told)
