"""`invoices contradictions`."""

from __future__ import annotations

from domain.evidence import CancelRequested, Created, Seen
from domain.status import Status
from workers.store.judging import Judgement


def test_what_was_said_against_an_invoice_is_listed(invoices, add_order, store):
    invoice = add_order("order-1", account="zeroxhost")
    said = [Created(provider_ref="77"), CancelRequested(reason="gone"), Seen(status=Status.PAID, word="Paid")]
    assert invoices("contradictions", "--json").lines == []
    for evidence in said:
        store.judge([Judgement(invoice, evidence)])

    (line,) = invoices("contradictions", "--json").lines
    assert {name: line[name] for name in ("invoice", "order_id", "account", "kind", "words", "source")} == {
        "invoice": invoice,
        "order_id": "order-1",
        "account": "zeroxhost",
        "kind": "status",
        "words": "the provider says Paid, and it is cancelled",
        "source": "look-up",
    }
    assert (line["at"][-1], line["status"], line["settled"], line["id"] > 0) == ("Z", "cancelled", False, True)
    assert "order-1" in invoices("contradictions").out
    types = [event["type"] for event in invoices("events", invoice, "--json").lines]
    assert types == ["invoice.pending", "invoice.cancelled", "invoice.contradiction"]


def test_as_many_as_were_asked_for(invoices, add_order, store):
    for number in range(3):
        invoice = add_order(f"order-{number}")
        for _ in range(2):
            store.judge([Judgement(invoice, CancelRequested(reason="gone"))])
        store.judge([Judgement(invoice, Seen(status=Status.PAID, word="Paid"))])
        store.judge([Judgement(invoice, Created(provider_ref=f"ref-{number}"))])

    assert len(invoices("contradictions", "--json", "--limit", "2").lines) == 2
    assert len(invoices("contradictions", "--json", "--limit", "0").lines) >= 3
