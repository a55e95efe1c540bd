"""Events sent once more: in order, with the ids they had, and never more than was asked for."""

from __future__ import annotations

from datetime import timedelta

from tests.contracts.replay_cases import age, chosen, deliver_all, deliveries, grow, play
from tests.contracts.store_cases import (
    agenda_of,
    deliveries_of,
    disable_endpoint,
    enable_endpoint,
    events_of,
    in_threads,
    invoice_of,
    pend,
    rows,
    seen,
    subscribe,
)
from workers.store import replay
from workers.store.deliveries import DeliveryAttempt
from workers.store.judging import Judgement
from workers.store.seek import first_number
from workers.store.tables import AGENDA, DELIVERY, EVENT


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
