"""What is finished at every endpoint and old goes, in small batches; what somebody waits for stays, however old."""

from __future__ import annotations

import threading
from datetime import timedelta

from tests.contracts.store_cases import (
    Background,
    disable_endpoint,
    enable_endpoint,
    events_of,
    invoice_of,
    judge,
    pend,
    remove_endpoint,
    rows,
    seen,
    subscribe,
)
from workers.stages.retain import RETAIN_PAUSE_SECONDS, RETAIN_SECONDS, retain
from workers.store import replay, retention
from workers.store.agenda import RETAIN_LANE
from workers.store.deliveries import DeliveryAttempt
from workers.store.intake import Rejection
from workers.store.tables import AGENDA, ATTEMPT, DELIVERY, EVENT, EVIDENCE, INVOICE, REJECTED

OLD = timedelta(days=90)


def settle_all(store, endpoint_id, **outcome):
    for delivery in store.claim_deliveries(endpoint_id, 1000, 60):
        store.settle([DeliveryAttempt(delivery, **({"outcome": "delivered"} | outcome))])


def publish(store):
    store.publishing.mark_published([event.number for event in store.publishing.unpublished(10_000)])


def age(database, days=91, *conditions):
    """Let events and evidence be so old."""
    with database.transaction() as connection:
        at = database.now(connection) - timedelta(days=days)
        connection.execute(EVENT.update().where(*conditions).values(created_at=at))
        connection.execute(EVIDENCE.update().values(at=at))


def remove_all(store):
    """In as many batches as it takes."""
    removed = []
    while count := store.remove_finished(OLD):
        removed.append(count)
    return removed


def left(database):
    return [len(rows(database, table)) for table in (EVENT, DELIVERY, ATTEMPT, EVIDENCE)]


def test_old_events_go_with_their_deliveries_and_tries_and_old_evidence_too_but_no_invoice(database, store):
    endpoint_id = subscribe(database)
    ids = pend(store, 3)
    settle_all(store, endpoint_id)
    publish(store)
    assert left(database) == [3, 3, 3, 3]
    assert remove_all(store) == []  # not old

    age(database)
    assert sum(remove_all(store)) == 12

    assert left(database) == [0, 0, 0, 0]
    assert len(rows(database, INVOICE)) == 3
    judge(store, ids[0], seen("paid"))  # and its history goes on where it was
    assert [event.sequence for event in events_of(database, ids[0])] == [2]
    assert invoice_of(database, ids[0]).sequence == 2


def test_old_messages_that_were_turned_away_go_and_young_ones_stay(database, store):
    store.reject(
        [Rejection(f"key-{n}", "invoices.create", "price: is required", "{}", complete=True) for n in range(3)]
    )
    (first, second, third) = rows(database, REJECTED)
    with database.transaction() as connection:
        at = database.now(connection)
        for row, days in ((first, 91), (second, 91), (third, 89)):
            change = REJECTED.update().where(REJECTED.c.id == row.id)
            connection.execute(change.values(at=at - timedelta(days=days)))
        connection.execute(REJECTED.update().where(REJECTED.c.id == second.id).values(redriven_at=at))
    assert sum(remove_all(store)) == 2
    assert [row.id for row in rows(database, REJECTED)] == [third.id]


def test_what_an_endpoint_waits_for_stays_however_old_a_disabled_one_s_too(database, store):
    done, waiting, disabled = (subscribe(database) for _ in range(3))
    pend(store, 2)
    settle_all(store, done)
    settle_all(store, waiting, outcome="failed", error="status: 500", wait_seconds=3600.0)
    disable_endpoint(database, disabled, "status: 410")
    publish(store)
    age(database, 1000)
    store.remove_finished(OLD)

    assert left(database)[:3] == [2, 6, 4]

    remove_endpoint(database, waiting)
    store.remove_finished(OLD)
    assert left(database)[:3] == [2, 4, 2]  # the disabled one still waits
    enable_endpoint(database, disabled)
    settle_all(store, disabled)
    remove_all(store)
    assert left(database) == [0, 0, 0, 0]


def test_a_dead_letter_is_finished_and_what_the_stream_was_not_told_is_not(database, store):
    endpoint_id = subscribe(database)
    pend(store, 1)
    settle_all(store, endpoint_id, outcome="failed", error="status: 500", wait_seconds=None)
    age(database)
    remove_all(store)
    assert left(database)[:3] == [1, 1, 1]
    publish(store)
    remove_all(store)
    assert left(database)[:3] == [0, 0, 0]


def test_it_goes_in_small_batches(database, store, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    pend(store, 5)
    publish(store)
    age(database)
    assert remove_all(store) == [4, 4, 2]  # two events and two pieces of evidence at most


def test_what_is_young_stays_wherever_it_stands(database, store):
    ids = pend(store, 4)
    publish(store)
    young = events_of(database, ids[2])[0].number
    age(database, 91, EVENT.c.number != young)
    remove_all(store)
    assert [event.number for event in rows(database, EVENT)] == [young]


def test_an_event_that_is_being_replayed_stays(database, store):
    endpoint_id = subscribe(database)
    (invoice_id,) = pend(store)
    settle_all(store, endpoint_id)
    publish(store)
    age(database)
    with database.reading() as connection:
        events = replay.choose(connection, replay.Choice(endpoint_id), limit=10)
    replayed, go_on = threading.Event(), threading.Event()

    def replay_slowly():
        with database.transaction() as connection:
            replay.replay(connection, database, endpoint_id, events)
            replayed.set()
            assert go_on.wait(30)

    slow = Background(replay_slowly)
    assert replayed.wait(30)
    if database.is_postgresql:
        store.remove_finished(OLD)  # passes it by, and waits for nobody
        removal = Background(lambda: None)
    else:
        removal = Background(lambda: store.remove_finished(OLD))
    go_on.set()
    slow.result()
    removal.result()

    store.remove_finished(OLD)
    assert [row.state for row in rows(database, DELIVERY)] == ["due"]
    assert [event.invoice_id for event in rows(database, EVENT)] == [invoice_id]


def test_the_stage_goes_on_soon_while_there_is_something_and_rests_after(database, store):
    store.add_standing()
    pend(store, 1)
    publish(store)
    age(database)
    (work,) = retain(store, 90)

    def run():
        with database.transaction() as connection:
            connection.execute(
                AGENDA.update().where(AGENDA.c.stage == "retain").values(due_at=database.now(connection))
            )
        (claim,) = work.claim(RETAIN_LANE, 1)
        work.commit([claim])
        (row,) = rows(database, AGENDA, AGENDA.c.stage == "retain")
        assert row.lease_token is None
        return (row.due_at - claim.claimed_at).total_seconds()

    assert RETAIN_PAUSE_SECONDS <= run() < RETAIN_SECONDS
    assert run() >= RETAIN_SECONDS
    assert left(database) == [0, 0, 0, 0]


def test_with_nought_days_nothing_is_ever_removed(store):
    assert retain(store, 0) == []
