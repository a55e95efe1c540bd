"""What the console reads of endpoints, of their deliveries, and of what a person settles: on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.evidence import InDoubt
from tests.contracts.operator_cases import doubtful, rejected, unmatched
from tests.contracts.store_cases import (
    ACCOUNT,
    change,
    disable_endpoint,
    invoice_of,
    judge,
    now,
    pend,
    queue,
    rows,
    seen,
    subscribe,
)
from workers.store.deliveries import DeliveryAttempt
from workers.store.endpoints import find_endpoint
from workers.store.intake import Rejection
from workers.store.reads import deliveries, settling
from workers.store.reads.deliveries import Wanted, find_delivery, page_of_deliveries
from workers.store.reads.settling import (
    count_unmatched,
    find_unmatched,
    page_of_contradictions,
    page_of_doubts,
    page_of_rejected,
    page_of_unmatched,
)
from workers.store.reads.tries import QUARTER, read_doing, shown_tries
from workers.store.tables import ATTEMPT, DELIVERY, EVENT

LEASE = 60.0


def settle(store, endpoint_id, outcome="delivered", wait=None, status=200):
    """Every delivery that is due is tried once."""
    for one in store.claim_deliveries(endpoint_id, 1000, LEASE):
        error = None if outcome == "delivered" else f"status: {status}"
        store.settle([DeliveryAttempt(one, outcome, error, status, 12, b"an answer", wait)])


def all_pages(database, wanted, limit):
    """The numbers of all deliveries that are found, page by page."""
    found = []
    while True:
        page = database.read(page_of_deliveries, wanted, limit)
        found += [row.id for row, _ in page.rows]
        if page.next is None:
            return found
        wanted = Wanted(**{name: getattr(wanted, name) for name in Wanted.__slots__} | {"before": page.next})


@pytest.fixture
def told(database, store):
    """Two endpoints, one of which took what there was and fails since; six invoices, paid."""
    ours, theirs = subscribe(database), subscribe(database, ["invoice.paid"])
    ids = pend(store, 6)
    settle(store, ours)
    for one in ids:
        judge(store, one, seen("paid"))
    settle(store, ours, "failed", 600.0, 503)
    return ours, theirs, ids


@pytest.mark.parametrize(("look", "limit"), [(2, 1), (4, 50), (5000, 4)])
def test_pages_of_deliveries_hold_each_once_newest_event_first(database, store, told, monkeypatch, look, limit):
    ours, theirs, ids = told
    monkeypatch.setattr(deliveries, "LOOK", look)
    monkeypatch.setattr(deliveries, "WINDOW", min(look, 500))
    there = rows(database, DELIVERY)
    at = now(database)
    for wanted, matches in (
        (Wanted(), lambda _: True),
        (Wanted(endpoints=[ours]), lambda row: row.endpoint_id == ours),
        (Wanted(endpoints=[]), lambda _: False),
        (Wanted(state="due"), lambda row: row.state == "due"),
        (Wanted(state="delivered"), lambda row: row.state == "delivered"),
        (Wanted(endpoints=[ours], state="delivered"), lambda row: row.endpoint_id == ours and row.state == "delivered"),
        (Wanted(endpoints=[theirs], type="invoice.pending"), lambda _: False),
        (Wanted(type="invoice.paid"), lambda row: row.sequence == 2),
        (Wanted(invoice=ids[2]), lambda row: row.invoice_id == ids[2]),
        (Wanted(since=at - timedelta(hours=1), until=at + timedelta(hours=1)), lambda _: True),
        (Wanted(since=at + timedelta(hours=1)), lambda _: False),
    ):
        found = all_pages(database, wanted, limit)
        expected = [row for row in there if matches(row)]
        expected.sort(key=lambda row: (row.event_number, row.endpoint_id), reverse=True)
        assert found == [row.id for row in expected], wanted


def test_what_waits_for_a_disabled_endpoint_is_parked(database, store, told):
    ours, theirs, _ = told
    disable_endpoint(database, theirs)

    parked = [row for row, _ in database.read(page_of_deliveries, Wanted(state="parked"), 50).rows]
    assert {row.endpoint_id for row in parked} == {theirs}
    assert {row.shown_state for row in parked} == {"parked"}
    due = database.read(page_of_deliveries, Wanted(state="due"), 50).rows
    assert {row.endpoint_id for row, _ in due} == {ours}


def test_one_delivery_comes_with_its_tries_and_the_bytes_of_its_event(database, store, told):
    ours, _, _ = told
    number = rows(database, DELIVERY, DELIVERY.c.endpoint_id == ours)[0].id
    row, tries = database.read(find_delivery, number)

    event = rows(database, EVENT, EVENT.c.number == row.event_number)[0]
    assert bytes(row.body) == bytes(event.body)
    assert (row.event_id, row.order_id) == (event.id, invoice_of(database, row.invoice_id).order_id)
    assert [(one.status, bytes(one.answer)) for one in tries] == [(200, b"an answer")]
    assert database.read(find_delivery, 999_999) is None


def test_how_an_endpoint_does_is_read_from_its_newest_tries_and_from_what_waits(database, store, told):
    ours, theirs, _ = told
    doing = database.read(read_doing, database, database.read(find_endpoint, ours), 1000)

    assert (doing.waiting.events, doing.waiting.invoices, doing.waiting.is_more) == (6, 6, False)
    assert doing.tries.since(QUARTER) == (6, 12)
    assert (doing.failing.status, doing.tries.is_part, doing.takes_some) == (503, False, False)
    shown = database.read(shown_tries, [row.id for row in doing.tries.rows])
    assert [row.id for row in shown] == [row.id for row in doing.tries.rows]
    assert {row.type for row in shown} == {"invoice.pending", "invoice.paid"}
    change(database, ATTEMPT, ATTEMPT.c.outcome == "delivered", at=now(database) - timedelta(days=2))
    later = database.read(read_doing, database, doing.endpoint, 6)
    assert (later.tries.since(QUARTER), later.tries.is_part) == ((0, 6), True)
    silent = database.read(read_doing, database, database.read(find_endpoint, theirs), 1000)
    assert (silent.tries.rows, silent.failing, silent.last_success_at, silent.waiting.events) == ([], None, None, 6)


def test_what_waits_is_counted_no_further_than_told(database, store, told, monkeypatch):
    monkeypatch.setattr("workers.store.reads.tries.COUNTED", 4)
    doing = database.read(read_doing, database, database.read(find_endpoint, told[0]), 1000)
    assert (doing.waiting.events, doing.waiting.is_more) == (5, True)


def test_invoices_in_doubt_say_whether_they_go_on_by_themselves(database, store):
    held = queue(store, "nebulox")
    judge(store, held, InDoubt(reason="no answer"))
    again = doubtful(store)

    found, following = database.read(page_of_doubts, None, None, 10)
    assert {row.id: row.due_at is None for row in found} == {held: True, again: False}
    assert following is None
    first, following = database.read(page_of_doubts, None, None, 1)
    assert [row.id for row in database.read(page_of_doubts, None, following, 1)[0]] == [
        one for one in (held, again) if one != first[0].id
    ]
    assert [row.id for row in database.read(page_of_doubts, {"nebulox"}, None, 10)[0]] == [held]


def test_callbacks_without_an_invoice_are_listed_for_who_sees_their_account(database, store):
    number = unmatched(store)

    assert [row.id for row in database.read(page_of_unmatched, None, None, 10)[0]] == [number]
    assert database.read(page_of_unmatched, {"nebulox"}, None, 10) == ([], None)
    assert database.read(page_of_unmatched, None, number, 10) == ([], None)
    assert database.read(count_unmatched, 10) == {ACCOUNT: 1}
    assert database.read(find_unmatched, number, {"nebulox"}) is None
    assert database.read(find_unmatched, number, {ACCOUNT}).id == number


def test_messages_are_listed_for_who_sees_the_account_that_they_name(database, store, monkeypatch):
    monkeypatch.setattr(settling, "LOOK", 2)
    rejected(store)
    for number in range(5):
        account = ACCOUNT if number % 2 else "nebulox"
        store.reject(
            [Rejection(f"{number}" * 64, "invoices.create", "no", f'{{"account": "{account}"}}', complete=True)]
        )

    found, before = [], None
    while True:
        page, before = database.read(page_of_rejected, {ACCOUNT}, before, 1)
        found += [row.message_key[0] for row in page]
        if before is None:
            break
    assert found == ["3", "1"]
    assert len(database.read(page_of_rejected, None, None, 10)[0]) == 5


def test_contradictions_are_listed_until_they_are_settled(database, store, monkeypatch):
    monkeypatch.setattr(settling, "LOOK", 2)
    ids = pend(store, 3)
    for one in ids:
        judge(store, one, seen("paid"))
        judge(store, one, seen("expired"))

    found, before = [], None
    while True:
        page, before = database.read(page_of_contradictions, None, before, 1)
        found += [row.invoice_id for row in page]
        if before is None:
            break
    assert found == ids[::-1]
    assert database.read(page_of_contradictions, {"nebulox"}, None, 10)[0] == []
