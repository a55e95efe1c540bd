"""`invoices audit`, and what `show` tells of operators' acts."""

from __future__ import annotations

import getpass
import os
import pwd
import socket

import pytest

from domain.evidence import CancelRequested, Created
from workers.store.judging import Judgement


@pytest.fixture
def cancelled(invoices, add_order):
    """An order that bob has cancelled."""
    invoice_id = add_order("order-1")
    assert invoices("cancel", "order-1", "--reason", "sold out", "--by", "bob").code == 0
    return invoice_id


def acts(invoices, *arguments):
    ran = invoices("audit", "--json", *arguments)
    assert ran.code == 0, ran.err
    return ran.lines


def test_an_act_is_listed_with_who_from_where_why_and_what_changed(invoices, cancelled):
    (act,) = acts(invoices)
    user = pwd.getpwuid(os.getuid()).pw_name
    assert act["origin"] == f"cli {user}@{socket.gethostname()}"
    assert (act["by"], act["act"], act["invoice_id"]) == ("bob", "invoice.cancel", cancelled)
    assert (act["reason"], act["before"]) == ("sold out", {"status": "queued"})
    assert act["after"]["status"] == "cancelled"

    listed = invoices("audit")
    for word in ("bob", "invoice.cancel", cancelled, "sold out", "status: queued", "status: cancelled"):
        assert word in listed.out


def test_show_tells_what_was_done_with_that_invoice_and_no_other(invoices, cancelled, add_order):
    other = add_order("order-2")
    assert [act["by"] for act in invoices("show", cancelled, "--json").lines[0]["acts"]] == ["bob"]
    assert invoices("show", other, "--json").lines[0]["acts"] == []
    assert "invoice.cancel" in invoices("show", "order-1").out
    assert "invoice.cancel" not in invoices("show", "order-2").out


def test_without_a_name_it_is_the_user_of_the_shell(invoices, add_order, monkeypatch):
    monkeypatch.setenv("LOGNAME", "carol")
    add_order("order-1")
    assert invoices("cancel", "order-1").code == 0
    assert getpass.getuser() == "carol"
    (act,) = acts(invoices)
    assert (act["by"], act["reason"]) == ("carol", "cancelled by hand")


def test_acts_are_chosen_by_invoice_endpoint_person_time_and_number(invoices, cancelled, monkeypatch):
    monkeypatch.setenv("INVOICES_WEBHOOK_ALLOW", "127.0.0.1:9")
    given = (
        "http://127.0.0.1:9/hook?token=s3cret",
        "--header",
        "X-Token: s3cret",
        "--by",
        "ann",
        "--reason",
        "a new shop",
    )
    (added,) = invoices("endpoints", "add", *given, "--json").lines
    assert invoices("endpoints", "rotate", added["id"], "--by", "ann").code == 0
    assert invoices("endpoints", "remove", added["id"], "--by", "ann").code == 0

    assert [act["act"] for act in acts(invoices, "--invoice", "order-1")] == ["invoice.cancel"]
    of_endpoint = ["endpoint.removed", "endpoint.remove", "endpoint.rotate", "endpoint.add"]
    assert [act["act"] for act in acts(invoices, "--endpoint", added["id"])] == of_endpoint
    assert [act["act"] for act in acts(invoices, "--by", "ann", "--limit", "2")] == of_endpoint[:2]
    assert len(acts(invoices, "--limit", "0", "--since", "1h")) == 5
    assert acts(invoices, "--until", "1h") == []
    for output in (invoices("audit").out, invoices("audit", "--json").out):
        assert added["secret"] not in output
        assert "s3cret" not in output


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--since", "1h", "--until", "2h"), 2, "--until must be later than --since"),
        (("--invoice", "nowhere"), 1, "there is no invoice or order 'nowhere'"),
        (("--limit", "-1"), 2, "--limit"),
    ],
)
def test_what_can_not_be_asked_is_one_line(invoices, arguments, code, said):
    ran = invoices("audit", *arguments)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (code, "", 1)
    assert said in ran.err


def test_where_nobody_did_anything_it_says_so(invoices):
    ran = invoices("audit")
    assert (ran.code, ran.out) == (0, "")
    assert "nobody did anything by hand" in ran.err


@pytest.mark.parametrize("value", ["", "   ", "x" * 101])
def test_a_name_that_will_not_do_stops_the_act(invoices, add_order, value):
    add_order("order-1")
    assert invoices("cancel", "order-1", "--by", value).code == 2
    assert invoices("show", "order-1", "--json").lines[0]["status"] == "queued"
    assert acts(invoices) == []


def test_each_command_that_changes_something_by_hand_leaves_its_act(invoices, add_order, store, monkeypatch):
    monkeypatch.setenv("INVOICES_WEBHOOK_ALLOW", "127.0.0.1:9")
    invoice = add_order("order-1", account="zeroxhost")
    store.judge([Judgement(invoice, Created(provider_ref="r-1"))])
    (added,) = invoices("endpoints", "add", "http://127.0.0.1:9/hook", "--json").lines
    (event,) = invoices("events", invoice, "--json").lines
    for command in (
        ("recheck", invoice),
        ("mark", invoice, "paid", "--reason", "seen on the chain"),
        ("deliveries", "replay", event["id"], "--endpoint", added["id"]),
        ("endpoints", "disable", added["id"]),
        ("endpoints", "enable", added["id"]),
        ("endpoints", "change", added["id"], "--max-in-flight", "3"),
        ("endpoints", "rotate", added["id"]),
        ("endpoints", "reseal"),
        ("endpoints", "remove", added["id"]),
        ("restored", "--epoch", "1"),
    ):
        ran = invoices(*command, "--by", "bob")
        assert ran.code == 0, (command, ran.err)

    told = [act["act"] for act in acts(invoices, "--by", "bob")][::-1]
    assert told == [
        "invoice.recheck",
        "invoice.mark",
        "events.replay",
        "endpoint.disable",
        "endpoint.enable",
        "endpoint.change",
        "endpoint.rotate",
        "endpoint.reseal",
        "endpoint.remove",
        "endpoint.removed",
        "database.restored",
    ]
    assert [act["act"] for act in acts(invoices, "--invoice", invoice)] == [
        "events.replay",
        "invoice.mark",
        "invoice.recheck",
    ]


def test_an_act_that_changes_nothing_leaves_none(invoices, add_order, store):
    invoice = add_order("order-1")
    store.judge([Judgement(invoice, CancelRequested(reason="sold out"))])
    assert invoices("cancel", invoice).code == 0
    assert invoices("redrive", "doubt", invoice).code == 1
    assert invoices("restored", "--dry-run").code == 0
    assert acts(invoices) == []
