"""`invoices show`: whichever name it is called by, the whole truth, and what else a name may mean."""

from __future__ import annotations

import io
from decimal import Decimal

import pytest

from domain.evidence import CalledBack, CancelRequested, Created, InDoubt, Seen, Unreachable
from domain.status import Status
from workers.store.callbacks import NewCallback
from workers.store.deliveries import DeliveryAttempt
from workers.store.judging import Judgement
from workers.store.tables import CALLBACK

TRANSACTION = "cf2e" + "0" * 60
ADDRESS = "0x7717a0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d8a179"


@pytest.fixture
def twice(add_order, judge):
    """An order that was paid, and queued again under another key: (paid, queued)."""
    paid = add_order("order-1")
    made = Created(provider_ref="9a1c", pay_amount=Decimal("0.50"), pay_currency="BTC", address=ADDRESS)
    judge(paid, made, CalledBack(status=Status.PAID, word="COMPLETED", tx_hash=TRANSACTION))
    return paid, add_order("order-1", idempotency_key="again")


def test_a_paid_sibling_behind_a_queued_one_is_told(invoices, twice):
    paid, queued = twice
    (shown,) = invoices("show", "order-1", "--json").lines
    assert shown["id"] == queued
    assert [(one["id"], one["status"]) for one in shown["siblings"]] == [(paid, "paid")]
    out = invoices("show", "order-1").out
    assert "1 other invoice of order order-1" in out
    assert f"  {paid}  paid" in out
    (other,) = invoices("show", paid, "--json").lines
    assert [one["id"] for one in other["siblings"]] == [queued]


@pytest.mark.parametrize("name", ["9a1c", ADDRESS, TRANSACTION, f"0x{TRANSACTION.upper()}"])
def test_it_is_found_by_the_provider_s_names_and_by_its_transaction(invoices, twice, name):
    assert invoices("show", name, "--json").lines[0]["id"] == twice[0]


def test_it_is_found_by_an_event_and_by_its_key(invoices, twice):
    paid, queued = twice
    (event, *_) = invoices("events", paid, "--json").lines
    assert invoices("show", event["id"], "--json").lines[0]["id"] == paid
    assert invoices("show", "again", "--json").lines[0]["id"] == queued


def test_another_account_s_is_not_shown_by_a_name_that_it_has_too(invoices, add_order, judge):
    here, there = add_order("here"), add_order("there", account="zeroxhost")
    judge(here, Created(provider_ref="same"))
    judge(there, Created(provider_ref="same"))
    assert invoices("show", "same", "--account", "nebulox", "--json").lines[0]["id"] == here
    (newest,) = invoices("show", "same", "--json").lines
    assert (newest["id"], newest["also_found"]) == (there, [here])
    assert "1 other invoice with this reference" in invoices("show", "same").out
    assert invoices("show", "same", "--account", "nobody").code == 1


def test_what_reads_says_on_standard_error_that_there_are_others(invoices, twice):
    paid, queued = twice
    ran = invoices("events", "order-1", "--json")
    assert ran.out == ""
    assert f"2 invoices have this order id; {queued} is the newest" in ran.err
    assert f"{paid}  paid" in ran.err
    assert len(invoices("events", paid, "--json").lines) == 2


def test_cancel_says_which_it_took_where_nobody_can_be_asked(invoices, twice):
    paid, queued = twice
    ran = invoices("cancel", "order-1")
    assert ran.code == 0
    assert f"cancelled {queued}" in ran.out
    assert f"{paid}  paid" in ran.err


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_cancel_asks_which_is_meant(invoices, twice, monkeypatch):
    paid, queued = twice
    monkeypatch.setattr("sys.stdin", Terminal("2\n"))
    monkeypatch.setattr("workers.cli.which.can_ask", lambda: True)
    ran = invoices("cancel", "order-1")
    assert (ran.code, f"{paid} can't be cancelled: it is paid" in ran.err) == (1, True)
    assert "2 invoices are meant by order-1:" in ran.err
    monkeypatch.setattr("sys.stdin", Terminal("\n"))
    assert f"cancelled {queued}" in invoices("cancel", "order-1").out
    monkeypatch.setattr("sys.stdin", Terminal("1\n"))
    assert invoices("cancel", "order-1", "--json").lines[0]["id"] == queued  # a program is not asked


def test_everything_stands_in_one_line_of_time(invoices, add_order, judge, store, monkeypatch):
    monkeypatch.setenv("INVOICES_WEBHOOK_ALLOW", "127.0.0.1:9")
    (endpoint,) = invoices("endpoints", "add", "http://127.0.0.1:9/hook", "--json").lines
    invoice = add_order("order-1", account="zeroxhost", params={"user_id": "u-1", "server_id": "s-1"})
    lost = InDoubt(reason="no answer within 10 s", raw="<html>")
    judge(invoice, Unreachable(reason="connect: refused"), lost, Created(provider_ref="77"))
    (delivery,) = store.claim_deliveries(endpoint["id"], 1, 60)
    store.settle(
        [DeliveryAttempt(delivery, "failed", error="status: 503", status=503, latency_ms=12, wait_seconds=60.0)]
    )
    judge(invoice, Seen(status=Status.CONFIRMING, word="Paying", tx_hash=TRANSACTION))
    assert invoices("cancel", invoice, "--by", "bob", "--reason", "sold out").code == 0

    (shown,) = invoices("show", invoice, "--json").lines
    assert [(one["source"], one["what"], one["outcome"]) for one in shown["timeline"]] == [
        ("order", "order", None),
        ("create", "Unreachable", "noted"),
        ("create", "InDoubt", "applied"),
        ("create", "Created", "applied"),
        ("event", "invoice.pending", None),
        ("webhook", "invoice.pending", "failed"),
        ("look-up", "Seen", "applied"),
        ("event", "invoice.confirming", None),
        ("shop", "CancelRequested", "applied"),
        ("event", "invoice.cancelled", None),
        ("operator", "invoice.cancel", None),
    ]
    times = [one["at"] for one in shown["timeline"]]
    assert times == sorted(times)
    assert (shown["params"], shown["transaction"]) == ({"user_id": "u-1", "server_id": "s-1"}, TRANSACTION)
    assert shown["monitor_until"] > shown["expires_at"]
    assert (shown["tries"]["creates"], shown["tries"]["lost_answers"], shown["tries"]["webhooks"]) == (3, 1, 1)
    assert [one["type"] for one in shown["events"]] == ["invoice.pending", "invoice.confirming", "invoice.cancelled"]
    assert [one["kind"] for one in shown["evidence"]][:3] == ["Unreachable", "InDoubt", "Created"]
    assert [one["state"] for one in shown["deliveries"]] == ["due"] * 3
    assert shown["deliveries"][0]["attempts"][0]["status"] == 503


def test_amounts_in_evidence_are_texts_with_every_digit_as_everywhere(invoices, add_order, judge):
    invoice = add_order("order-1")
    judge(invoice, Created(provider_ref="77", price=Decimal(5), pay_amount=Decimal("1E-8"), pay_currency="BTC"))
    other = Seen(status=Status.PENDING, word="PENDING", paid_amount=Decimal("0.10"))
    judge(invoice, Seen(status=Status.CONFIRMING, word="Paying", pay_amount=Decimal("2E+1"), others=(other,)))

    (shown,) = invoices("show", invoice, "--json").lines
    created, seen = (one["detail"] for one in shown["evidence"])
    assert (created["price"], created["pay_amount"]) == ("5", "0.00000001")
    assert (seen["pay_amount"], seen["others"][0]["paid_amount"]) == ("20", "0.10")


def test_what_was_tried_again_and_again_is_folded_and_counted(invoices, add_order, judge):
    invoice = add_order("order-1")
    judge(invoice, *[InDoubt(reason="no answer within 10 s")] * 3, *[Unreachable(reason="refused")] * 4)
    (shown,) = invoices("show", invoice, "--json").lines
    assert [(one["what"], one["repeats"]) for one in shown["timeline"]] == [
        ("order", 0),
        ("InDoubt", 0),  # it changed the invoice
        ("InDoubt", 1),
        ("Unreachable", 3),
    ]
    assert [one["repeats"] for one in shown["evidence"]] == [0, 1, 3]
    assert shown["evidence"][2]["last_at"] == shown["evidence"][2]["at"]  # all of them in one go
    assert (shown["tries"]["creates"], shown["tries"]["lost_answers"]) == (7, 3)
    out = " ".join(invoices("show", invoice).out.split())
    assert "7 creates (3 without an answer)" in out
    assert "can't be reached: refused, 3 times more until 20" in out


def test_a_person_reads_the_same_on_80_columns_with_nothing_cut(invoices, add_order, judge, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    invoice = add_order("order-1", account="zeroxhost", params={"user_id": "u-1", "server_id": "s-1"})
    reason = "no answer within 10 s, and then some more words that make this longer than a line"
    judge(invoice, InDoubt(reason=reason, raw="<html>"), Created(provider_ref="77", address=ADDRESS))
    out = invoices("show", invoice).out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert " ".join(reason.split()) in " ".join(out.split())
    assert '{"user_id":"u-1","server_id":"s-1"}' in out
    assert "2 creates (1 without an answer)" in out
    assert "the regular one" in out
    assert "it expires then, unless it is paid before" in out
    assert "<html>" not in out
    assert "      <html>" in invoices("show", invoice, "--raw").out


@pytest.mark.parametrize(
    ("evidence", "what", "why"),
    [
        ((), "create", "it waits for its turn"),
        ((Unreachable(reason="refused"),) * 3, "create", "the provider could not be reached, 3 times"),
        ((InDoubt(reason="reset"),) * 2, "create", "the answer of a create is lost, twice: it is created again"),
        ((Created(provider_ref="7"),), "look-up", "the regular one"),
        ((Created(provider_ref="7"), Seen(status=Status.CONFIRMING, word="Paying", tx_hash="ab")), "look-up",
         "for the confirmations of its payment"),
        ((Created(provider_ref="7"), CalledBack(status=Status.PAID, word="Paid")), "look-up",
         "a callback says Paid, which no look-up has confirmed yet"),
    ],
)  # fmt: skip
def test_what_comes_next_is_told_with_its_reason(invoices, add_order, judge, evidence, what, why):
    invoice = add_order("order-1", account="zeroxhost")
    judge(invoice, *evidence)
    steps = {one["what"]: one for one in invoices("show", invoice, "--json").lines[0]["next"]}
    assert (steps[what]["why"], steps[what]["at"] is None) == (why, False)
    assert why in " ".join(invoices("show", invoice).out.split())


def test_what_waits_for_a_person_says_so(invoices, add_order, judge, store, monkeypatch):
    monkeypatch.setenv("INVOICES_WEBHOOK_ALLOW", "127.0.0.1:9")
    (endpoint,) = invoices("endpoints", "add", "http://127.0.0.1:9/hook", "--json").lines
    invoice = add_order("order-1")
    judge(invoice, CancelRequested(reason="sold out"))
    invoices("endpoints", "disable", endpoint["id"])
    steps = {one["what"]: one for one in invoices("show", invoice, "--json").lines[0]["next"]}
    assert (steps["webhook"]["at"], steps["webhook"]["command"]) == (
        None,
        f"invoices endpoints enable {endpoint['id']}",
    )

    held = add_order("order-2")
    judge(held, *[InDoubt(reason="reset")] * 6)
    (step,) = [one for one in invoices("show", held, "--json").lines[0]["next"] if one["what"] == "create"]
    assert (step["at"], step["command"]) == (None, f"invoices redrive doubt {held}")


@pytest.fixture
def called_back(store):
    """Keeps a callback of an order that nobody has looked at yet."""

    def keep(order_id, reference):
        told = {"order_id": order_id, "reference": reference, "word": "COMPLETED", "amount": None}
        store.keep_callbacks([NewCallback(account="nebulox", digest="d", body=b'{"a": 1}', headers="{}", **told)])

    return keep


def test_a_callback_that_nobody_could_match_is_told_with_its_order(invoices, add_order, called_back):
    invoice = add_order("order-1")
    called_back("order-1", "100061")
    (entry,) = [one for one in invoices("show", invoice, "--json").lines[0]["timeline"] if one["source"] == "callback"]
    assert (entry["outcome"], entry["raw"]) == ("new", '{"a": 1}')
    assert "came: COMPLETED, reference 100061 (new)" in invoices("show", invoice).out


def test_it_is_found_by_what_a_callback_brought(invoices, add_order, called_back, store):
    invoice = add_order("order-1")
    called_back("order-1", "100061")
    assert invoices("show", "100061").code == 1
    with store.database.transaction() as connection:
        connection.execute(CALLBACK.update().values(state="matched", invoice_id=invoice))
    assert invoices("show", "100061", "--json").lines[0]["id"] == invoice


def test_one_that_waits_for_a_callback_asks_for_the_address_where_others_are_paid(invoices, add_order, store):
    mine, other = add_order("mine", account="nebulox"), add_order("other", account="zeroxhost")
    store.judge([Judgement(mine, Created(provider_ref="71")), Judgement(other, Created(provider_ref="72"))])
    assert "none came for nebulox yet" in (before := " ".join(invoices("show", "mine").out.split()))
    assert "that address may not" not in before
    store.judge([Judgement(other, Seen(status=Status.PAID, word="Paid"))])
    shown = " ".join(invoices("show", "mine").out.split())
    assert (
        "though 1 invoice of another account was paid meanwhile: that address may not be set at the provider" in shown
    )
