"""`invoices list` and `events`, chosen by status, order, account, type and time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from domain.evidence import CancelRequested, Created
from domain.refused_order import RefusedOrder
from tests.contracts.store_cases import change
from workers.store.intake import Rejection
from workers.store.judging import Judgement
from workers.store.tables import EVENT, INVOICE


@pytest.fixture
def three(add_order, store):
    """Queued, pending and cancelled, each an hour older than the one before; newest first."""
    ids = [add_order(f"order-{number}", account=("nebulox", "zeroxhost")[number % 2]) for number in range(3)]
    store.judge([Judgement(ids[1], Created(provider_ref="77")), Judgement(ids[0], CancelRequested(reason="x"))])
    now = store.now()
    with store.database.transaction() as connection:
        for number, invoice_id in enumerate(ids[::-1]):
            at = now - timedelta(hours=number, seconds=1)
            connection.execute(INVOICE.update().where(INVOICE.c.id == invoice_id).values(created_at=at))
            connection.execute(EVENT.update().where(EVENT.c.invoice_id == invoice_id).values(created_at=at))
    return ids[::-1]


def ids_of(ran):
    return [line["id"] for line in ran.lines]


def test_several_statuses_are_listed_together(invoices, three):
    queued, pending, cancelled = three
    both = invoices("list", "--json", "--status", "queued", "--status", "cancelled")
    assert ids_of(both) == [queued, cancelled]
    assert ids_of(invoices("list", "--json", "--status", "pending")) == [pending]


def test_an_order_and_a_span_of_time_are_listed(invoices, three, add_order):
    queued, pending, cancelled = three
    assert ids_of(invoices("list", "--json", "--order", "order-1")) == [pending]
    assert ids_of(invoices("list", "--json", "--order", "order-1", "--account", "nebulox")) == []
    assert ids_of(invoices("list", "--json", "--until", "30m")) == [pending, cancelled]
    assert ids_of(invoices("list", "--json", "--since", "90m", "--until", "30m")) == [pending]
    assert ids_of(invoices("list", "--json", "--since", "30m")) == [queued]
    assert invoices("list", "--since", "30m", "--until", "90m").code == 2
    assert invoices("list", "--status", "pending", "--status", "payed").code == 2


def types_of(ran):
    return [line["type"] for line in ran.lines]


def test_events_are_chosen_by_type_account_and_time(invoices, three):
    assert types_of(invoices("events", "--json")) == ["invoice.cancelled", "invoice.pending"]
    assert types_of(invoices("events", "--json", "--type", "invoice.pending")) == ["invoice.pending"]
    both = invoices("events", "--json", "--type", "invoice.pending", "--type", "invoice.cancelled", "--limit", 1)
    assert types_of(both) == ["invoice.cancelled"]
    assert types_of(invoices("events", "--json", "--account", "zeroxhost")) == ["invoice.pending"]
    assert types_of(invoices("events", "--json", "--account", "nebulox", "--limit", 1)) == ["invoice.cancelled"]
    assert types_of(invoices("events", "--json", "--until", "90m")) == ["invoice.cancelled"]
    assert types_of(invoices("events", "--json", "--since", "90m")) == ["invoice.pending"]
    assert invoices("events", "order-1", "--json", "--type", "invoice.paid").out == ""
    assert types_of(invoices("events", "order-1", "--json", "--since", "90m")) == ["invoice.pending"]


def test_an_event_shows_its_order(invoices, three):
    lines = invoices("events").out.splitlines()
    assert lines[0].split()[:3] == ["AT", "ORDER", "EVENT"]
    assert [line.split()[2] for line in lines[1:]] == ["order-0", "order-1"]


def test_an_event_shows_its_place_in_the_log_once_it_has_one(invoices, store, three, add_order):
    store.add_standing()
    (held,) = store.publishing.claim_publisher(1, 60.0)
    assert len(store.publishing.place_events(held, 10)) == 2
    late = add_order("order-9", account="zeroxhost")
    store.judge([Judgement(late, Created(provider_ref="78"))])
    lines = invoices("events", "--json").lines
    assert [(line["type"], line["position"]) for line in lines] == [
        ("invoice.pending", None),
        ("invoice.cancelled", 2),
        ("invoice.pending", 1),
    ]
    assert [line["position"] for line in invoices("events", three[1], "--json").lines] == [1]
    assert [line["position"] for line in invoices("events", late, "--json").lines] == [None]
    heading, newest, *_ = invoices("events", "--limit", 2).out.splitlines()
    place = slice(heading.index("POSITION"), heading.index("PUBLISHED"))
    assert newest[place].strip() == ""
    assert invoices("events").out.splitlines()[2][place].strip() == "2"


def test_an_event_is_printed_in_its_very_bytes_with_the_position_behind_them(invoices, store, three):
    with store.database.reading() as connection:
        (body,) = connection.execute(select(EVENT.c.body).where(EVENT.c.invoice_id == three[1])).scalars()
    assert invoices("events", three[1], "--json").out == body.decode()[:-1] + ',"position":null}\n'


def test_an_order_that_was_refused_is_told_with_its_account(invoices, store, three):
    refused = RefusedOrder("nebulox", "order-9", "order-9")
    store.reject([Rejection("k", "invoices.create", "price: no", "{}", True, refused)])
    assert types_of(invoices("events", "--json", "--account", "nebulox")) == ["order.rejected", "invoice.cancelled"]
    assert types_of(invoices("events", "--json", "--account", "zeroxhost")) == ["invoice.pending"]
    assert "order-9" in invoices("events", "--type", "order.rejected").out


@pytest.mark.parametrize(
    "arguments",
    [("--type", "invoice.payed"), ("--since", "1h", "--until", "2h"), ("--follow", "--since", "1h"), ("--since", "x")],
)
def test_what_no_event_can_be_is_wrong_usage(invoices, arguments):
    ran = invoices("events", *arguments)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)


ALL_CLEAR = [("list",), ("events",), ("drift", "list"), ("contradictions",), ("why", "order-1")]


@pytest.mark.parametrize("command", ALL_CLEAR)
def test_an_account_that_nobody_knows_is_no_all_clear(invoices, command):
    for flags in ((), ("--json",)):
        ran = invoices(*command, "--account", "nope", *flags)
        there = "there are nebulox, zeroxhost"
        said = f"invoices: --account: no account 'nope' is configured or has an invoice; {there}\n"
        assert (ran.code, ran.out, ran.err) == (1, "", said)


@pytest.mark.parametrize("command", ALL_CLEAR)
def test_an_account_that_is_configured_or_has_invoices_may_have_nothing(invoices, add_order, store, command):
    change(store.database, INVOICE, INVOICE.c.id == add_order("order-1"), account="gone", provider_account="gone")
    for account in ("gone", "zeroxhost"):
        assert invoices(*command, "--account", account, "--json").code == 0


def test_a_rejected_order_of_an_account_that_nobody_knows_says_why(invoices, store):
    raw = '{"account": "nope", "order_id": "order-1"}'
    refused = RefusedOrder("nope", "order-1", "order-1", "invalid", "account: unknown")
    store.reject([Rejection("1", "invoices.create", "account: unknown", raw, True, refused)])
    assert invoices("why", "order-1", "--account", "nope", "--json").lines[0]["cause"] == "rejected_message"


def test_events_of_a_rejected_order_are_listed_whatever_account_it_named(invoices, store):
    refused = RefusedOrder("nope", "order-1", "order-1", "invalid", "account: unknown")
    store.reject([Rejection("1", "invoices.create", "account: unknown", "{}", True, refused)])
    assert types_of(invoices("events", "--account", "nope", "--json")) == ["order.rejected"]


def test_an_account_that_nobody_knows_is_not_followed(invoices):
    assert invoices("events", "--follow", "--account", "nope").code == 1


def test_deliveries_to_an_endpoint_that_does_not_exist_are_no_all_clear(invoices):
    for flags in ((), ("--json",), ("--missed",)):
        ran = invoices("deliveries", "list", "--endpoint", "ep_typo", *flags)
        said = "invoices: there is no endpoint 'ep_typo' (see: invoices endpoints list)\n"
        assert (ran.code, ran.out, ran.err) == (1, "", said)
