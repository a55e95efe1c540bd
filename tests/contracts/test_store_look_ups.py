"""An account's look-ups under a budget: a lane for each kind, claims in their order, and turns that follow from it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.decision import Stage
from domain.evidence import CalledBack, RecheckRequested
from domain.looks import Look, lane_of, lanes_of
from domain.status import Status
from tests.contracts.store_cases import (
    ACCOUNT,
    POLICIES,
    agenda_of,
    change,
    judge,
    make_due,
    now,
    open_store,
    pend,
    policy,
    rows,
    seen,
)
from workers.store import look_ups
from workers.store.store import Store
from workers.store.tables import AGENDA

LEASE = 60.0
IN_ORDER = (Look.NEAR, Look.OPEN, Look.WATCHED)
LATE = timedelta(hours=1)


@pytest.fixture
def store(database):
    """Where ACCOUNT has a budget of two look-ups a second."""
    return budgeted(database)


def budgeted(database, rung=None, **fields):
    policies = POLICIES | {ACCOUNT: policy(look_ups_per_second=2.0, **fields)}
    return Store(database, policies, (rung if rung is not None else []).append)


def lanes(database):
    """Each look-up's kind by its invoice."""
    return {row.subject: row.lane for row in rows(database, AGENDA, AGENDA.c.stage == "check")}


def claim(store, looks, limit):
    return {held.subject for held, _ in store.claim_look_ups(ACCOUNT, looks, limit, LEASE)}


def called(word="paid"):
    return CalledBack(status=Status(word), word=word, order_id="1", only=True)


def due_since(database, invoice, minutes):
    change(database, AGENDA, AGENDA.c.subject == invoice, due_at=now(database) - timedelta(minutes=minutes))


def test_each_look_up_stands_in_the_lane_of_its_kind(database, store):
    later = now(database) + LATE
    plain, near, confirming, closed, back, asked = pend(store, 6, expires_at=later)
    change(database, AGENDA, AGENDA.c.subject == near, due_at=later)
    judge(store, confirming, seen("confirming"))
    judge(store, closed, seen("expired"))
    judge(store, back, called())
    judge(store, asked, RecheckRequested(by="me", reason="asked"))
    (ending,) = pend(store, expires_at=now(database) + timedelta(seconds=5))
    assert lanes(database) == {
        plain: ACCOUNT,
        near: ACCOUNT,  # as it was planned; moved by hand
        confirming: lane_of(ACCOUNT, Look.NEAR),
        closed: lane_of(ACCOUNT, Look.WATCHED),
        back: lane_of(ACCOUNT, Look.CALLED),
        asked: lane_of(ACCOUNT, Look.CALLED),
        ending: lane_of(ACCOUNT, Look.NEAR),
    }


def test_without_a_budget_there_is_a_lane_for_callbacks_and_one_for_all_others(database):
    rung: list[tuple[Stage, str]] = []
    store = Store(database, {ACCOUNT: policy()}, rung.append)
    confirming, back, *others = pend(store, 20)
    judge(store, confirming, seen("confirming"))
    for one in others:
        make_due(database, one, Stage.CHECK)
    rung.clear()
    judge(store, back, called())
    assert (Stage.CHECK, lane_of(ACCOUNT, Look.CALLED)) in rung
    assert lanes(database) == dict.fromkeys([confirming, *others], ACCOUNT) | {back: lane_of(ACCOUNT, Look.CALLED)}

    store.gather_look_ups()  # nobody's stray
    # However many polls are due before it: it waits behind none.
    ((held, _),) = store.claim_invoices(Stage.CHECK, lane_of(ACCOUNT, Look.CALLED), 10, LEASE)
    assert held.subject == back


def test_a_callback_takes_its_invoice_out_of_the_backlog_and_rings_a_doorbell_of_its_own(database):
    rung: list[tuple[Stage, str]] = []
    store = budgeted(database, rung)
    ids = pend(store, 20)
    for one in ids:
        make_due(database, one, Stage.CHECK)
    rung.clear()
    judge(store, ids[-1], called())
    assert (Stage.CHECK, lane_of(ACCOUNT, Look.CALLED)) in rung
    assert claim(store, (Look.CALLED,), 10) == {ids[-1]}
    rung.clear()
    judge(store, ids[0], called("pending"))  # no news: it asks nobody
    assert rung == []


def test_a_claim_takes_one_kind_after_the_other_each_in_the_order_of_its_times(database, store):
    ids = pend(store, 6, expires_at=now(database) + LATE)
    for minutes, one in enumerate(ids, start=1):
        due_since(database, one, minutes)
    for one, look in zip(ids, (Look.NEAR, Look.NEAR, Look.WATCHED), strict=False):
        change(database, AGENDA, AGENDA.c.subject == one, AGENDA.c.stage == "check", lane=lane_of(ACCOUNT, look))
    assert claim(store, IN_ORDER, 1) == {ids[1]}
    assert claim(store, IN_ORDER, 2) == {ids[0], ids[5]}
    assert claim(store, (Look.WATCHED, Look.NEAR, Look.OPEN), 2) == {ids[2], ids[4]}
    assert claim(store, IN_ORDER, 5) == {ids[3]}
    assert claim(store, IN_ORDER, 5) == set()


def test_the_pump_is_told_of_whatever_kind_is_due(database, store):
    wanted = [(Stage.CHECK, ACCOUNT), (Stage.CHECK, lane_of(ACCOUNT, Look.CALLED))]
    (one,) = pend(store, expires_at=now(database) + LATE)
    for look in Look:
        change(database, AGENDA, AGENDA.c.subject == one, AGENDA.c.stage == "check", lane=lane_of(ACCOUNT, look))
        make_due(database, one, Stage.CHECK)
        (due,) = store.next_due(wanted)
        assert due.lane == wanted[look is Look.CALLED][1]
        assert due.in_seconds < 0


def test_what_nobody_was_asked_about_is_the_next(database, store):
    ids = pend(store, 4)
    for minutes, one in enumerate(ids, start=1):
        due_since(database, one, minutes)
    first = store.claim_look_ups(ACCOUNT, IN_ORDER, 2, LEASE)
    back = first[1][0]
    store.put_back([back])
    assert claim(store, IN_ORDER, 1) == {back.subject}
    assert agenda_of(database, back.subject)["check"].claims == 1


def test_after_a_lost_holder_a_claim_goes_no_further(database, store):
    ids = pend(store, 2, expires_at=now(database) + LATE)
    change(database, AGENDA, AGENDA.c.subject == ids[0], AGENDA.c.stage == "check", lane=lane_of(ACCOUNT, Look.NEAR))
    make_due(database, ids[0], Stage.CHECK)
    assert claim(store, IN_ORDER, 5) == {ids[0]}
    for one in ids:
        make_due(database, one, Stage.CHECK)
    with database.transaction() as connection:
        found = look_ups.claim(connection, database, ACCOUNT, IN_ORDER, 5, LEASE, "take")
    assert [(held.subject, held.lost) for held, _ in found] == [(ids[0], True)]


def test_turns_follow_from_the_number_of_open_invoices(database):
    """Ninety of them at two a second: each every 45 s, which is more than the poll's 39."""
    store = budgeted(database, poll_seconds=30)
    ids = pend(store, 90, expires_at=now(database) + LATE)
    make_due(database, ids[0], Stage.CHECK)
    ((held, _),) = store.claim_look_ups(ACCOUNT, IN_ORDER, 1, LEASE)
    at = now(database)
    judge(store, ids[0], seen("pending"), held)
    wait = agenda_of(database, ids[0])["check"].due_at - at
    assert timedelta(seconds=45) <= wait < timedelta(seconds=60)


def test_where_the_budget_is_gone_all_look_ups_are_in_one_lane_again(database, store):
    ids = pend(store, 5, expires_at=now(database) + LATE)
    for one, lane in zip(ids, lanes_of(ACCOUNT), strict=False):
        change(database, AGENDA, AGENDA.c.subject == one, AGENDA.c.stage == "check", lane=lane)
    make_due(database, ids[0], Stage.CHECK)
    ((held, _),) = store.claim_look_ups(ACCOUNT, (Look.CALLED,), 1, LEASE)
    before = lanes(database)
    store.gather_look_ups()
    assert lanes(database) == before  # it is still there
    without = open_store(database)
    without.gather_look_ups()
    assert set(lanes(database).values()) == {ACCOUNT, lane_of(ACCOUNT, Look.CALLED)}
    assert agenda_of(database, held.subject)["check"].lease_token == held.token


def test_look_ups_that_a_process_of_other_settings_plans_later_are_found_too(database, store, monkeypatch):
    (one,) = pend(store, 1, expires_at=now(database) + LATE)
    without = open_store(database)
    without.gather_look_ups()
    change(database, AGENDA, AGENDA.c.subject == one, AGENDA.c.stage == "check", lane=lane_of(ACCOUNT, Look.WATCHED))

    without.next_due([(Stage.CHECK, ACCOUNT)])
    assert lanes(database)[one] == lane_of(ACCOUNT, Look.WATCHED)  # not so soon
    monkeypatch.setattr("workers.store.lanes.GATHER_SECONDS", 0.0)
    without.next_due([(Stage.CHECK, ACCOUNT)])
    assert lanes(database)[one] == ACCOUNT
