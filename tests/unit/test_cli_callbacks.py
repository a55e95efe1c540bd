"""What `show` says of callbacks and of who said what."""

from __future__ import annotations

import json

from domain.evidence import CalledBack, Created
from domain.status import Status
from workers.store.forged import Forged, keep_forged
from workers.store.judging import Judgement


def test_show_says_who_said_what_and_what_is_wrong_with_it(invoices, add_order, store):
    invoice = add_order("order-1")
    claim = CalledBack(status=Status.PAID, word="COMPLETED", pay_currency="LTC")
    made = Created(provider_ref="9a1c", pay_currency="BTC")
    store.judge([Judgement(invoice, made), Judgement(invoice, claim)])

    out = invoices("show", invoice).out
    assert "create" in out
    assert "callback" in out
    assert "coin: the callback's is LTC" in out


def test_show_says_that_nobody_can_be_asked_until_a_callback_came_and_where_it_goes(
    invoices, add_order, store, monkeypatch
):
    monkeypatch.setenv("INVOICES_PUBLIC_URL", "https://pay.example")
    invoice, other = add_order("order-1"), add_order("order-2", account="zeroxhost")
    made = [Judgement(invoice, Created(provider_ref="9a1c")), Judgement(other, Created(provider_ref="77"))]
    assert "can't be asked" not in invoices("show", invoice).out  # not made yet
    store.judge(made)

    out = invoices("show", invoice).out
    assert "can't be asked about until a callback" in out
    assert "https://pay.example/callbacks/nebulox" in out
    assert "can't be asked" not in invoices("show", other).out
    store.judge([Judgement(invoice, CalledBack(status=None, word="ODD", reference="100061"))])
    assert "can't be asked" not in invoices("show", invoice).out


def test_callbacks_with_a_wrong_signature_are_listed_newest_first(invoices, store):
    assert "no callback came with a wrong signature" in invoices("callbacks", "forged").err
    headers = json.dumps({"content-type": "application/json", "names": ["content-type", "x-hash"]})
    odd = b'{"orderId": "\x1b[31mred"}\n' + b"x" * 900
    batch = [
        Forged("nebulox", "its signature is wrong, or there is none", "203.0.113.9", 933, odd, headers),
        Forged(None, "there is no account 'nobody'", None, 0, b"", '{"names": []}'),
    ]
    keep_forged(store.database, batch)

    newest, oldest = invoices("callbacks", "forged", "--json").lines
    assert (newest["account"], newest["why"], newest["client"]) == (None, "there is no account 'nobody'", None)
    assert (oldest["account"], oldest["size"], oldest["raw"]) == ("nebulox", 933, odd.decode())
    assert (oldest["headers"], oldest["header_names"]) == (
        {"content-type": "application/json"},
        ["content-type", "x-hash"],
    )
    table = invoices("callbacks", "forged", "--limit", "0").out
    assert "203.0.113.9" in table
    assert "\x1b[31m" not in table
    assert len(invoices("callbacks", "forged", "--limit", "1", "--json").lines) == 1
