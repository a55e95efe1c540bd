"""`invoices why`: one object for programs, one short paragraph for people."""

from __future__ import annotations

import pytest

from domain.evidence import Created, CredentialsRefused
from workers.store.intake import Rejection
from workers.store.judging import Judgement
from workers.store.processes import Heartbeat

FIELDS = ["cause", "text", "since", "next_at", "next", "command"]


@pytest.fixture
def worker(store):
    """A worker is seen."""
    heartbeat = Heartbeat(store.database, ["worker", "intake"], ["nebulox", "zeroxhost"])
    heartbeat.write()


def test_it_is_one_object_with_the_contract_s_fields(invoices, store, add_order, worker):
    add_order("order-1")
    (why,) = invoices("why", "order-1", "--json").lines
    assert list(why) == FIELDS
    assert why["cause"] == "waits_for_account"
    assert why["since"].endswith("Z")


def test_an_order_that_nobody_knows_is_an_answer_too(invoices, worker):
    ran = invoices("why", "order-1", "--json")
    assert ran.code == 0
    (why,) = ran.lines
    assert why == {
        "cause": "unknown_order",
        "text": "Nothing is known by the name 'order-1'; no order was ever taken.",
        "since": None,
        "next_at": None,
        "next": None,
        "command": None,
    }


@pytest.mark.parametrize("name", ["", " ", "two\nlines"])
def test_a_name_that_no_order_can_have_is_unknown(invoices, store, name, worker):
    store.reject([Rejection("k", "invoices.create", "not JSON", '{"order_id": "", ', complete=True)])
    ran = invoices("why", name, "--json")
    assert (ran.code, ran.lines[0]["cause"]) == (0, "unknown_order")
    ran = invoices("why", name)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("unknown_order  ")


def test_people_read_it_at_eighty_columns(invoices, store, add_order, worker, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    invoice = add_order("order-1")
    store.judge([Judgement(invoice, CredentialsRefused(reason="HTTP 401: unknown API key"))])
    ran = invoices("why", "order-1")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[:2] == ["key_refused  order-1", f"  {invoice}, nebulox, queued"]
    assert lines[2].startswith("  The provider refuses the key of account nebulox (HTTP 401")
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "][-3:] == [
        "since",
        "next",
        "helps",
    ]
    assert lines[-1] == "  helps    invoices doctor"


def test_of_several_the_newest_is_told_and_the_others_are_named(invoices, store, add_order, worker):
    first = add_order("order-1")
    store.judge([Judgement(first, Created(provider_ref="9a1c"))])
    other = add_order("order-1", account="zeroxhost")
    ran = invoices("why", "order-1", "--json")
    assert ran.lines[0]["cause"] == "waits_for_account"
    assert f"{other} is the newest" in ran.err
    (why,) = invoices("why", "order-1", "--account", "nebulox", "--json").lines
    assert why["cause"] == "cannot_be_asked"


def test_without_a_name_it_says_what_it_wants(invoices):
    assert invoices("why").code == 2
