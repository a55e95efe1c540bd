"""On 80 columns ids can be copied and a row is a line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.evidence import Created, Marked
from domain.status import Status
from domain.why.cause import Cause
from workers.cli.health import COLUMNS
from workers.cli.output import print_table
from workers.cli.watch import draw_newest
from workers.store.callbacks import NewCallback
from workers.store.deliveries import DeliveryAttempt
from workers.store.intake import Rejection
from workers.store.judging import Judgement

ORDERS = [f"shop-2026-{number:05}" for number in range(3)]
LONG = "price: must be greater than 0, and this is a reason that goes on for longer than a line can be"


@pytest.fixture
def narrow(invoices, add_order, store, monkeypatch):
    """The command on a terminal of 80 columns, with rows of every kind in which all is long; their invoices' ids."""
    monkeypatch.setenv("INVOICES_WEBHOOK_ALLOW", "127.0.0.1:9")
    assert invoices("endpoints", "add", "http://127.0.0.1:9/hook").code == 0
    ids = [add_order(order, account="zeroxhost") for order in ORDERS]
    store.judge([Judgement(one, Created(provider_ref=one[-9:], address="0x" + "7" * 40)) for one in ids])
    store.reject([Rejection(str(n), "invoices.create", LONG, '{"account": "zeroxhost"}' * 9, True) for n in range(3)])
    monkeypatch.setenv("COLUMNS", "80")
    return ids


@pytest.mark.parametrize("command", [("list",), ("events",), ("rejected",), ("deliveries", "list")])
def test_a_row_is_a_line_that_fits(narrow, invoices, command):
    ran = invoices(*command)
    heading, *rows = ran.out.splitlines()
    assert len(rows) == 3, ran.out
    assert max(map(len, [heading, *rows])) <= 80, ran.out
    assert "no room for" in ran.err


@pytest.mark.parametrize("number", [1, 9999])
def test_what_is_late_has_its_example_whole_whatever_the_cause_is(capsys, monkeypatch, number):
    monkeypatch.setenv("COLUMNS", "80")
    lines = ((cause.value, number, datetime(2026, 11, 29, tzinfo=UTC), f"inv_{'a' * 32}") for cause in Cause)
    print_table(COLUMNS, lines, empty="nothing")
    out, err = capsys.readouterr()
    assert (out.splitlines()[0].split(), err) == (["CAUSE", "N", "SINCE", "EXAMPLE"], "")
    assert max(map(len, out.splitlines())) <= 80
    assert out.count(f"inv_{'a' * 32}") == len(Cause)


def test_deliveries_say_when_they_are_tried_next_and_what_came_last(narrow, invoices, store):
    (endpoint,) = [one["id"] for one in invoices("endpoints", "list", "--json").lines]
    for delivery in store.claim_deliveries(endpoint, 3, 60):
        how: dict[str, Any] = {"error": "status: 503", "status": 503, "latency_ms": 12, "wait_seconds": 60.0}
        store.settle([DeliveryAttempt(delivery, "failed", **how)])
    every = invoices("deliveries", "list").out.splitlines()
    assert every[0].split() == ["ID", "INVOICE", "STATE", "TRIES", "NEXT", "TRY", "LAST"]
    heading, line = invoices("deliveries", "list", "--invoice", narrow[0]).out.splitlines()
    assert heading.split() == ["ID", "EVENT", "STATE", "TRIES", "NEXT", "TRY", "LAST"]
    assert line.split()[1:4] == ["1", "invoice.pending", "due"]
    assert line.endswith("status: 503")
    of_endpoint = invoices("deliveries", "list", "--endpoint", endpoint, "--invoice", narrow[0])
    assert (max(map(len, [*every, heading, line])) <= 80, of_endpoint.err) == (True, "")


def test_ids_are_whole(narrow, invoices):
    for row, invoice_id, order in zip(invoices("list").out.splitlines()[1:], narrow[::-1], ORDERS[::-1], strict=True):
        assert invoice_id in row
        assert order in row
    for command in (("events",), ("deliveries", "list")):
        out = invoices(*command).out
        whole = ORDERS if command == ("events",) else narrow
        assert [one for one in whole if one not in out] == []


def test_in_a_pipe_nothing_is_cut(narrow, invoices, monkeypatch):
    monkeypatch.delenv("COLUMNS")
    ran = invoices("rejected")
    assert (ran.err, ran.out.count(LONG), len(ran.out.splitlines())) == ("", 3, 4)
    assert '{"account": "zeroxhost"}' * 9 in ran.out


def test_unmatched_callbacks_too(narrow, invoices, store):
    told: Any = {"order_id": "no-such-order-0001", "reference": "100061", "word": "COMPLETED", "amount": None}
    store.keep_callbacks([NewCallback(account="nebulox", digest="d", body=b"{}", headers="{}", **told)])
    with store.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE callback SET state = 'unmatched', reason = 'nobody knows the order'")
    heading, row = invoices("unmatched", "list").out.splitlines()
    assert len(row) <= 80
    assert "no-such-order-0001" in row
    assert heading.startswith("ID")


def test_what_operators_did_is_a_line_each_with_the_invoice_whole(narrow, invoices):
    why = "the customer wrote to us and asked for her money back at once"
    for invoice_id in narrow:
        assert invoices("cancel", invoice_id, "--reason", why).code == 0
    heading, *lines = invoices("audit").out.splitlines()
    assert max(map(len, [heading, *lines])) <= 80
    assert all(one in line for one, line in zip(narrow[::-1], lines, strict=False))


def test_contradictions_are_a_line_each_with_the_invoice_whole(narrow, invoices, store):
    for one in narrow:
        assert invoices("mark", one, "failed", "--reason", "for the test").code == 0
        store.judge([Judgement(one, Marked(status=Status.PAID, by="a test", reason="it was paid"))])
    heading, *lines = invoices("contradictions").out.splitlines()
    assert max(map(len, [heading, *lines])) <= 80
    assert [one in line for one, line in zip(narrow[::-1], lines, strict=True)] == [True] * 3


def test_endpoints_and_tokens_are_a_line_each_with_their_ids_whole(narrow, invoices):
    name, many = "a-service-with-a-long-name", ("--scope", "orders", "--scope", "read", "--account", "nebulox")
    made = invoices("tokens", "add", name, *many, "--days", "30", "--json").lines
    heading, line = invoices("tokens", "list").out.splitlines()
    assert max(len(heading), len(line)) <= 80
    assert made[0]["id"] in line
    (endpoint,) = invoices("endpoints", "list", "--json").lines
    heading, line = invoices("endpoints", "list").out.splitlines()
    assert max(len(heading), len(line)) <= 80
    assert endpoint["id"] in line


def test_an_endpoint_without_a_filter_is_said_to_get_the_invoices_events(narrow, invoices, monkeypatch):
    monkeypatch.delenv("COLUMNS")
    assert "  invoice.*  enabled" in invoices("endpoints", "list").out


def test_the_live_view_has_a_line_for_each_invoice_with_its_order_whole(narrow, invoices):
    out = invoices("watch", "--seconds", "0").out
    assert max(map(len, out.splitlines())) <= 80
    for order in ORDERS:
        (line,) = [line for line in out.splitlines() if order in line]
        assert "pending" in line


def test_the_live_view_of_nothing_has_its_heading(capsys):
    from rich.console import Console

    Console(width=80).print(draw_newest([]))
    assert "ORDER" in capsys.readouterr().out


@pytest.mark.parametrize("group", ["unmatched", "deliveries", "endpoints", "callbacks", "redrive"])
def test_a_group_alone_prints_its_help_as_it_is_laid_out(invoices, group):
    ran = invoices(group)
    assert ran.code == 2
    assert ran.out.startswith(f"Usage: invoices {group} ")
    assert "\nCommands:\n" in ran.out
    assert ran.err == f"invoices: invoices {group} needs a command\n"
