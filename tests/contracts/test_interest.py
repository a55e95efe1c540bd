"""Which endpoints an event is written for: those that want it, found by index, without a lock on any of them."""

from __future__ import annotations

import re
from contextlib import contextmanager

import pytest
from sqlalchemy import event, text

from domain.decision import Stage
from domain.event import INVOICE_TYPES, new_id
from tests.contracts.plan_cases import assert_by_index, explained
from tests.contracts.store_cases import (
    Background,
    deliveries_of,
    disable_endpoint,
    judge,
    now,
    pend,
    remove_endpoint,
    rows,
    seen,
    subscribe,
)
from workers.store.deliveries import DeliveryAttempt
from workers.store.judging import Judgement
from workers.store.operate import endpoints as operated
from workers.store.outbox import Interested, NewEvent, add_events, interested_in
from workers.store.tables import AGENDA, DELIVERY, ENDPOINT
from workers.store.writers import wait_for_writers

IDLE = 3000  #: endpoints that want something else


def add_idle(database, count=IDLE):
    with database.transaction() as connection:
        rows = [
            {"id": f"ep_idle_{number:05}", "url": "https://idle.example", "secrets": "s", "events": "invoice.refunded"}
            | {"headers": "{}", "max_in_flight": 1, "created_at": database.now(connection)}
            for number in range(count)
        ]
        connection.execute(ENDPOINT.insert(), rows)


@contextmanager
def statements(database):
    """What is sent to the database meanwhile, with the rows that were answered or written."""
    sent = []

    def note(_connection, cursor, statement, _parameters, _context, _many):
        sent.append((statement, cursor.rowcount))

    event.listen(database.engine, "after_cursor_execute", note)
    yield sent
    event.remove(database.engine, "after_cursor_execute", note)


def test_an_endpoint_gets_the_types_it_asked_for_and_without_a_filter_all_of_them(database):
    wanted = {one: subscribe(database, [one]) for one in INVOICE_TYPES}
    for_all, some = subscribe(database), subscribe(database, ["invoice.paid", "invoice.expired"])
    with database.reading() as connection:
        found = interested_in(connection, set(INVOICE_TYPES))
        for one in INVOICE_TYPES:
            expected = {wanted[one], for_all} | ({some} if one in {"invoice.paid", "invoice.expired"} else set())
            assert {each.endpoint for each in found[one]} == expected
            assert [each.endpoint for each in interested_in(connection, {one})[one]] == sorted(expected)


def test_a_type_that_no_index_knows_finds_the_endpoints_too(database):
    """As of a newer release, whose endpoints an older worker writes events for."""
    with database.transaction() as connection:
        new = {"id": "ep_new", "url": "u", "secrets": "s", "events": "invoice.it's new", "headers": "{}"}
        connection.execute(ENDPOINT.insert().values(**new, max_in_flight=1, created_at=database.now(connection)))
        assert interested_in(connection, {"invoice.it's new"}) == {"invoice.it's new": [Interested("ep_new")]}


@pytest.mark.parametrize("analyzed", [False, True])
def test_every_type_is_looked_for_in_an_index_of_its_own(database, analyzed):
    add_idle(database)
    wanted = subscribe(database, ["invoice.paid"])
    if analyzed:
        with database.transaction() as connection:
            connection.execute(text("ANALYZE endpoint" if database.is_postgresql else "ANALYZE"))

    def look(types):
        with database.reading() as connection:
            return interested_in(connection, types)

    for one in INVOICE_TYPES - {"invoice.refunded"}:
        plan = explained(database, lambda types=(one,): look(set(types)), r"SELECT '")
        assert re.search(rf"\bix_endpoint_{one.replace('.', '_')}\b", plan), plan
    plan = explained(database, lambda: look({"invoice.paid", "invoice.failed"}), r"SELECT '")
    assert {"ix_endpoint_invoice_paid", "ix_endpoint_invoice_failed"} <= set(re.findall(r"ix_\w+", plan))
    assert look({"invoice.paid"}) == {"invoice.paid": [Interested(wanted)]}
    assert_by_index(plan.replace("on endpoint", "on many"))


def test_a_change_costs_the_same_however_many_endpoints_do_not_want_it(database, store):
    wanted = subscribe(database, ["invoice.paid"])
    first, second = pend(store, 2)

    def cost(invoice_id):
        with statements(database) as sent:
            judge(store, invoice_id, seen("paid"))
        return sent

    few = cost(first)
    add_idle(database)
    assert cost(second) == few
    assert [row.endpoint_id for row in deliveries_of(database, second)] == [wanted]


def test_with_many_idle_endpoints_a_sweep_asks_for_the_lanes_that_have_work(database, store):
    busy = subscribe(database)
    pend(store, 3)
    add_idle(database)
    lanes = [(Stage.DELIVER, receiver.id) for receiver in store.live_endpoints()]
    assert len(lanes) == IDLE + 1
    with statements(database) as sent:
        found = store.next_due(lanes)
    assert [(due.stage.value, due.lane) for due in found] == [("deliver", busy)]
    assert not any("idle" in statement for statement, _ in sent)


def test_of_many_endpoints_a_sweep_reads_those_that_have_work_or_had_some(database, store):
    busy, off, quiet = (subscribe(database) for _ in range(3))
    pend(store, 3)
    store.settle([DeliveryAttempt(delivery, "delivered") for delivery in store.claim_deliveries(quiet, 10, 60)])
    disable_endpoint(database, off)
    assert {one.id for one in store.live_endpoints_in_use([])} == {busy, quiet}  # they are few
    add_idle(database)
    assert [one.id for one in store.live_endpoints_in_use([])] == [busy]
    assert {one.id for one in store.live_endpoints_in_use([quiet, off, "ep_gone"])} == {busy, quiet}


# ---------------------------------------------------------------- added and removed while events are written


def test_what_is_committed_after_an_endpoint_was_added_is_sent_to_it(database, store):
    """A transaction that had read the endpoints before is waited for: what commits later than that knows it."""
    (invoice_id, other) = pend(store, 2)
    if not database.is_postgresql:
        pytest.skip("SQLite has one writer at a time")
    with database.transaction() as connection:
        add_events(connection, [NewEvent(new_id("evt"), invoice_id, 2, "invoice.paid", b"{}")], now(database))
        endpoint_id = subscribe(database)
        waiting = Background(lambda: wait_for_writers(database, 20.0))
        assert not wait_for_writers(database, 0.05)
        assert waiting._thread.is_alive()
    assert waiting.result()
    judge(store, other, seen("paid"))
    assert [row.endpoint_id for row in deliveries_of(database, other)] == [endpoint_id]


def test_who_adds_an_endpoint_waits_for_no_outsider(database, store):
    if not database.is_postgresql:
        pytest.skip("SQLite has one writer at a time")
    pend(store)
    with database.transaction() as connection:
        connection.execute(text("SET LOCAL application_name = 'an outsider'"))
        connection.execute(text("SELECT 1 FROM invoice FOR UPDATE"))
        assert wait_for_writers(database, 0.0)


def test_an_endpoint_that_is_kept_locked_holds_up_no_event_and_gets_it(database, store):
    if not database.is_postgresql:
        pytest.skip("SQLite has one writer at a time")
    endpoint_id = subscribe(database)
    (invoice_id,) = pend(store)
    with database.transaction() as connection:
        connection.execute(text("SELECT 1 FROM endpoint FOR UPDATE"))
        assert judge(store, invoice_id, seen("paid")).event_type == "invoice.paid"
    assert {row.endpoint_id for row in deliveries_of(database, invoice_id)} == {endpoint_id}


def test_what_was_written_for_an_endpoint_while_it_was_removed_is_swept_away(database, store, monkeypatch):
    """Its writer went on for longer than the removal waited."""
    if not database.is_postgresql:
        pytest.skip("SQLite has one writer at a time")
    monkeypatch.setattr(operated, "wait_for_writers", lambda _: False)
    (invoice_id,) = pend(store)
    gone, kept = subscribe(database), subscribe(database)
    with database.transaction() as connection:
        add_events(connection, [NewEvent(new_id("evt"), invoice_id, 2, "invoice.paid", b"{}")], now(database))
        assert remove_endpoint(database, gone) == 0
        assert [row.id for row in rows(database, ENDPOINT)] == [kept]
    assert len(rows(database, DELIVERY, DELIVERY.c.endpoint_id == gone)) == 1
    store.remove_leftovers()
    assert rows(database, DELIVERY, DELIVERY.c.endpoint_id == gone) == []
    assert {row.lane for row in rows(database, AGENDA, AGENDA.c.stage == "deliver")} == {kept}
    assert store.remove_leftovers() == 0


def test_leftovers_of_an_endpoint_that_is_gone_go_with_its_next_removal(database, store):
    endpoint_id = subscribe(database)
    store.judge([Judgement(one, seen("paid")) for one in pend(store, 2)])
    with database.transaction() as connection:
        connection.execute(ENDPOINT.delete())
    assert remove_endpoint(database, endpoint_id) == 4
    assert remove_endpoint(database, endpoint_id) is None
    assert rows(database, DELIVERY) == rows(database, AGENDA, AGENDA.c.stage == "deliver") == []
