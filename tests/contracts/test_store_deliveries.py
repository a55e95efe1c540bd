"""Webhooks on their way: in order per pair, one row a pair, every try written down, nothing dropped."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from sqlalchemy import update

from domain.decision import Stage
from domain.evidence import CancelRequested
from tests.contracts.store_cases import (
    agenda_of,
    attempts_of,
    created,
    deliveries_of,
    enable_endpoint,
    invoice_of,
    judge,
    make_due,
    open_store,
    pend,
    queue,
    rows,
    seen,
    subscribe,
)
from workers.store.deliveries import GONE_REST, DeliveryAttempt
from workers.store.judging import Judgement
from workers.store.tables import AGENDA, DELIVERY, ENDPOINT

LEASE = 60.0


def deliveries(store, endpoint_id, lease_seconds=LEASE):
    """What an endpoint's lane has to send now."""
    return store.claim_deliveries(endpoint_id, 100, lease_seconds)


def sent(delivery):
    """The event's sequence."""
    return int(json.loads(delivery.body)["sequence"])


def delivered(delivery):
    return DeliveryAttempt(delivery, "delivered", None, 200, 12, b"ok")


def failed(delivery, wait_seconds=30.0):
    return DeliveryAttempt(delivery, "failed", "HTTP 503", 503, 7, b"busy", wait_seconds)


def states(database, invoice_id):
    return [row.state for row in deliveries_of(database, invoice_id)]


def pair_row(database, endpoint_id, invoice_id):
    return agenda_of(database, f"{endpoint_id}/{invoice_id}").get("deliver")


def test_an_event_makes_a_delivery_and_rings_the_endpoint(database):
    rung: list[Any] = []
    store, endpoint_id = open_store(database, rung), subscribe(database)
    (invoice_id,) = pend(store)
    (row,) = deliveries_of(database, invoice_id)
    assert (row.endpoint_id, row.sequence, row.state, row.tries) == (endpoint_id, 1, "due", 0)
    planned = pair_row(database, endpoint_id, invoice_id)
    assert (planned.lane, planned.claims) == (endpoint_id, 0)
    assert planned.due_at <= store.now()
    assert (Stage.DELIVER, endpoint_id) in rung


def test_a_pair_has_one_row_however_many_events_wait_and_they_go_in_order(database):
    store, endpoint_id = open_store(database), subscribe(database)
    (invoice_id,) = pend(store)
    for word in ("partially_paid", "confirming", "paid"):
        judge(store, invoice_id, seen(word))
    assert len(rows(database, AGENDA, AGENDA.c.stage == "deliver")) == 1
    order = []
    while batch := deliveries(store, endpoint_id):
        assert len(batch) == 1
        order.append(sent(batch[0]))
        assert deliveries(store, endpoint_id) == []
        store.settle([delivered(batch[0])])
    assert order == [1, 2, 3, 4]
    assert states(database, invoice_id) == ["delivered"] * 4
    assert pair_row(database, endpoint_id, invoice_id) is None


def test_several_events_of_one_batch_are_numbered_in_their_order(database):
    store, endpoint_id = open_store(database), subscribe(database)
    ids = [queue(store) for _ in range(20)]
    steps: list[Any] = [created, lambda: seen("confirming"), lambda: seen("paid")]
    store.judge([Judgement(one, step()) for one in reversed(ids) for step in steps])
    for one in ids:
        found = deliveries_of(database, one)
        assert [row.sequence for row in found] == [1, 2, 3]
        assert [row.event_number for row in found] == sorted(row.event_number for row in found)
    assert {sent(delivery) for delivery in deliveries(store, endpoint_id)} == {1}


def test_endpoints_and_invoices_do_not_wait_for_each_other(database):
    store, slow, fast = open_store(database), subscribe(database), subscribe(database)
    first, second = pend(store, 2)
    stuck = [delivery for delivery in deliveries(store, slow) if delivery.claim.subject.endswith(first)]
    store.settle([failed(stuck[0], 3600.0)])
    judge(store, first, seen("paid"))
    judge(store, second, seen("paid"))
    assert len(deliveries(store, fast)) == 2
    assert {delivery.claim.subject for delivery in deliveries(store, slow)} == set()
    make_due(database, f"{slow}/{second}")
    assert [delivery.claim.subject for delivery in deliveries(store, slow)] == [f"{slow}/{second}"]


def test_a_filter_lets_only_its_types_through(database):
    store, endpoint_id = open_store(database), subscribe(database, ["invoice.paid", "invoice.expired"])
    (invoice_id,) = pend(store)
    judge(store, invoice_id, seen("confirming"))
    assert pair_row(database, endpoint_id, invoice_id) is None
    judge(store, invoice_id, seen("paid"))
    assert [row.sequence for row in deliveries_of(database, invoice_id)] == [3]
    assert [sent(delivery) for delivery in deliveries(store, endpoint_id)] == [3]


def test_a_failed_try_waits_its_time_and_later_events_wait_with_it(database):
    store, endpoint_id = open_store(database), subscribe(database)
    (invoice_id,) = pend(store)
    (delivery,) = deliveries(store, endpoint_id)
    store.settle([failed(delivery, 30.0)])
    judge(store, invoice_id, seen("paid"))
    row, planned = deliveries_of(database, invoice_id)[0], pair_row(database, endpoint_id, invoice_id)
    assert (row.state, row.tries) == ("due", 1)
    assert row.next_try_at == planned.due_at
    assert 20 < (planned.due_at - store.now()).total_seconds() <= 30
    assert (planned.lease_token, planned.claims) == (None, 0)
    assert deliveries(store, endpoint_id) == []
    make_due(database, f"{endpoint_id}/{invoice_id}")
    (again,) = deliveries(store, endpoint_id)
    assert (sent(again), again.tries, again.event_id) == (1, 1, delivery.event_id)
    assert again.body == delivery.body
    store.settle([delivered(again)])
    assert [sent(delivery) for delivery in deliveries(store, endpoint_id)] == [2]


def test_every_try_is_written_down(database):
    store, endpoint_id = open_store(database), subscribe(database)
    (invoice_id,) = pend(store)
    store.settle([failed(deliveries(store, endpoint_id)[0])])
    make_due(database, f"{endpoint_id}/{invoice_id}")
    store.settle([delivered(deliveries(store, endpoint_id)[0])])
    (row,) = deliveries_of(database, invoice_id)
    first, second = attempts_of(database, row.id)
    assert (first.outcome, first.status, first.latency_ms, first.answer) == ("failed", 503, 7, b"busy")
    assert (first.error, first.next_try_at) == ("HTTP 503", first.at + timedelta(seconds=30))
    assert (second.outcome, second.status, second.error, second.next_try_at) == ("delivered", 200, None, None)
    assert (row.state, row.tries, row.finished_at) == ("delivered", 2, second.at)


def test_an_exhausted_event_is_a_dead_letter_and_releases_the_next(database):
    store, endpoint_id = open_store(database), subscribe(database)
    (invoice_id,) = pend(store)
    judge(store, invoice_id, seen("paid"))
    (delivery,) = deliveries(store, endpoint_id)
    store.settle([DeliveryAttempt(delivery, "failed", "HTTP 500", 500, 1, b"", None)])
    assert states(database, invoice_id) == ["dead", "due"]
    assert deliveries_of(database, invoice_id)[0].finished_at is not None
    assert [sent(delivery) for delivery in deliveries(store, endpoint_id)] == [2]


def test_an_endpoint_that_is_gone_is_disabled_and_its_deliveries_wait_for_it(database):
    store, endpoint_id = open_store(database), subscribe(database)
    (invoice_id,) = pend(store)
    (delivery,) = deliveries(store, endpoint_id)
    store.settle([DeliveryAttempt(delivery, "gone", "HTTP 410", 410, 3, b"")])
    (row,) = rows(database, ENDPOINT)
    rest = row.disabled_at + GONE_REST  # for a worker that does not know yet that it is disabled
    (waiting,) = deliveries_of(database, invoice_id)
    assert (waiting.next_try_at, pair_row(database, endpoint_id, invoice_id).due_at) == (rest, rest)
    assert (row.disabled_reason, row.disabled_at is not None) == ("HTTP 410", True)
    assert store.live_endpoints() == []
    judge(store, invoice_id, seen("paid"))
    assert states(database, invoice_id) == ["due", "due"]
    assert len(attempts_of(database, deliveries_of(database, invoice_id)[0].id)) == 1
    assert enable_endpoint(database, endpoint_id) == 1
    assert [receiver.id for receiver in store.live_endpoints()] == [endpoint_id]
    (again,) = deliveries(store, endpoint_id)
    assert (sent(again), again.event_id) == (1, delivery.event_id)


def test_a_pair_with_nothing_left_gives_an_empty_delivery_that_completes_its_row(database):
    store, endpoint_id = open_store(database), subscribe(database)
    (invoice_id,) = pend(store)
    with database.transaction() as connection:
        connection.execute(update(DELIVERY).values(state="delivered"))
    (delivery,) = deliveries(store, endpoint_id)
    assert delivery.delivery_id is None
    store.settle([DeliveryAttempt(delivery, "delivered")])
    assert pair_row(database, endpoint_id, invoice_id) is None


def test_a_try_under_a_lost_lease_counts_and_does_not_move_the_new_holders_row(database):
    store, endpoint_id = open_store(database), subscribe(database)
    (invoice_id,) = pend(store)
    judge(store, invoice_id, seen("paid"))
    (old,) = deliveries(store, endpoint_id, lease_seconds=0)
    (new,) = deliveries(store, endpoint_id)
    leased = pair_row(database, endpoint_id, invoice_id)
    store.settle([delivered(old)])
    assert states(database, invoice_id) == ["delivered", "due"]
    assert pair_row(database, endpoint_id, invoice_id) == leased
    store.settle([failed(new)])  # the same event, sent twice: what was delivered stays delivered
    row = deliveries_of(database, invoice_id)[0]
    assert (row.state, row.tries, len(attempts_of(database, row.id))) == ("delivered", 1, 2)
    assert [sent(delivery) for delivery in deliveries(store, endpoint_id)] == [2]


def test_an_event_delivered_by_a_late_holder_is_delivered_though_another_gave_it_up(database):
    store, endpoint_id = open_store(database), subscribe(database)
    (invoice_id,) = pend(store)
    (old,) = deliveries(store, endpoint_id, lease_seconds=0)
    (new,) = deliveries(store, endpoint_id)
    store.settle([DeliveryAttempt(new, "failed", "HTTP 500", 500, 1, b"", None)])
    assert states(database, invoice_id) == ["dead"]
    store.settle([delivered(old)])
    assert states(database, invoice_id) == ["delivered"]


def test_both_holders_of_a_pair_in_one_batch(database):
    store, endpoint_id = open_store(database), subscribe(database)
    (invoice_id,) = pend(store)
    judge(store, invoice_id, seen("paid"))
    (old,) = deliveries(store, endpoint_id, lease_seconds=0)
    (new,) = deliveries(store, endpoint_id)
    store.settle([delivered(new), failed(old)])
    assert states(database, invoice_id) == ["delivered", "due"]
    assert [sent(delivery) for delivery in deliveries(store, endpoint_id)] == [2]


def test_a_whole_batch_of_tries_is_settled_at_once(database):
    store, endpoint_id = open_store(database), subscribe(database)
    ids = pend(store, 60)
    for one in ids[:30]:
        judge(store, one, seen("paid"))
    even = [one for one in ids if one[-1] in "02468ace"]
    found = deliveries(store, endpoint_id)
    store.settle([delivered(one) if one.claim.subject.endswith(tuple(even)) else failed(one) for one in found])
    assert {row.invoice_id for row in rows(database, DELIVERY, DELIVERY.c.state == "delivered")} == set(even)
    due_now = {delivery.claim.subject for delivery in deliveries(store, endpoint_id)}
    assert due_now == {f"{endpoint_id}/{one}" for one in even if one in ids[:30]}
    store.settle([])


def test_odd_characters_of_a_receiver_are_kept_as_an_escape(database):
    store, endpoint_id = open_store(database), subscribe(database)
    (invoice_id,) = pend(store)
    (delivery,) = deliveries(store, endpoint_id)
    store.settle([DeliveryAttempt(delivery, "gone", "odd \x00 \ud800", 410, 1, b"\x00\xff")])
    (attempt,) = attempts_of(database, deliveries_of(database, invoice_id)[0].id)
    assert (attempt.error, attempt.answer) == ("odd \\x00 \\ud800", b"\x00\xff")
    assert rows(database, ENDPOINT)[0].disabled_reason == "odd \\x00 \\ud800"


def test_an_endpoint_that_is_added_later_is_told_from_then_on(database):
    store = open_store(database)
    (invoice_id,) = pend(store)
    endpoint_id = subscribe(database)
    judge(store, invoice_id, CancelRequested(reason="gave up"))
    assert invoice_of(database, invoice_id).status == "cancelled"
    assert [sent(delivery) for delivery in deliveries(store, endpoint_id)] == [2]
