"""The overview's figures come from rows: how fast things went, what is open, what went otherwise than planned."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.evidence import CalledBack, InDoubt, OrderRefused
from domain.status import Anomaly, Status
from tests.contracts.store_cases import (
    ACCOUNT,
    SILENT_ACCOUNT,
    change,
    created,
    disable_endpoint,
    invoice_of,
    judge,
    now,
    open_store,
    order,
    pend,
    queue,
    rows,
    seen,
    subscribe,
    take,
)
from workers.store.callbacks import NewCallback
from workers.store.reads.figures.figures import read_figures
from workers.store.tables import AGENDA, CALLBACK, DELIVERY, EVENT, EVIDENCE, INVOICE

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
ETHER: dict[str, Any] = {"pay_amount": Decimal("0.100000000000000001"), "pay_currency": "ETH", "network": "Ethereum"}


@pytest.fixture
def store(database):
    return open_store(database)


@pytest.fixture
def look(database):
    return lambda: database.read(read_figures, database, [ACCOUNT, SILENT_ACCOUNT])


def put_back(database, table, ago, *columns):
    """Times of every row of a table, so long ago."""
    at = now(database) - ago
    change(database, table, table.c[columns[0]].is_not(None), **dict.fromkeys(columns, at))


def test_with_no_rows_there_is_nothing_to_measure(look):
    figures = look()

    assert figures.speeds.payable.overall() is None
    assert figures.arrivals.now_a_minute() == 0
    assert all(one.invoices == 0 for one in figures.standing.counts)
    assert figures.surprises.rows == []


def test_an_orders_way_to_its_first_payable_state_is_measured_once(database, store, look):
    (invoice,) = pend(store)
    judge(store, invoice, seen("confirming"))
    event = rows(database, EVENT, EVENT.c.sequence == 1)[0]
    change(database, INVOICE, INVOICE.c.id == invoice, created_at=event.created_at - 3 * SECOND)

    assert [one.seconds for one in look().speeds.payable.samples] == [3.0]


def test_an_order_that_should_be_payable_by_now_counts_with_its_age(database, store, look):
    queue(store)
    assert look().speeds.payable.samples == []

    put_back(database, INVOICE, 20 * SECOND, "created_at")
    (sample,) = look().speeds.payable.samples
    assert sample.seconds >= 20


def test_an_expiry_is_measured_from_its_time_and_one_that_the_provider_saw_earlier_is_not(database, store, look):
    late, early = pend(store, 2)
    for invoice in (late, early):
        judge(store, invoice, seen("expired"))
    ended = invoice_of(database, late).updated_at
    change(database, INVOICE, INVOICE.c.id == late, expires_at=ended - 2 * SECOND)

    (sample,) = look().speeds.lateness.samples
    assert 1.9 < sample.seconds < 2.5


def test_an_invoice_whose_time_is_over_counts_before_it_expires(database, store, look):
    (invoice,) = pend(store)
    change(database, INVOICE, INVOICE.c.id == invoice, expires_at=now(database) - MINUTE)
    change(database, AGENDA, AGENDA.c.subject == invoice, due_at=now(database) - MINUTE)

    (sample,) = look().speeds.lateness.samples
    assert sample.seconds >= 60


def called(database, store, invoice, word, status):
    """A callback is kept, matched and judged."""
    given = {"order_id": None, "reference": None, "word": word, "amount": None}
    store.keep_callbacks([NewCallback(account=ACCOUNT, digest=word, body=b"{}", headers="{}", **given)])
    change(database, CALLBACK, CALLBACK.c.state == "new", state="matched", invoice_id=invoice)
    judge(store, invoice, CalledBack(status=status, word=word, asked_at=now(database)))


def test_a_callbacks_change_is_measured_from_when_it_was_kept(database, store, look):
    (invoice,) = pend(store)
    called(database, store, invoice, "COMPLETED", Status.PAID)
    assert look().speeds.called.samples == []

    judge(store, invoice, seen("paid"))
    put_back(database, CALLBACK, 3 * SECOND, "at")
    paid = rows(database, EVENT, EVENT.c.sequence == 2)[0]
    change(database, CALLBACK, CALLBACK.c.id > 0, at=paid.created_at - SECOND)

    assert [(one.account, one.seconds) for one in look().speeds.called.samples] == [(ACCOUNT, 1.0)]


def test_a_change_that_a_callback_did_not_speak_of_is_not_measured_from_it(database, store, look):
    (invoice,) = pend(store)
    called(database, store, invoice, "WAITING", Status.PENDING)
    judge(store, invoice, seen("paid"))

    assert look().speeds.called.samples == []


def test_webhooks_count_once_delivered_and_while_they_are_late(database, store, look):
    endpoint = subscribe(database)
    pend(store)
    assert look().speeds.delivered.samples == []

    began = now(database) - 2 * MINUTE
    change(database, DELIVERY, DELIVERY.c.id > 0, created_at=began)
    (sample,) = look().speeds.delivered.samples
    assert sample.seconds >= 120
    assert sample.endpoint == endpoint

    change(database, DELIVERY, DELIVERY.c.id > 0, state="delivered", finished_at=began + SECOND)
    assert [one.seconds for one in look().speeds.delivered.samples] == [1.0]

    disable_endpoint(database, endpoint)
    assert look().speeds.delivered.samples == []


def test_orders_are_counted_by_account_and_minute(store, look):
    take(store, *(order(f"a-{number}") for number in range(3)), order("b", account=SILENT_ACCOUNT))

    assert look().arrivals.now_a_minute() == 4
    assert look().within({SILENT_ACCOUNT}, ()).arrivals.now_a_minute() == 1
    assert sum(one.orders for one in look().arrivals.came) == 4


def test_open_invoices_are_counted_with_the_oldest(database, store, look):
    first = queue(store)
    queue(store)
    pend(store, 3)
    judge(store, queue(store, SILENT_ACCOUNT), InDoubt(reason="no answer in 10 s"))

    standing = look().standing
    counted = {one.status: one.invoices for one in standing.counts}
    assert counted == {"queued": 2, "in_doubt": 1, "pending": 3, "partially_paid": 0, "confirming": 0}
    assert standing.counts[0].oldest_at == invoice_of(database, first).created_at
    assert sum(one.held for one in standing.groups) == 1  # by this account's policy
    assert len(standing.endings) == 3


def test_money_that_is_waited_for_is_summed_with_every_digit_by_asset(store, look):
    pend(store, 2, **ETHER)
    (partly, confirming) = pend(store, 2, **ETHER)
    judge(store, partly, seen("partially_paid", paid_amount=Decimal("0.04")))
    judge(store, confirming, seen("confirming", paid_amount=Decimal("0.1")))
    pend(store, 1, pay_amount=Decimal(30), pay_currency="USDT", network="Tron")

    found = {(one.status.value, one.asset): (one.to_come, one.seen) for one in look().standing.groups}
    assert found == {
        ("pending", "ETH"): (Decimal("0.200000000000000002"), None),
        ("partially_paid", "ETH"): (Decimal("0.060000000000000001"), Decimal("0.04")),
        ("confirming", "ETH"): (None, Decimal("0.1")),
        ("pending", "USDT"): (Decimal(30), None),
    }


def test_what_went_otherwise_than_planned_is_told_for_a_day(database, store, look):
    failed = queue(store)
    judge(store, failed, OrderRefused(reason="no such user"))
    (over, plain, back) = pend(store, 3)
    judge(store, over, seen("paid", paid_amount=Decimal(9), anomaly=Anomaly.OVERPAID))
    judge(store, plain, seen("paid"))
    judge(store, back, seen("paid"))
    judge(store, back, seen("refunded"))

    assert {row.id for row in look().surprises.rows} == {failed, over, back}
    change(database, INVOICE, INVOICE.c.id == failed, updated_at=now(database) - timedelta(days=2))
    assert {row.id for row in look().surprises.rows} == {over, back}


def test_who_sees_one_account_is_told_its_figures_only(store, look):
    (theirs,) = pend(store, 1, account=SILENT_ACCOUNT, **ETHER)
    pend(store, 2, **ETHER)
    judge(store, queue(store), OrderRefused(reason="no such user"))

    figures = look().within({SILENT_ACCOUNT}, ())
    assert {one.account for one in figures.standing.groups} == {SILENT_ACCOUNT}
    assert {one.status: one.invoices for one in figures.standing.counts if one.invoices} == {"pending": 1}
    assert figures.surprises.rows == []
    assert [one.name for one in figures.accounts] == [SILENT_ACCOUNT]
    assert {one.account for one in figures.speeds.payable.samples} <= {SILENT_ACCOUNT}
    assert theirs


def test_an_accounts_answers_are_told_with_their_times(database, store, look):
    (invoice,) = pend(store)
    judge(store, invoice, seen("confirming"))
    state = next(one for one in look().accounts if one.name == ACCOUNT)
    newest = rows(database, EVIDENCE)[-1]

    assert set(state.last) >= {"create"}
    assert state.answered_at == newest.at
    assert (state.waiting, state.doubts, state.put_off_until) == (0, 0, None)


def test_an_invoices_first_money_of_a_create_that_brought_it_counts_as_payable(store, look):
    invoice = queue(store)
    judge(store, invoice, created())

    assert len(look().speeds.payable.samples) == 1
