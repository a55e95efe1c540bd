"""Of each invoice only the newest event is sent once more; what waited before it is set aside, and written down."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import pytest

from tests.contracts.replay_cases import age, chosen, deliver_all, deliveries, grow, play
from tests.contracts.store_cases import (
    OPERATOR,
    change,
    deliveries_of,
    events_of,
    now,
    pend,
    rows,
    subscribe,
)
from workers.store import replay
from workers.store.deliveries import DeliveryAttempt
from workers.store.operate.replay import plan, run
from workers.store.operate.replay_jobs import begin, work_on
from workers.store.reads.acts import act_fields, list_acts
from workers.store.replay import Choice
from workers.store.replay_jobs import find_job
from workers.store.tables import AGENDA, DELIVERY


def test_of_each_invoice_only_its_newest_event_is_sent_and_what_waited_before_it_is_set_aside(database, store):
    endpoint_id = subscribe(database)
    first, second, silent = pend(store, 3)
    grow(store, first, "confirming", "paid")
    grow(store, second, "confirming")
    newest = chosen(database, endpoint_id, newest_only=True)

    with database.transaction() as connection:
        aside = replay.set_aside(connection, database, endpoint_id, newest)
        sent = replay.replay(connection, database, endpoint_id, newest)

    assert [(each.invoice_id, each.sequence) for each in newest] == [(silent, 1), (first, 3), (second, 2)]
    assert (sent, aside) == (3, 3)
    assert [row.state for row in deliveries_of(database, first)] == ["dead", "dead", "due"]
    assert sorted(sequence for _, sequence in deliver_all(store, endpoint_id)) == [1, 2, 3]
    assert rows(database, AGENDA, AGENDA.c.stage == "deliver") == []
    assert len(chosen(database, endpoint_id, dead_only=True)) == 3


def test_the_newest_event_is_the_newest_of_those_that_the_endpoint_takes(database, store):
    endpoint_id = subscribe(database, ["invoice.pending", "invoice.confirming"])
    (invoice_id,) = pend(store)
    grow(store, invoice_id, "confirming", "paid")

    def sequences(**given):
        return [each.sequence for each in chosen(database, endpoint_id, newest_only=True, **given)]

    assert sequences() == [2]
    assert sequences(types=["invoice.pending"]) == [1]
    numbers = [event.number for event in events_of(database, invoice_id)]
    assert sequences(numbers=(0, numbers[0])) == [1], "what came after the job began is told by itself"
    age(database, numbers[0], timedelta(days=40))
    assert sequences(until=now(database) - timedelta(days=30)) == [], "its newest event lies outside"


def test_an_event_that_is_being_sent_while_it_is_set_aside_ends_as_it_is_answered(database, store):
    endpoint_id = subscribe(database)
    (taken, refused) = pend(store, 2)
    under_way = {one.claim.subject.rpartition("/")[2]: one for one in deliveries(store, endpoint_id)}
    for invoice_id in (taken, refused):
        grow(store, invoice_id, "paid")
    newest = chosen(database, endpoint_id, newest_only=True)
    with database.transaction() as connection:
        assert replay.set_aside(connection, database, endpoint_id, newest) == 2
        replay.replay(connection, database, endpoint_id, newest)

    store.settle([DeliveryAttempt(under_way[taken], "delivered", None, 204, 1, b"")])
    store.settle([DeliveryAttempt(under_way[refused], "failed", "status: 503", 503, 1, b"", 60.0)])

    assert [row.state for row in deliveries_of(database, taken)] == ["delivered", "due"]
    assert [row.state for row in deliveries_of(database, refused)] == ["dead", "due"]
    assert sorted(sequence for _, sequence in deliver_all(store, endpoint_id)) == [2, 2]


def test_what_an_endpoint_does_not_have_is_chosen_whether_it_waits_or_was_given_up(database, store):
    endpoint_id = subscribe(database)
    delivered, dead, _ = pend(store, 3)
    for one in deliveries(store, endpoint_id):
        outcome: Literal["delivered", "failed"] = "delivered" if one.claim.subject.endswith(delivered) else "failed"
        wait = None if one.claim.subject.endswith(dead) else 3600.0
        store.settle([DeliveryAttempt(one, outcome, None, 500, 1, b"", wait)])

    missed = chosen(database, endpoint_id, missed_only=True)

    assert len(missed) == 2
    assert delivered not in {each.invoice_id for each in missed}
    assert play(database, endpoint_id, missed) == 2
    assert len(deliver_all(store, endpoint_id)) == 2


def test_a_job_sends_the_newest_events_alone_and_writes_down_what_it_set_aside(database, store):
    endpoint_id = subscribe(database)
    ids = pend(store, 3)
    for invoice_id in ids:
        grow(store, invoice_id, "confirming", "paid")
    choice = Choice(endpoint_id, missed_only=True, newest_only=True)

    job = begin(store, OPERATOR, choice)
    assert work_on(store)

    assert (job.total, job.choice.newest_only) == (3, True)
    done = database.read(find_job, job.id)
    assert (done.state, done.sent, done.choice) == ("done", 3, choice)
    (act,) = [act_fields(row) for row in list_acts(database, limit=0) if row.act == "events.replay"]
    after = act["after"]
    assert isinstance(after, dict)
    assert (after["newest_only"], after["set_aside"]) == (True, 6)
    assert [sequence for _, sequence in deliver_all(store, endpoint_id)] == [3, 3, 3]


@pytest.mark.parametrize("as_job", [False, True], ids=["command", "job"])
def test_what_is_set_aside_is_written_down_though_somebody_else_sent_the_newest(database, store, monkeypatch, as_job):
    endpoint_id = subscribe(database)
    (invoice_id,) = pend(store)
    grow(store, invoice_id, "paid")
    newest = deliveries_of(database, invoice_id)[-1].id
    change(database, DELIVERY, DELIVERY.c.id == newest, state="dead", next_try_at=None)
    choice = Choice(endpoint_id, types=["invoice.paid"], dead_only=True, newest_only=True)
    planned = plan(store, choice)
    begin(store, OPERATOR, choice)
    change(database, DELIVERY, DELIVERY.c.id == newest, state="delivered")

    if as_job:  # sent after the batch was read
        monkeypatch.setattr("workers.store.operate.replay_jobs.choose", lambda *_, **__: planned.events)
        assert work_on(store)
    else:
        assert run(store, OPERATOR, planned) == 0

    assert [row.state for row in deliveries_of(database, invoice_id)] == ["dead", "delivered"]
    (act,) = [act_fields(row) for row in list_acts(database, limit=0) if row.act == "events.replay"]
    after = act["after"]
    assert isinstance(after, dict)
    assert (after["events"], after["set_aside"]) == (0, 1)
