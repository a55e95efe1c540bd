"""Whatever a shop, payer, provider, receiver or operator writes into an invoice's page is text there."""

from __future__ import annotations

import json

import pytest

from domain.evidence import CancelRequested
from tests.console.receivers import HEALTHY
from tests.console.scene import MARKUP, OPERATOR
from tests.contracts.store_cases import change, created, judge, now, order, rows, seen, take
from workers.store.acts import Actor
from workers.store.callbacks import MATCHED
from workers.store.operate.invoices import recheck
from workers.store.tables import (
    ACT,
    ATTEMPT,
    CALLBACK,
    DELIVERY,
    DRIFT,
    DRIFT_INVOICE,
    ENDPOINT,
    EVENT,
    EVIDENCE,
    INVOICE,
    PAYMENT,
)

#: Ends a text of a script's, an attribute, a comment; begins an element, a live part's mark, a template's.
NASTY = (
    MARKUP,
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "<!--live:timeline-->x<!--/live-->",
    "{{ 7*7 }}{% raw %}",
)


@pytest.mark.parametrize("text", NASTY)
def test_what_others_write_is_text_wherever_an_invoice_shows_it(ground, scene, text):
    invoice_id = poison(scene, text)

    for show in ("all", "evidence", "decisions", "events", "attempts", "operators"):
        page = ground.get(f"/console/invoices/{invoice_id}?show={show}")

        assert page.status_code == 200
        assert "<svg onload" not in page.text
        assert "<img src=x" not in page.text
        assert "</script>&amp;" not in page.text
        assert "onmouseover='alert" not in page.text
        assert page.text.count("<!--live:timeline-->") == 1
        assert " style=" not in page.text


def poison(scene, text):
    """An invoice with this text in every place that somebody else may write to; its id."""
    store, database = scene.store, scene.database
    (invoice_id,) = take(
        store,
        order(f"{text}!", account="zeroxhost", idempotency_key=f"k{text}", metadata={text: text}, params={"u": text}),
    )
    made = {"pay_currency": text[:64], "network": text, "address": text, "payment_url": text, "qr_code": text}
    judge(store, invoice_id, created(provider_ref=text[:255], raw=text, **made))
    judge(store, invoice_id, seen("partially_paid", tx_hash=text, reference=text, raw=text))
    change(database, EVIDENCE, EVIDENCE.c.invoice_id == invoice_id, note=text)
    with database.transaction() as connection:
        told = {"invoice_id": invoice_id, "at": now(database), "verdict": "contradiction", "source": text[:16]}
        for kind in ("Unreachable", text[:24]):
            detail = json.dumps({"reason": text, "account": text, text: text})
            connection.execute(EVIDENCE.insert().values(**told, kind=kind, detail=detail, note=text, raw=text))
        called = {"account": "zeroxhost", "at": now(database), "digest": f"{hash(text)}", "headers": "{}"}
        connection.execute(
            CALLBACK.insert().values(
                **called,
                body=text.encode(),
                order_id=f"{text}!",
                reference=text[:255],
                word=text[:64],
                state=MATCHED,
                invoice_id=invoice_id,
                reason=text,
            )
        )
        novelty = {"account": "zeroxhost", "provider": "zeroxhost", "kind": "field", "call": text[:20]}
        added = connection.execute(
            DRIFT.insert().values(**novelty, field=text[:100], value=text[:64], since=now(database), event_id="evt_1")
        )
        connection.execute(
            DRIFT_INVOICE.insert().values(
                drift_id=added.inserted_primary_key[0], invoice_id=invoice_id, at=now(database)
            )
        )
    recheck(store, Actor(text[:100], text[:100], text), invoice_id)
    change(database, ENDPOINT, ENDPOINT.c.id == scene.receivers[HEALTHY], url=f"https://shop.example/{text}")
    for batch in (store.claim_deliveries(one, 100, 60.0) for one in scene.receivers.values()):
        assert batch is not None
    numbers = [row.id for row in rows(database, DELIVERY, DELIVERY.c.invoice_id == invoice_id)]
    with database.transaction() as connection:
        tried = {"at": now(database), "outcome": "failed", "latency_ms": 5}
        for number in numbers:
            connection.execute(ATTEMPT.insert().values(delivery_id=number, answer=text.encode(), error=text, **tried))
    change(database, PAYMENT, PAYMENT.c.invoice_id == invoice_id, asset=text[:64], tx_hash=text)
    judge(store, invoice_id, CancelRequested(reason=text))
    change(database, INVOICE, INVOICE.c.id == invoice_id, reason=text, currency=text[:16], provider=text[:32])
    return invoice_id


@pytest.mark.parametrize("text", NASTY)
def test_somebodys_own_words_are_text_on_their_page_too(ground, scene, text):
    invoice_id = poison(scene, text)
    tables = (("evidence", EVIDENCE, "id"), ("callback", CALLBACK, "id"), ("event", EVENT, "number"))

    for kind, table, key in tables:
        kept = rows(scene.database, table, table.c.invoice_id == invoice_id)
        row = next(one for one in kept if getattr(one, "raw", True))
        page = ground.get(f"/console/invoices/{invoice_id}/raw/{kind}/{getattr(row, key)}")

        assert page.status_code == 200
        assert "<svg onload" not in page.text
        assert "<img src=x" not in page.text
        assert page.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("text", NASTY[:3])
def test_what_a_person_typed_comes_back_as_text(ground, scene, text):
    path = f"/console/invoices/{scene.ids['dpkg-48231']}/mark"

    page = ground.post(path, {"status": text, "reason": text, "amount": text})

    assert page.status_code == 422
    assert "<svg onload" not in page.text
    assert "<img src=x" not in page.text
    assert "' onmouseover='" not in page.text


def test_a_reason_of_an_operators_is_text_in_the_timeline(ground, scene):
    ground.post(f"/console/invoices/{scene.ids['dpkg-48231']}/recheck", {"reason": MARKUP})

    page = ground.get(f"/console/invoices/{scene.ids['dpkg-48231']}").text

    assert rows(scene.database, ACT)[-1].reason == MARKUP
    assert MARKUP not in page
    assert "&lt;img src=x onerror=" in page


def test_what_was_done_is_said_in_words_of_our_own(ground, scene):
    page = ground.get(f"/console/invoices/{scene.ids['dpkg-48231']}?done={OPERATOR.name}<b>")

    assert page.status_code == 200
    assert 'class="said"' not in page.text
