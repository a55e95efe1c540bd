"""`invoices contradictions`."""

from __future__ import annotations

import shlex
from pathlib import Path

from domain.evidence import CalledBack, CancelRequested, Created, Seen
from domain.status import Status
from workers.store.judging import Judgement

RUNBOOK = Path(__file__).resolve().parents[2] / "deploy/runbooks/Contradiction.md"


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


def test_the_runbooks_commands_settle_an_invoice_that_was_paid_after_it_was_cancelled(invoices, add_order, store):
    invoice = add_order("order-1")
    paid = CalledBack(status=Status.PAID, word="COMPLETED", order_id="order-1", reference="100061")
    for evidence in (Created(provider_ref="r-1"), CancelRequested(reason="gone"), paid):
        store.judge([Judgement(invoice, evidence)])

    see, do = RUNBOOK.read_text(encoding="utf-8").split("### Paid after it was cancelled")
    for command in (*_commands(see), *_commands(do.split("###")[0])):
        ran = invoices(*command)
        assert (ran.code, ran.err) == (0, ""), command
    assert invoices("contradictions", "--json").lines == []
    assert invoices("show", "order-1", "--json").lines[0]["status"] == "cancelled"


def _commands(page):
    blocks = page.split("```")[1::2]
    found = [shlex.split(line)[1:] for block in blocks for line in block.strip().splitlines()]
    assert found
    return [[word if word != "ORDER" else "order-1" for word in command] for command in found]
