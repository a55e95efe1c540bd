"""An event that arrives while its pair is being delivered is not forgotten, whoever comes first.

The writer (a judgement) inserts the delivery and then pokes the pair's agenda row; the completion (``settle``) locks
that row, then looks for what is next. Each order of the two is forced: by a transaction that is held open, or by
holding a connection just before one of its statements, and observed in the database's own view of its locks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from tests.contracts.store_cases import (
    DEADLINE_SECONDS,
    Background,
    agenda_of,
    deliveries_of,
    in_threads,
    judge,
    open_store,
    pend,
    seen,
    subscribe,
    wait_until,
    wait_until_blocked,
)
from workers.store import deliveries, judging
from workers.store.database import Database
from workers.store.deliveries import DeliveryAttempt
from workers.store.judging import Judgement


@pytest.fixture
def pair(database):
    """A store, an endpoint, an invoice, and its first event's delivery, claimed and being delivered."""
    store, endpoint_id = open_store(database), subscribe(database)
    (invoice_id,) = pend(store)
    (delivery,) = take_deliveries(store, endpoint_id)
    return store, endpoint_id, invoice_id, delivery


def take_deliveries(store, endpoint_id):
    return store.claim_deliveries(endpoint_id, 10, 60.0)


def assert_next_is_due(store, endpoint_id, sequence):
    """The pair's row is free, due now, and points at the event of this number."""
    (delivery,) = take_deliveries(store, endpoint_id)
    assert f'"sequence":"{sequence:012d}"'.encode() in delivery.body
    assert delivery.claim.lost is False


@contextmanager
def held_before(database: Database, statement: str):
    """Holds this database's first connection that is about to run such a statement; yields (reached, let go)."""
    reached, let_go = threading.Event(), threading.Event()

    def hold(_connection: Any, _cursor: Any, text: str, _parameters: Any, _context: Any, _many: bool) -> None:
        if text.lstrip().startswith(statement) and not reached.is_set():
            reached.set()
            let_go.wait(DEADLINE_SECONDS)

    event.listen(database.engine, "before_cursor_execute", hold)
    try:
        yield reached, let_go
    finally:
        let_go.set()
        event.remove(database.engine, "before_cursor_execute", hold)


def judge_paid(store, connection, invoice_id):
    return judging.judge(connection, store.database, store.policy_of, [Judgement(invoice_id, seen("paid"))])


@pytest.mark.parametrize("wait_seconds", [None, 0.0])
@pytest.mark.parametrize("outcome", ["delivered", "failed"])
def test_the_writer_commits_before_the_completion_gets_the_lock(database, pair, outcome, wait_seconds):
    store, endpoint_id, invoice_id, delivery = pair
    with database.transaction() as connection:
        judge_paid(store, connection, invoice_id)
        completion = Background(lambda: store.settle([DeliveryAttempt(delivery, outcome, wait_seconds=wait_seconds)]))
        wait_until_blocked(database)
    completion.result()
    still_due = outcome == "failed" and wait_seconds is not None
    assert_next_is_due(store, endpoint_id, 1 if still_due else 2)


def test_the_writer_waits_for_the_completions_lock(database, pair):
    store, endpoint_id, invoice_id, delivery = pair
    with database.transaction() as connection:
        deliveries.settle(connection, database, [DeliveryAttempt(delivery, "delivered")])
        writer = Background(lambda: judge(store, invoice_id, seen("paid")))
        wait_until_blocked(database)
    assert writer.result().event_type == "invoice.paid"
    assert_next_is_due(store, endpoint_id, 2)


def test_the_writer_waits_for_a_completion_that_keeps_the_row(database, pair):
    store, endpoint_id, invoice_id, delivery = pair
    with database.transaction() as connection:
        deliveries.settle(connection, database, [DeliveryAttempt(delivery, "failed", wait_seconds=0.0)])
        writer = Background(lambda: judge(store, invoice_id, seen("paid")))
        wait_until_blocked(database)
    writer.result()
    assert_next_is_due(store, endpoint_id, 1)
    assert [row.state for row in deliveries_of(database, invoice_id)] == ["due", "due"]


def test_the_completion_comes_between_the_writers_delivery_and_its_poke(database, pair):
    """The completion can't see the delivery yet and takes the row away: the poke has to bring it back."""
    store, endpoint_id, invoice_id, delivery = pair
    other = Database(database.engine.url.render_as_string(hide_password=False))
    try:
        with held_before(other, "INSERT INTO agenda") as (reached, let_go):
            writer = Background(lambda: judge(open_store(other), invoice_id, seen("paid")))
            assert reached.wait(DEADLINE_SECONDS)
            completion = Background(lambda: store.settle([DeliveryAttempt(delivery, "delivered")]))
            if database.is_postgresql:
                completion.result()
                assert agenda_of(database, f"{endpoint_id}/{invoice_id}") == {}
            let_go.set()
            writer.result()
            completion.result()
    finally:
        other.close()
    assert_next_is_due(store, endpoint_id, 2)


def test_the_writer_comes_between_the_completions_lock_and_its_look(database, pair):
    """The writer's delivery is there, its poke waits: the completion's look misses it, and the poke brings the row."""
    store, endpoint_id, invoice_id, delivery = pair
    other = Database(database.engine.url.render_as_string(hide_password=False))
    try:
        with held_before(other, "INSERT INTO delivery_attempt") as (reached, let_go):
            completion = Background(lambda: open_store(other).settle([DeliveryAttempt(delivery, "delivered")]))
            assert reached.wait(DEADLINE_SECONDS)
            writer = Background(lambda: judge(store, invoice_id, seen("paid")))
            wait_until_blocked(database)
            let_go.set()
            completion.result()
            writer.result()
    finally:
        other.close()
    assert_next_is_due(store, endpoint_id, 2)


def test_two_completions_of_one_pair_point_at_the_same_next_event(database, pair):
    """A lost lease's holder and the new one, at the same moment."""
    store, endpoint_id, invoice_id, delivery = pair
    judge(store, invoice_id, seen("paid"))
    with database.transaction() as connection:
        deliveries.settle(connection, database, [DeliveryAttempt(delivery, "delivered")])
        second = Background(lambda: store.settle([DeliveryAttempt(delivery, "delivered")]))
        wait_until_blocked(database)
    second.result()
    assert [row.state for row in deliveries_of(database, invoice_id)] == ["delivered", "due"]
    assert_next_is_due(store, endpoint_id, 2)


def test_events_and_deliveries_side_by_side_end_with_everything_delivered_in_order(database):
    store, endpoint_id = open_store(database), subscribe(database)
    ids = pend(store, 12)
    told: list[tuple[str, int]] = []
    done = threading.Event()

    def write() -> None:
        for word in ("confirming", "paid", "refunded"):
            for one in ids:
                judge(store, one, seen(word))

    def deliver() -> None:
        def sweep() -> bool:
            finished = done.is_set()
            deliveries = take_deliveries(open_store(database), endpoint_id)
            told.extend((delivery.claim.subject.split("/")[1], delivery.delivery_id) for delivery in deliveries)
            store.settle([DeliveryAttempt(delivery, "delivered") for delivery in deliveries])
            return finished and not deliveries

        wait_until(sweep, "everything delivered")

    def write_then_say() -> None:
        try:
            write()
        finally:
            done.set()

    actions: list[Callable[[], Any]] = [write_then_say, deliver, deliver]
    in_threads(*actions)
    for one in ids:
        found = deliveries_of(database, one)
        assert [row.state for row in found] == ["delivered"] * 4
        assert [number for invoice_id, number in told if invoice_id == one] == [row.id for row in found]
        assert agenda_of(database, f"{endpoint_id}/{one}") == {}
