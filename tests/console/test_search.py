"""The box of every page: a name leads to the one invoice it means, or to all of them, or says what was looked for."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.console.scene import MARKUP
from tests.contracts.store_cases import change, invoice_of, judge, rows, seen
from workers.store.tables import EVENT, INVOICE


def search(ground, name, **options):
    return ground.get("/console/search", params={"q": name}, **options)


def leads_to(answered):
    assert answered.status_code == 303, answered.text
    return answered.headers["location"].removeprefix("/console/invoices/")


def names_of(scene, invoice_id):
    """Every name that an invoice has."""
    invoice = invoice_of(scene.database, invoice_id)
    event = rows(scene.database, EVENT, EVENT.c.invoice_id == invoice_id)[0]
    return {
        "id": invoice.id,
        "order": invoice.order_id,
        "event": event.id,
        "key": invoice.idempotency_key,
        "reference": invoice.provider_ref,
        "address": invoice.address,
        "transaction": "0xfeed",
    }


@pytest.mark.parametrize("kind", ["id", "order", "event", "key", "reference", "address", "transaction"])
def test_each_name_leads_to_the_invoice_and_to_nobody_who_does_not_see_its_account(ground, scene, kind):
    invoice_id = scene.ids["dpkg-48226"]
    change(scene.database, INVOICE, INVOICE.c.id == invoice_id, address="0xown", idempotency_key="a key of its own")
    judge(scene.store, invoice_id, seen("confirming", paid_amount=Decimal("0.0358619204"), tx_hash="0xfeed"))
    name = names_of(scene, invoice_id)[kind]

    assert leads_to(search(ground, name)) == invoice_id
    assert leads_to(search(ground, f"  {name} ", accounts="zeroxhost")) == invoice_id
    hidden = search(ground, name, accounts="nebulox")
    assert hidden.status_code == 404
    assert "Nothing has this name" in hidden.text
    assert "zeroxhost" not in hidden.text


def test_a_name_of_several_is_a_list_that_says_how_it_was_understood(ground, scene):
    answered = search(ground, "twice")

    assert answered.status_code == 200
    assert "was understood as an order id." in answered.text
    assert all(scene.ids[f"twice/{account}"] in answered.text for account in ("zeroxhost", "nebulox"))
    assert "All 2 of them." in answered.text
    assert 'href="/console/invoices?q=twice"' in answered.text
    assert leads_to(search(ground, "twice", accounts="nebulox")) == scene.ids["twice/nebulox"]


def test_a_name_of_nothing_says_what_was_looked_for(ground):
    answered = search(ground, "gone<b>")

    assert answered.status_code == 404
    assert "gone&lt;b&gt;" in answered.text
    assert "an idempotency key" in answered.text


def test_an_order_that_was_turned_away_is_told_with_its_reason(ground):
    answered = search(ground, "dpkg-48240")

    assert "A message of this name was rejected" in answered.text
    assert "price: must be greater than 0" in answered.text
    assert "price: must be greater" in search(ground, "dpkg-48240", accounts="zeroxhost").text
    assert "price: must be greater" not in search(ground, "dpkg-48240", accounts="nebulox").text


def test_nothing_to_look_for_leads_to_the_list(ground):
    assert search(ground, " ").headers["location"] == "/console/invoices"
    assert ground.get("/console/search").headers["location"] == "/console/invoices"


def test_a_name_may_be_anything(ground, scene):
    assert leads_to(search(ground, MARKUP)) == scene.ids[MARKUP]
    assert search(ground, "x" * 301).status_code == 400
    assert search(ground, "a\x00b").status_code == 400
    assert ground.get("/console/search?q=a&account=nebulox").status_code == 400
