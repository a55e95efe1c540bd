"""What came of a try settles the delivery that was claimed, and no other that has its id by then.

SQLite gives out ids of removed rows again. PostgreSQL does so after a restore of an old backup; here by hand.
"""

from __future__ import annotations

import asyncio

import fakeredis
import pytest

from tests.contracts.store_cases import (
    Background,
    agenda_of,
    attempts_of,
    change,
    deliveries_of,
    judge,
    make_due,
    now,
    open_store,
    pend,
    remove_endpoint,
    rows,
    seen,
    subscribe,
    wait_until_blocked,
)
from tests.contracts.webhook_cases import Receiver, answer, sender
from workers.coordination.breaker import Breaker
from workers.delivery.secretbox import SecretBox, new_key
from workers.delivery.signature import new_secret
from workers.stages import DeliverStage
from workers.store import deliveries
from workers.store.deliveries import DeliveryAttempt
from workers.store.tables import AGENDA, ATTEMPT, DELIVERY, ENDPOINT

OUTCOMES = [("delivered", None), ("failed", 30.0), ("failed", None), ("gone", None)]


def claimed(store, endpoint_id):
    """The only delivery that an endpoint has due."""
    (delivery,) = store.claim_deliveries(endpoint_id, 10, 60.0)
    return delivery


def replace_endpoint(database, endpoint_id, number):
    """Another endpoint in its place, and another invoice whose event's delivery has this id: (endpoint, invoice)."""
    assert remove_endpoint(database, endpoint_id) == 1
    assert rows(database, DELIVERY) == []
    other = subscribe(database)
    (invoice_id,) = pend(open_store(database))
    if database.is_postgresql:
        change(database, DELIVERY, DELIVERY.c.invoice_id == invoice_id, id=number)
    assert [row.id for row in deliveries_of(database, invoice_id)] == [number]
    return other, invoice_id


def assert_untouched(database, invoice_id):
    (row,) = deliveries_of(database, invoice_id)
    assert (row.state, row.tries, row.finished_at) == ("due", 0, None)
    assert rows(database, ATTEMPT) == []


@pytest.mark.parametrize(("outcome", "wait_seconds"), OUTCOMES)
def test_a_try_of_a_removed_endpoint_settles_nobody_elses_delivery(database, outcome, wait_seconds):
    store, endpoint_id = open_store(database), subscribe(database)
    pend(store)
    delivery = claimed(store, endpoint_id)
    other, invoice_id = replace_endpoint(database, endpoint_id, delivery.delivery_id)
    store.settle_free([DeliveryAttempt(delivery, outcome, wait_seconds=wait_seconds)])
    assert_untouched(database, invoice_id)
    store.settle([DeliveryAttempt(claimed(store, other), "failed", wait_seconds=30.0)])
    (row,) = deliveries_of(database, invoice_id)
    assert (row.state, row.tries) == ("due", 1)
    assert [attempt.outcome for attempt in attempts_of(database, row.id)] == ["failed"]


def test_tries_of_both_in_one_batch_count_each_for_its_own(database):
    store, endpoint_id = open_store(database), subscribe(database)
    pend(store)
    gone = claimed(store, endpoint_id)
    other, invoice_id = replace_endpoint(database, endpoint_id, gone.delivery_id)
    kept = claimed(store, other)
    store.settle([DeliveryAttempt(gone, "delivered"), DeliveryAttempt(kept, "failed", wait_seconds=30.0)])
    (row,) = deliveries_of(database, invoice_id)
    assert (row.state, row.tries) == ("due", 1)
    assert [attempt.outcome for attempt in attempts_of(database, row.id)] == ["failed"]


@pytest.mark.parametrize(("outcome", "wait_seconds"), OUTCOMES)
def test_a_try_of_a_delivery_that_is_gone_leaves_no_row(database, outcome, wait_seconds):
    store, endpoint_id = open_store(database), subscribe(database)
    pend(store)
    delivery = claimed(store, endpoint_id)
    remove_endpoint(database, endpoint_id)
    assert store.settle_free([DeliveryAttempt(delivery, outcome, wait_seconds=wait_seconds)]) == []
    assert rows(database, ATTEMPT) == rows(database, DELIVERY) == []


def test_a_late_success_settles_no_later_event_of_its_invoice(database):
    """The lease was lost, its event delivered by another and removed as old; the invoice's next event has the id."""
    store, endpoint_id = open_store(database), subscribe(database)
    (invoice_id,) = pend(store)
    late = claimed(store, endpoint_id)
    make_due(database, late.claim.subject)
    store.settle([DeliveryAttempt(claimed(store, endpoint_id), "delivered")])
    with database.transaction() as connection:
        connection.execute(ATTEMPT.delete())
        connection.execute(DELIVERY.delete())
    judge(store, invoice_id, seen("paid"))
    change(database, DELIVERY, DELIVERY.c.invoice_id == invoice_id, id=late.delivery_id)
    store.settle([DeliveryAttempt(late, "delivered")])
    assert_untouched(database, invoice_id)
    assert b'"sequence":"000000000002"' in claimed(store, endpoint_id).body


def test_an_endpoint_is_removed_with_the_try_that_is_just_written_down(database):
    """Of a lost lease: the pair has no agenda row any more that both would wait for."""
    store, endpoint_id = open_store(database), subscribe(database)
    pend(store)
    delivery = claimed(store, endpoint_id)
    change(database, DELIVERY, DELIVERY.c.id == delivery.delivery_id, state="dead")
    with database.transaction() as connection:
        connection.execute(AGENDA.delete().where(AGENDA.c.subject == delivery.claim.subject))
    with database.transaction() as connection:
        deliveries.settle(connection, database, [DeliveryAttempt(delivery, "delivered")])
        removal = Background(lambda: remove_endpoint(database, endpoint_id))
        wait_until_blocked(database)
    assert removal.result() == 1
    assert rows(database, ATTEMPT) == rows(database, DELIVERY) == []


def test_a_receiver_that_answers_after_its_endpoint_was_removed_delivers_nobody_elses(database):
    store, box, endpoint_id = open_store(database), SecretBox([new_key()]), subscribe(database)
    pend(store)

    async def story():
        reply = asyncio.Event()

        async def when_told(_receiver, writer):
            await reply.wait()
            writer.write(answer(200))
            await writer.drain()

        async with Receiver(when_told) as receiver, sender() as one:
            given = {"url": receiver.url, "secrets": box.seal(new_secret())}
            change(database, ENDPOINT, ENDPOINT.c.id == endpoint_id, **given)
            work = DeliverStage(store, one, Breaker(fakeredis.FakeAsyncRedis()), lambda: box).work()
            assert work.lanes() == [endpoint_id]
            delivery = claimed(store, endpoint_id)
            assert work.perform is not None
            sending = asyncio.ensure_future(work.perform(endpoint_id, [delivery]))
            await receiver.asked.wait()
            replaced = replace_endpoint(database, endpoint_id, delivery.delivery_id)
            reply.set()
            return *replaced, await sending

    other, invoice_id, (attempt,) = asyncio.run(story())
    assert (attempt.outcome, attempt.status) == ("delivered", 200)
    store.settle_free([attempt])
    assert_untouched(database, invoice_id)
    (row,) = agenda_of(database, f"{other}/{invoice_id}").values()
    assert row.lease_token is None
    assert row.due_at <= now(database)
