"""Events sent once more: in order, with the ids they had, and never more than was asked for."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Literal

import pytest

from tests.contracts.store_cases import (
    OPERATOR,
    agenda_of,
    change,
    deliveries_of,
    disable_endpoint,
    enable_endpoint,
    events_of,
    in_threads,
    invoice_of,
    judge,
    now,
    pend,
    rows,
    seen,
    subscribe,
)
from workers.store import replay
from workers.store.deliveries import DeliveryAttempt
from workers.store.judging import Judgement
from workers.store.operate.replay import Choice, plan, run
from workers.store.operate.replay_jobs import begin, work_on
from workers.store.reads.acts import act_fields, list_acts
from workers.store.replay_jobs import find_job
from workers.store.seek import first_number
from workers.store.tables import AGENDA, DELIVERY, EVENT

LEASE = 60.0


def grow(store, invoice_id, *statuses):
    for status in statuses:
        judge(store, invoice_id, seen(status))


def deliveries(store, endpoint_id):
    return store.claim_deliveries(endpoint_id, 1000, LEASE)


def deliver_all(store, endpoint_id):
    """Every delivery that is due, in the order they were sent: (event id, sequence)."""
    sent = []
    while batch := deliveries(store, endpoint_id):
        sent += [
            (delivery.event_id, int(json.loads(delivery.body)["sequence"]))
            for delivery in batch
            if delivery.delivery_id
        ]
        store.settle([DeliveryAttempt(delivery, "delivered", None, 204, 1, b"") for delivery in batch])
    return sent


def chosen(database, endpoint_id, **given):
    with database.reading() as connection:
        return replay.choose(connection, endpoint_id, **({"limit": 1000} | given))


def play(database, endpoint_id, events, **given):
    with database.transaction() as connection:
        return replay.replay(connection, database, endpoint_id, events, **given)


def age(database, number, by):
    with database.transaction() as connection:
        at = database.now(connection) - by
        connection.execute(EVENT.update().where(EVENT.c.number == number).values(created_at=at))


def test_a_replay_sends_the_same_events_in_order_with_their_ids_and_all_their_tries(database, store):
    endpoint_id = subscribe(database)
    first, second = pend(store, 2)
    for invoice_id in (first, second):
        grow(store, invoice_id, "confirming", "paid")
    before = deliver_all(store, endpoint_id)

    assert play(database, endpoint_id, chosen(database, endpoint_id)) == 6

    again = rows(database, DELIVERY)
    assert {(row.state, row.tries, row.finished_at) for row in again} == {("due", 0, None)}
    after = deliver_all(store, endpoint_id)
    assert sorted(after) == sorted(before)
    of_first = {event.id for event in events_of(database, first)}
    for sent in ([each for each in after if each[0] in of_first], [each for each in after if each[0] not in of_first]):
        assert [sequence for _, sequence in sent] == [1, 2, 3]
    assert rows(database, AGENDA, AGENDA.c.stage == "deliver") == []


def test_one_event_may_be_sent_to_an_endpoint_that_was_added_later_and_would_not_have_had_it(database, store):
    (invoice_id,) = pend(store)
    late = subscribe(database, ["invoice.paid"])
    (event,) = events_of(database, invoice_id)
    with database.reading() as connection:
        found = replay.find_event(connection, event.id)
        assert found is not None
        assert replay.find_event(connection, "evt_none") is None
        assert replay.endpoints_of(connection, found) == []

    assert play(database, late, [found]) == 1

    assert deliver_all(store, late) == [(event.id, 1)]
    with database.reading() as connection:
        assert replay.endpoints_of(connection, found) == [late]


def test_an_endpoint_s_events_are_chosen_by_what_it_had_or_would_have_had(database, store):
    had = subscribe(database, ["invoice.pending"])
    (invoice_id,) = pend(store)
    grow(store, invoice_id, "confirming", "paid")
    late = subscribe(database, ["invoice.paid"])
    everything = subscribe(database)

    def types(endpoint_id, **given):
        kinds = {event.number: event.type for event in events_of(database, invoice_id)}
        return [kinds[each.number].removeprefix("invoice.") for each in chosen(database, endpoint_id, **given)]

    assert types(had) == ["pending"]
    assert types(late) == ["paid"]
    assert types(everything) == ["pending", "confirming", "paid"]
    assert types(everything, types=["invoice.paid", "invoice.pending"]) == ["pending", "paid"]
    assert types(late, types=["invoice.confirming"]) == ["confirming"]
    assert types(everything, limit=2) == ["pending", "confirming"]


def test_an_endpoint_s_events_are_chosen_by_their_time(database, store):
    endpoint_id = subscribe(database)
    (invoice_id,) = pend(store)
    grow(store, invoice_id, "confirming", "paid")
    numbers = [event.number for event in events_of(database, invoice_id)]
    for number, days in zip(numbers, (10, 5, 1), strict=True):
        age(database, number, timedelta(days=days))
    with database.reading() as connection:
        now = database.now(connection)

    def found(**days):
        times = {name: now - timedelta(days=value) for name, value in days.items()}
        return [numbers.index(each.number) + 1 for each in chosen(database, endpoint_id, **times)]

    assert found(since=7) == [2, 3]
    assert found(until=7) == [1]
    assert found(since=7, until=3) == [2]
    assert found(since=0.5) == []
    assert found(until=20) == []


def test_dead_letters_alone_are_revived(database, store):
    endpoint_id = subscribe(database)
    (invoice_id,) = pend(store)
    grow(store, invoice_id, "paid")
    (delivery,) = deliveries(store, endpoint_id)
    store.settle([DeliveryAttempt(delivery, "failed", "status: 500", 500, 1, b"", None)])
    assert len(deliver_all(store, endpoint_id)) == 1

    events = chosen(database, endpoint_id, dead_only=True)
    assert [event.sequence for event in events] == [1]
    assert play(database, endpoint_id, chosen(database, endpoint_id), dead_only=True) == 1
    assert play(database, endpoint_id, events, dead_only=True) == 0  # alive again
    assert [row.state for row in deliveries_of(database, invoice_id)] == ["due", "delivered"]
    assert deliver_all(store, endpoint_id) == [(delivery.event_id, 1)]


def test_a_replayed_event_goes_before_a_newer_one_that_waits_for_its_next_try(database, store):
    endpoint_id = subscribe(database)
    (invoice_id,) = pend(store)
    deliver_all(store, endpoint_id)
    grow(store, invoice_id, "paid")
    (delivery,) = deliveries(store, endpoint_id)
    store.settle([DeliveryAttempt(delivery, "failed", "status: 500", 500, 1, b"", 3600.0)])
    assert deliveries(store, endpoint_id) == []

    first, second = chosen(database, endpoint_id)
    play(database, endpoint_id, [first])
    assert deliver_all(store, endpoint_id) == [(events_of(database, invoice_id)[0].id, 1)]
    assert deliver_all(store, endpoint_id) == []  # the newer one still waits its hour

    play(database, endpoint_id, [second])
    assert deliver_all(store, endpoint_id) == [(delivery.event_id, 2)]


def test_an_event_that_is_being_sent_is_left_to_its_holder_and_its_tries_count_anew(database, store):
    endpoint_id = subscribe(database)
    (invoice_id,) = pend(store)
    with database.transaction() as connection:
        connection.execute(DELIVERY.update().values(tries=11))
    (delivery,) = deliveries(store, endpoint_id)

    play(database, endpoint_id, chosen(database, endpoint_id))

    assert deliveries(store, endpoint_id) == []  # nobody else may send it now
    store.settle([DeliveryAttempt(delivery, "failed", "status: 500", 500, 1, b"", None)])  # its last try, begun before
    (row,) = deliveries_of(database, invoice_id)
    assert (row.state, row.tries) == ("due", 0)
    assert deliver_all(store, endpoint_id) == [(delivery.event_id, 1)]


def test_what_is_replayed_to_a_disabled_endpoint_waits_until_it_is_enabled(database, store):
    endpoint_id = subscribe(database)
    pend(store)
    deliver_all(store, endpoint_id)
    disable_endpoint(database, endpoint_id)

    assert play(database, endpoint_id, chosen(database, endpoint_id)) == 1

    assert store.live_endpoints() == []
    assert enable_endpoint(database, endpoint_id) == 1
    assert len(deliver_all(store, endpoint_id)) == 1


def test_a_row_that_was_parked_with_its_pair_is_taken_up_again(database, store):
    endpoint_id = subscribe(database)
    (invoice_id,) = pend(store)
    with database.transaction() as connection:
        connection.execute(AGENDA.update().where(AGENDA.c.stage == "deliver").values(due_at=None, claims=6))

    play(database, endpoint_id, chosen(database, endpoint_id))

    row = agenda_of(database, f"{endpoint_id}/{invoice_id}")["deliver"]
    assert (row.due_at is not None, row.claims) == (True, 0)


def test_events_or_endpoints_that_are_gone_are_left_out(database, store):
    endpoint_id = subscribe(database)
    (invoice_id,) = pend(store)
    (event,) = chosen(database, endpoint_id)

    assert play(database, "ep_none", [event]) == 0
    assert play(database, endpoint_id, [replay.Chosen(event.number + 1000, invoice_id, 9)]) == 0
    assert len(rows(database, DELIVERY)) == 1


def test_the_first_number_of_a_time_is_found_by_a_few_looks(database, store):
    ids = pend(store, 40)
    numbers = sorted(event.number for invoice_id in ids for event in events_of(database, invoice_id))
    for days, number in enumerate(reversed(numbers)):
        age(database, number, timedelta(days=days + 1))
    with database.transaction() as connection:  # and numbers have gaps
        connection.execute(EVENT.delete().where(EVENT.c.number.in_(numbers[10:20])))
        now = database.now(connection)

    def first(days):
        with database.reading() as connection:
            return first_number(connection, EVENT.c.number, EVENT.c.created_at, now - timedelta(days=days))

    for days in range(1, 20):
        assert first(days + 0.5) == numbers[40 - days]
    assert numbers[9] < first(25.5) <= numbers[20]
    assert first(1000) == numbers[0]
    assert first(0) == numbers[-1] + 1
    assert invoice_of(database, ids[0]).sequence == 1


def test_the_first_number_of_an_empty_table_is_none_at_all(database):
    with database.reading() as connection:
        assert first_number(connection, EVENT.c.number, EVENT.c.created_at, database.now(connection)) == 0


def test_replaying_delivering_writing_removing_and_enabling_at_once_lock_nobody_out_and_lose_nothing(database, store):
    endpoint_id = subscribe(database)
    ids = pend(store, 12)
    store.publishing.mark_published([event.number for event in store.publishing.unpublished(1000)])
    sent: list[tuple[str, int]] = []

    def write():
        for status in ("confirming", "paid", "refunded"):
            for start in range(0, len(ids), 4):
                store.judge([Judgement(invoice_id, seen(status)) for invoice_id in ids[start : start + 4]])

    def deliver():
        for _ in range(12):
            sent.extend(deliver_all(store, endpoint_id))

    def play_all():
        for _ in range(6):
            play(database, endpoint_id, chosen(database, endpoint_id)[::-1])

    def switch():
        for _ in range(6):
            disable_endpoint(database, endpoint_id)
            enable_endpoint(database, endpoint_id)

    def remove():
        for _ in range(6):
            store.remove_finished(timedelta(days=1))

    in_threads(write, deliver, deliver, play_all, switch, remove)
    sent += deliver_all(store, endpoint_id)

    assert {row.state for row in rows(database, DELIVERY)} == {"delivered"}
    assert {event_id for event_id, _ in sent} == {event.id for event in rows(database, EVENT)}
    assert rows(database, AGENDA, AGENDA.c.stage == "deliver") == []
    assert {len(events_of(database, invoice_id)) for invoice_id in ids} == {4}


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

    assert (job.total, job.newest_only) == (3, True)
    done = database.read(find_job, job.id)
    assert (done.state, done.sent, done.missed_only, done.newest_only) == ("done", 3, True, True)
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
