"""Evidence becomes truth: judged against the row as it is now, written with its event and its agenda, or not at all."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from domain.decision import Stage
from domain.evidence import (
    CancelRequested,
    ClockRanOut,
    InDoubt,
    OrderRefused,
    Unreachable,
    Unreadable,
)
from tests.contracts.store_cases import (
    ACCOUNT,
    agenda_of,
    change,
    claim_one,
    created,
    deliveries_of,
    events_of,
    evidence_of,
    invoice_of,
    judge,
    make_due,
    open_store,
    pend,
    queue,
    rows,
    seen,
    subscribe,
    utc,
)
from workers.store.agenda import CLOCK_LANE
from workers.store.judging import Judgement
from workers.store.tables import EVENT, INVOICE

# ---------------------------------------------------------------- one change, its event, its agenda


def test_a_created_invoice_is_written_told_and_planned(database):
    rung: list[Any] = []
    store = open_store(database, rung)
    invoice_id = queue(store)
    claim = claim_one(store, Stage.CREATE)
    rung.clear()
    expires_at = store.now() + timedelta(hours=1)
    outcome = judge(store, invoice_id, created(provider_ref="r-1", expires_at=expires_at, address="bc1q"), claim)
    assert (outcome.verdict, outcome.status_before, outcome.status) == ("applied", "queued", "pending")
    assert outcome.event_type == "invoice.pending"
    row = invoice_of(database, invoice_id)
    assert (row.status, row.sequence, row.provider_ref, row.address) == ("pending", 1, "r-1", "bc1q")
    (event,) = events_of(database, invoice_id)
    body = json.loads(event.body)
    assert (event.sequence, event.type, event.published_at) == (1, "invoice.pending", None)
    assert (body["id"], body["sequence"], body["subject"]) == (event.id, "000000000001", invoice_id)
    assert (body["data"]["status"], body["data"]["previous_status"]) == ("pending", "queued")
    planned = agenda_of(database, invoice_id)
    assert set(planned) == {"check", "clock"}
    assert (planned["clock"].lane, planned["clock"].due_at) == (CLOCK_LANE, expires_at)
    assert planned["check"].lane == ACCOUNT
    assert row.updated_at < planned["check"].due_at <= expires_at
    assert rung == [(Stage.PUBLISH, "stream")]


def test_the_sequence_has_no_gaps_and_a_silent_change_takes_no_number(database):
    store = open_store(database)
    invoice_id = queue(store)
    assert judge(store, invoice_id, InDoubt(reason="time-out")).event_type is None
    for evidence in (created(), seen("partially_paid", paid_amount=None), seen("confirming"), seen("paid")):
        judge(store, invoice_id, evidence)
    events = events_of(database, invoice_id)
    assert [event.sequence for event in events] == [1, 2, 3, 4]
    assert [event.type.removeprefix("invoice.") for event in events] == [
        "pending",
        "partially_paid",
        "confirming",
        "paid",
    ]
    assert invoice_of(database, invoice_id).sequence == 4
    assert agenda_of(database, invoice_id) == {}


def test_several_pieces_about_one_invoice_in_one_batch_are_judged_one_after_the_other(database):
    store = open_store(database)
    invoice_id, other = queue(store), queue(store)
    outcomes = store.judge(
        [
            Judgement(invoice_id, created()),
            Judgement(other, created()),
            Judgement(invoice_id, seen("confirming")),
            Judgement(invoice_id, seen("paid")),
            Judgement(invoice_id, CancelRequested(reason="too late")),
        ]
    )
    assert [outcome.status for outcome in outcomes] == ["pending", "pending", "confirming", "paid", "paid"]
    assert [outcome.verdict for outcome in outcomes] == ["applied"] * 4 + ["contradiction"]
    events = events_of(database, invoice_id)
    assert [event.sequence for event in events] == [1, 2, 3, 4]
    assert [event.type for event in events][2:] == ["invoice.paid", "invoice.contradiction"]
    assert [json.loads(event.body)["data"]["status"] for event in events] == ["pending", "confirming", "paid", "paid"]
    assert invoice_of(database, invoice_id).status == "paid"
    assert agenda_of(database, invoice_id) == {}
    assert set(agenda_of(database, other)) == {"check", "clock"}


# ---------------------------------------------------------------- both or neither


FAILING_EVENTS = {
    "sqlite": "CREATE TRIGGER refuse BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'no event today'); END",
    "postgresql": """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no event today'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON event EXECUTE FUNCTION refuse()
    """,
}


def test_a_change_whose_event_can_not_be_written_does_not_happen(database):
    rung: list[Any] = []
    store = open_store(database, rung)
    invoice_id = queue(store)
    before = invoice_of(database, invoice_id), agenda_of(database, invoice_id)
    with database.transaction() as connection:
        connection.execute(text(FAILING_EVENTS[database.engine.dialect.name]))
    rung.clear()
    with pytest.raises(DBAPIError, match="no event today"):
        judge(store, invoice_id, created())
    assert (invoice_of(database, invoice_id), agenda_of(database, invoice_id)) == before
    assert events_of(database, invoice_id) == evidence_of(database, invoice_id) == []
    assert rung == []


def test_an_event_number_that_is_taken_stops_the_change(database):
    """The backstop: whoever wrote past the lock would break the sequence, and is stopped by the table itself."""
    store = open_store(database)
    endpoint_id = subscribe(database)
    invoice_id = queue(store)
    foreign = {
        "id": "evt_x",
        "invoice_id": invoice_id,
        "sequence": 1,
        "type": "x",
        "body": b"",
        "created_at": utc(2026, 1, 1),
    }
    with database.transaction() as connection:
        connection.execute(EVENT.insert().values(**foreign))
    with pytest.raises(IntegrityError):
        judge(store, invoice_id, created())
    assert invoice_of(database, invoice_id).status == "queued"
    assert deliveries_of(database, invoice_id) == []
    assert agenda_of(database, f"{endpoint_id}/{invoice_id}") == {}


# ---------------------------------------------------------------- leases


def test_a_late_answer_is_judged_against_the_row_as_it_is_now(database):
    store = open_store(database)
    invoice_id = queue(store)
    claim = claim_one(store, Stage.CREATE)
    judge(store, invoice_id, CancelRequested(reason="the shop gave up"))
    outcome = judge(store, invoice_id, created(), claim)
    assert (outcome.verdict, outcome.status) == ("contradiction", "cancelled")
    assert invoice_of(database, invoice_id).provider_ref is None
    assert [kept.kind for kept in evidence_of(database, invoice_id)] == ["CancelRequested", "Created"]
    assert agenda_of(database, invoice_id) == {}


def test_an_answer_under_a_lost_lease_counts_and_does_not_move_the_new_holders_row(database):
    store = open_store(database)
    (invoice_id,) = pend(store)
    make_due(database, invoice_id, Stage.CHECK)
    old = claim_one(store, Stage.CHECK, lease_seconds=0)
    new = claim_one(store, Stage.CHECK)
    leased = agenda_of(database, invoice_id)["check"]
    assert judge(store, invoice_id, seen("confirming"), old).status == "confirming"
    row = agenda_of(database, invoice_id)["check"]
    assert (row.lease_token, row.due_at, row.claims) == (new.token, leased.due_at, leased.claims)
    judge(store, invoice_id, seen("confirming"), new)
    row = agenda_of(database, invoice_id)["check"]
    assert (row.lease_token, row.claims) == (None, 0)


def test_a_lost_lease_that_says_nothing_new_leaves_the_new_holders_row_alone(database):
    store = open_store(database)
    invoice_id = queue(store)
    old = claim_one(store, Stage.CREATE, lease_seconds=0)
    claim_one(store, Stage.CREATE)
    leased = agenda_of(database, invoice_id)["create"]
    judge(store, invoice_id, ClockRanOut(), old)
    assert agenda_of(database, invoice_id)["create"] == leased


@pytest.mark.parametrize("new_first", [True, False])
def test_a_lost_and_a_held_lease_in_one_batch_complete_the_row(database, new_first):
    store = open_store(database)
    (invoice_id,) = pend(store)
    make_due(database, invoice_id, Stage.CHECK)
    old = claim_one(store, Stage.CHECK, lease_seconds=0)
    new = claim_one(store, Stage.CHECK)
    pair = [Judgement(invoice_id, seen("pending"), new), Judgement(invoice_id, seen("confirming"), old)]
    store.judge(pair if new_first else pair[::-1])
    row = agenda_of(database, invoice_id)["check"]
    assert (row.lease_token, row.claims) == (None, 0)
    assert row.due_at > store.now()


def test_a_lease_that_ran_out_but_was_not_taken_up_still_completes_its_row(database):
    store = open_store(database)
    invoice_id = queue(store)
    claim = claim_one(store, Stage.CREATE, lease_seconds=0)
    assert judge(store, invoice_id, Unreachable(reason="refused"), claim).verdict == "noted"
    row = agenda_of(database, invoice_id)["create"]
    assert (row.lease_token, row.claims) == (None, 0)
    assert row.due_at > store.now()


def test_who_brings_work_for_a_leased_row_leaves_it_to_its_holder(database):
    store = open_store(database)
    (invoice_id,) = pend(store, expires_at=store.now() - timedelta(seconds=1))
    make_due(database, invoice_id, Stage.CHECK)
    claim = claim_one(store, Stage.CHECK)
    leased = agenda_of(database, invoice_id)["check"]
    judge(store, invoice_id, ClockRanOut(), claim_one(store, Stage.CLOCK, CLOCK_LANE))
    row = agenda_of(database, invoice_id)["check"]
    assert (row.lease_token, row.due_at) == (claim.token, leased.due_at)


def test_an_agenda_row_without_an_invoice_is_taken_away(database):
    store = open_store(database)
    invoice_id = queue(store)
    claim = claim_one(store, Stage.CREATE)
    with database.transaction() as connection:
        connection.execute(text("DELETE FROM invoice"))
    assert judge(store, invoice_id, created(), claim).verdict == "missing"
    assert agenda_of(database, invoice_id) == {}


# ---------------------------------------------------------------- what is kept


def test_evidence_is_kept_only_where_it_differs_from_the_last(database):
    store = open_store(database)
    (invoice_id,) = pend(store)
    said = [
        Unreadable(reason="a", raw="1"),
        Unreadable(reason="a", raw="2"),
        Unreadable(reason="b"),
        seen("pending"),
        Unreadable(reason="b"),
        ClockRanOut(),
        Unreadable(reason="a"),
    ]
    for evidence in said:
        judge(store, invoice_id, evidence)
    kept = [(row.kind, json.loads(row.detail).get("reason"), row.raw) for row in evidence_of(database, invoice_id)]
    assert kept == [
        ("Created", None, None),
        ("Unreadable", "a", "1"),
        ("Unreadable", "b", None),
        ("Unreadable", "b", None),  # there was an answer in between: it fails anew
        ("Unreadable", "a", None),
    ]


def test_a_change_keeps_its_evidence_though_the_last_one_said_the_same(database):
    """Between the two somebody set the row back by hand, which leaves no evidence."""
    store = open_store(database)
    (invoice_id,) = pend(store)
    for _ in range(2):
        assert judge(store, invoice_id, seen("confirming")).verdict == "applied"
        change(database, INVOICE, INVOICE.c.id == invoice_id, status="pending")
    kept = [(row.kind, row.verdict) for row in evidence_of(database, invoice_id)]
    assert kept == [("Created", "applied"), ("Seen", "applied"), ("Seen", "applied")]


def test_a_refusal_is_kept_with_its_reason_and_ends_the_order(database):
    store = open_store(database)
    invoice_id = queue(store)
    outcome = judge(store, invoice_id, OrderRefused(reason="no such coin"), claim_one(store, Stage.CREATE))
    assert (outcome.status, outcome.reason, outcome.event_type) == ("failed", "no such coin", "invoice.failed")
    assert [(row.kind, row.verdict) for row in evidence_of(database, invoice_id)] == [("OrderRefused", "applied")]
    assert rows(database, EVENT)[0].sequence == 1
    assert agenda_of(database, invoice_id) == {}
