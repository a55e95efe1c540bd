"""What changes something without a broker: migrate, cancel, redrive, endpoints, and what enqueue refuses."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from domain.evidence import CancelRequested, InDoubt
from workers.store.judging import Judgement
from workers.store.schema import revisions
from workers.store.tables import AGENDA, ENDPOINT


@pytest.fixture
def agenda(store):
    """Reads the agenda: (stage, subject) -> row."""

    def read():
        with store.database.reading() as connection:
            return {(row.stage, row.subject): row for row in connection.execute(select(AGENDA))}

    return read


def test_migrate_says_what_it_did(fresh_invoices):
    newest = revisions()[-1]
    assert fresh_invoices("migrate", "--json").lines == [{"before": None, "after": newest, "changed": True}]
    assert fresh_invoices("migrate", "--json").lines == [{"before": newest, "after": newest, "changed": False}]


def test_an_open_order_is_cancelled_once(invoices, add_order):
    invoice_id = add_order("order-1")
    (line,) = invoices("cancel", "order-1", "--reason", "sold out", "--json").lines
    assert line == {"id": invoice_id, "order_id": "order-1", "status": "cancelled", "cancelled": True}

    again = invoices("cancel", invoice_id)
    assert (again.code, again.out) == (0, f"{invoice_id} (order order-1) is cancelled already\n")
    assert invoices("cancel", invoice_id, "--json").lines[0]["cancelled"] is True
    (shown,) = invoices("show", invoice_id, "--json").lines
    assert (shown["status"], shown["reason"], shown["sequence"]) == ("cancelled", "sold out", 1)


def test_an_order_id_of_two_accounts_is_not_guessed(invoices, add_order):
    add_order("order-1")
    other = add_order("order-1", account="zeroxhost")
    ran = invoices("cancel", "order-1")
    assert ran.code == 2
    assert "give --account nebulox|zeroxhost" in ran.err
    assert invoices("cancel", "order-1", "--account", "zeroxhost", "--json").lines[0]["id"] == other


def test_an_invoice_in_doubt_is_created_again_and_another_is_not(invoices, add_order, store, agenda):
    doubtful, queued = add_order("order-1"), add_order("order-2")
    for _ in range(7):  # until it is held for an operator
        store.judge([Judgement(doubtful, InDoubt(reason="the answer was lost"))])
    assert ("create", doubtful) not in agenda()

    ran = invoices("redrive", "doubt", queued, "--json")
    assert (ran.code, ran.lines[0]["retried"]) == (1, False)
    assert invoices("redrive", "doubt", "--all", "--json").lines[0] == {
        "id": doubtful,
        "retried": True,
        "status": "in_doubt",
        "reason": None,
    }
    assert ("create", doubtful) in agenda()


def test_redrive_wants_to_know_what(invoices):
    assert invoices("redrive", "doubt").code == 2
    assert invoices("redrive", "rejected", "1", "--all").code == 2
    assert invoices("redrive", "parked", "--json").lines == [{"redriven": 0}]


def test_an_endpoint_shows_its_secret_once_and_keeps_it_sealed(invoices, monkeypatch, store):
    monkeypatch.setenv("INVOICES_WEBHOOK_ALLOW", "127.0.0.1:9")
    given = ("http://127.0.0.1:9/hook", "--events", "invoice.paid,invoice.expired", "--header", "X-Token: s3cret-token")
    (added,) = invoices("endpoints", "add", *given, "--json").lines
    assert added["id"].startswith("ep_")
    assert added["secret"].startswith("whsec_")

    listed = invoices("endpoints", "list", "--json")
    assert listed.lines[0]["events"] == ["invoice.expired", "invoice.paid"]
    assert listed.lines[0]["headers"] == ["X-Token"]
    for ran in (listed, invoices("endpoints", "list")):
        assert added["secret"] not in ran.out
        assert "s3cret-token" not in ran.out
    with store.database.reading() as connection:
        assert added["secret"] not in connection.execute(select(ENDPOINT)).one().secrets

    assert invoices("endpoints", "disable", added["id"]).code == 0
    assert invoices("endpoints", "list", "--json").lines[0]["disabled_reason"] == "by hand"
    assert invoices("endpoints", "enable", added["id"]).code == 0
    assert invoices("endpoints", "list", "--json").lines[0]["disabled_at"] is None
    assert invoices("endpoints", "test", added["id"]).code == 1  # nobody listens on port 9
    assert invoices("endpoints", "remove", added["id"], "--json").lines[0]["removed"] is True
    assert invoices("endpoints", "list", "--json").out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["http://shop.example/hook"], "url:"),
        (
            ["https://127.0.0.1/hook"],
            "url: 127.0.0.1, which is not a public address (loopback); INVOICES_WEBHOOK_ALLOW",
        ),
        (["https://93.184.216.34/hook", "--events", "invoice.payed"], "events: there is no invoice.payed"),
        (["https://93.184.216.34/hook", "--header", "Host: x"], "headers: Host may not be set"),
        (["https://93.184.216.34/hook", "--header", "nothing"], "--header must be"),
    ],
)
def test_an_endpoint_that_will_not_do_is_refused_by_field(invoices, arguments, said):
    ran = invoices("endpoints", "add", *arguments)
    assert ran.code == 2
    assert ran.err.startswith(f"invoices: {said}")
    assert invoices("endpoints", "list", "--json").out == ""


def test_what_may_be_allowed_is_refused_with_the_setting_and_who_needs_it(invoices):
    for url in ("https://127.0.0.1/hook", "http://93.184.216.34/hook", "https://93.184.216.34:444/hook"):
        ran = invoices("endpoints", "add", url)
        assert ("INVOICES_WEBHOOK_ALLOW lists exceptions" in ran.err, "the workers" in ran.err) == (True, True)


def test_a_second_endpoint_at_one_address_is_said_to_be_one(invoices, monkeypatch):
    monkeypatch.setenv("INVOICES_WEBHOOK_ALLOW", "127.0.0.1:9")
    (first,) = invoices("endpoints", "add", "http://127.0.0.1:9/hook", "--json").lines
    assert first["same_url"] == []
    assert "this URL" not in invoices("endpoints", "add", "http://127.0.0.1:9/other").err
    assert (
        f"1 other endpoint has this URL: {first['id']}" in invoices("endpoints", "add", "http://127.0.0.1:9/hook").err
    )
    invoices("endpoints", "disable", first["id"])
    (third,) = invoices("endpoints", "add", "http://127.0.0.1:9/hook", "--json").lines
    assert len(third["same_url"]) == 2


def test_an_endpoint_s_settings_are_changed_and_the_others_stay(invoices, monkeypatch):
    monkeypatch.setenv("INVOICES_WEBHOOK_ALLOW", "127.0.0.1")
    (added,) = invoices("endpoints", "add", "http://127.0.0.1:9/hook", "--header", "X-Shop: pa55", "--json").lines
    (before,) = invoices("endpoints", "list", "--json").lines

    def change(*arguments):
        (changed,) = invoices("endpoints", "change", added["id"], *arguments, "--json").lines
        return {name: value for name, value in changed.items() if value != before[name]}

    kept: dict[str, object] = {}
    for arguments, changed in (
        (("--max-in-flight", "3"), {"max_in_flight": 3}),
        (("--url", "http://127.0.0.1:9/moved"), {"url": "http://127.0.0.1:9/moved"}),
        (("--events", "invoice.paid"), {"events": ["invoice.paid"]}),
        (("--account", "nebulox"), {"accounts": ["nebulox"]}),
        (("--header", "X-Other: w0rd"), {"headers": ["X-Other"]}),
    ):
        kept |= changed
        assert change(*arguments) == kept, arguments
    assert "accounts" not in change("--all-accounts")
    (last,) = invoices("endpoints", "change", added["id"], "--no-headers", "--json").lines
    assert (last["headers"], last["max_in_flight"]) == ([], 3)
    for wrong in (
        (),
        ("--events", ""),
        ("--account", "nobody"),
        ("--url", "http://shop.example"),
        ("--max-in-flight", "0"),
    ):
        assert invoices("endpoints", "change", added["id"], *wrong).code == 2, wrong
    assert invoices("endpoints", "change", added["id"], "--account", "nebulox", "--all-accounts").code == 2
    assert invoices("endpoints", "change", "ep_none", "--max-in-flight", "3").code == 1
    assert invoices("endpoints", "list", "--json").lines[0]["max_in_flight"] == 3


def test_an_unknown_endpoint_is_one_line(invoices):
    for action in ("remove", "disable", "enable", "test"):
        ran = invoices("endpoints", action, "ep_none")
        assert (ran.code, len(ran.err.splitlines())) == (1, 1), action


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"price": "12.5"}, "account:"),
        ({"account": "nebulox", "order-id": "1", "price": "0", "currency": "EUR"}, "price:"),
        ({"account": "nebulo", "order-id": "1"}, "account: there is no account 'nebulo'"),
        ({"account": "nebulox", "order-id": "1", "price": "1", "currency": "XXX"}, "currency:"),
        ({"account": "nebulox", "order-id": "1", "metadata": "{"}, "--metadata is not JSON"),
        ({"account": "nebulox", "order-id": "1", "metadata": "[]"}, "--metadata must be a JSON object"),
        ({"account": "nebulox", "order-id": "1", "price": "1", "currency": "EUR", "fallback-account": "zeroxhost"},
         "fallback_accounts.0: params.user_id:"),
        ({"account": "nebulox", "order-id": "1", "price": "1", "currency": "EUR", "fallback-account": "nebulox"},
         "fallback_accounts.0: the account 'nebulox' is named twice"),
        ({"file": "/nowhere.jsonl"}, "--file /nowhere.jsonl: No such file"),
        ({"file": "-", "price": "1"}, "--file takes whole orders"),
    ],
)  # fmt: skip
def test_enqueue_refuses_a_bad_order_by_field_and_sends_nothing(fresh_invoices, flags, said):
    ran = fresh_invoices("enqueue", *[part for name, value in flags.items() for part in (f"--{name}", value)])
    assert ran.code == 2
    assert ran.err.startswith(f"invoices: {said}")
    assert not (fresh_invoices.home / "valkey").exists()


def test_a_cancelled_invoice_stays_cancelled_whoever_asks(invoices, add_order, store):
    invoice_id = add_order("order-1")
    store.judge([Judgement(invoice_id, CancelRequested(reason="sold out"))])
    assert invoices("redrive", "doubt", invoice_id).code == 1
