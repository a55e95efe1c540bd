"""A call is counted once, whatever becomes of its lease, of its commit's answer, and of the rows claimed with it."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from domain import schedule
from domain.decision import Stage
from domain.evidence import (
    ClockRanOut,
    CredentialsRefused,
    InDoubt,
    OrderRefused,
    ProviderRefused,
    RateLimited,
    RetryRequested,
    Unreachable,
)
from tests.contracts.store_cases import (
    ACCOUNT,
    OPERATOR,
    SILENT_ACCOUNT,
    agenda_of,
    claim_one,
    created,
    events_of,
    evidence_of,
    invoice_of,
    judge,
    make_due,
    open_store,
    queue,
)
from workers.store.agenda import SUSPECT_CLAIMS, park
from workers.store.operate.redrive import unpark
from workers.store.tables import AGENDA, INVOICE

HELD, RETRIED = SILENT_ACCOUNT, ACCOUNT  #: by their policies in doubt

TIMED_OUT = InDoubt(reason="no whole answer within the time-out")
LOST = InDoubt(reason="the worker that made the call was lost")
NOT_MADE = [
    Unreachable(reason="the connection failed"),
    RateLimited(reason="429"),
    CredentialsRefused(reason="401"),
    ProviderRefused(reason="404"),
]
each_not_made = pytest.mark.parametrize("not_made", NOT_MADE, ids=lambda evidence: type(evidence).__name__)


def claim_create(store, database, invoice_id, lane, **lease):
    make_due(database, invoice_id, Stage.CREATE)
    return claim_one(store, Stage.CREATE, lane, **lease)


def wait_of(database, invoice_id):
    """Until the next create, from the invoice's last change."""
    return agenda_of(database, invoice_id)["create"].due_at - invoice_of(database, invoice_id).updated_at


# ---------------------------------------------------------------- a commit whose own answer was lost, tried again


@each_not_made
def test_what_is_committed_again_plans_no_call_for_an_invoice_that_is_held_in_doubt_by_now(database, not_made):
    store = open_store(database)
    invoice_id = queue(store, HELD)
    first = claim_one(store, Stage.CREATE, HELD)
    judge(store, invoice_id, not_made, first)  # committed; its answer never comes
    second = claim_create(store, database, invoice_id, HELD)
    assert not second.lost
    judge(store, invoice_id, TIMED_OUT, second)
    assert "create" not in agenda_of(database, invoice_id)

    judge(store, invoice_id, not_made, first)

    assert "create" not in agenda_of(database, invoice_id)  # else a customer may be billed twice
    assert (invoice_of(database, invoice_id).status, invoice_of(database, invoice_id).doubts) == ("in_doubt", 1)


@each_not_made
def test_what_is_committed_again_plans_no_repeat_beyond_the_last(database, not_made):
    store = open_store(database)
    invoice_id = queue(store, RETRIED)
    first = claim_one(store, Stage.CREATE, RETRIED)
    judge(store, invoice_id, not_made, first)
    for _ in range(len(schedule.DOUBT_RETRY_SECONDS) + 1):
        judge(store, invoice_id, TIMED_OUT, claim_create(store, database, invoice_id, RETRIED))
    assert "create" not in agenda_of(database, invoice_id)
    judge(store, invoice_id, not_made, first)
    assert "create" not in agenda_of(database, invoice_id)


def test_a_doubt_that_is_committed_again_is_counted_once_and_puts_the_repeat_off_no_further(database):
    store = open_store(database)
    invoice_id = queue(store, RETRIED)
    claim = claim_one(store, Stage.CREATE, RETRIED)
    judge(store, invoice_id, TIMED_OUT, claim)
    planned = agenda_of(database, invoice_id)["create"]
    judge(store, invoice_id, TIMED_OUT, claim)
    assert invoice_of(database, invoice_id).doubts == 1
    assert agenda_of(database, invoice_id)["create"] == planned
    assert wait_of(database, invoice_id) < timedelta(seconds=2 * schedule.DOUBT_RETRY_SECONDS[0])


@pytest.mark.parametrize("evidence", [created(), OrderRefused(reason="no")], ids=["created", "refused"])
def test_an_answer_that_is_committed_again_changes_nothing(database, evidence):
    store = open_store(database)
    invoice_id = queue(store, RETRIED)
    claim = claim_one(store, Stage.CREATE, RETRIED)
    judge(store, invoice_id, evidence, claim)
    before, planned = invoice_of(database, invoice_id), agenda_of(database, invoice_id)
    assert judge(store, invoice_id, evidence, claim).event_type is None
    assert invoice_of(database, invoice_id).status == before.status
    assert agenda_of(database, invoice_id) == planned
    assert len(events_of(database, invoice_id)) == 1


@each_not_made
def test_what_is_committed_again_hides_no_later_holder_that_was_lost(database, not_made):
    """The row is free again and counts one claim: somebody's who perhaps called."""
    store = open_store(database)
    invoice_id = queue(store, RETRIED)
    first = claim_one(store, Stage.CREATE, RETRIED)
    judge(store, invoice_id, not_made, first)
    assert not claim_create(store, database, invoice_id, RETRIED).lost  # calls, and is never heard of again
    store.release([claim_create(store, database, invoice_id, RETRIED)])
    judge(store, invoice_id, not_made, first)
    assert claim_create(store, database, invoice_id, RETRIED).lost


# ---------------------------------------------------------------- a lease that ran out while its result waited


@pytest.mark.parametrize("late", [TIMED_OUT, *NOT_MADE], ids=lambda evidence: type(evidence).__name__)
@pytest.mark.parametrize("late_first", [True, False])
@pytest.mark.parametrize(("lane", "planned"), [(RETRIED, True), (HELD, False)])
def test_one_call_is_one_doubt_whoever_of_its_two_holders_is_heard_first(database, late, late_first, lane, planned):
    store = open_store(database)
    invoice_id = queue(store, lane)
    old = claim_one(store, Stage.CREATE, lane, lease_seconds=0)
    new = claim_one(store, Stage.CREATE, lane)
    assert new.lost
    heard = [(late, old), (LOST, new)]
    for evidence, claim in heard if late_first else reversed(heard):
        judge(store, invoice_id, evidence, claim)
    assert (invoice_of(database, invoice_id).status, invoice_of(database, invoice_id).doubts) == ("in_doubt", 1)
    assert ("create" in agenda_of(database, invoice_id)) is planned
    assert {row.kind for row in evidence_of(database, invoice_id)} == {type(late).__name__, "InDoubt"}


@pytest.mark.parametrize("late_first", [True, False])
@pytest.mark.parametrize("lane", [RETRIED, HELD])
def test_an_invoice_that_was_made_counts_under_whatever_lease_and_nothing_is_repeated(database, late_first, lane):
    store = open_store(database)
    invoice_id = queue(store, lane)
    old = claim_one(store, Stage.CREATE, lane, lease_seconds=0)
    new = claim_one(store, Stage.CREATE, lane)
    heard = [(created(), old), (LOST, new)]
    for evidence, claim in heard if late_first else reversed(heard):
        judge(store, invoice_id, evidence, claim)
    assert invoice_of(database, invoice_id).status == "pending"
    assert "create" not in agenda_of(database, invoice_id)


def test_a_repeat_asked_for_by_hand_is_still_planned(database):
    store = open_store(database)
    invoice_id = queue(store, HELD)
    judge(store, invoice_id, TIMED_OUT, claim_one(store, Stage.CREATE, HELD))
    judge(store, invoice_id, RetryRequested(reason="by hand"))
    assert not claim_one(store, Stage.CREATE, HELD).lost


# ---------------------------------------------------------------- releases


@pytest.mark.parametrize("steps", list(itertools.product(["lost", "released", "with a suspect"], repeat=3)))
def test_a_row_counts_as_lost_from_its_first_lost_holder_on_whatever_it_is_released_from(database, steps):
    store = open_store(database)
    invoice_id, was_lost = queue(store, RETRIED), False
    for step in steps:
        suspect = queue(store, RETRIED) if step == "with a suspect" else None
        if suspect:
            set_claims(database, suspect, SUSPECT_CLAIMS)
        make_due(database, invoice_id, Stage.CREATE)
        claims = {claim.subject: claim for claim in store.claim(Stage.CREATE, RETRIED, 10, 60)}
        assert set(claims) == {suspect or invoice_id}
        if suspect:
            judge(store, suspect, OrderRefused(reason="no"), claims[suspect])
            continue
        assert claims[invoice_id].lost is was_lost, step
        if step == "released":
            store.release(list(claims.values()))
        was_lost |= step == "lost"
    make_due(database, invoice_id, Stage.CREATE)
    assert claim_one(store, Stage.CREATE, RETRIED).lost is was_lost


def set_claims(database, invoice_id, claims):
    with database.transaction() as connection:
        connection.execute(AGENDA.update().where(AGENDA.c.subject == invoice_id).values(claims=claims))


def test_a_release_that_is_committed_again_gives_back_nothing_twice(database):
    store = open_store(database)
    invoice_id = queue(store, RETRIED)
    claim_one(store, Stage.CREATE, RETRIED, lease_seconds=0)
    claim = claim_one(store, Stage.CREATE, RETRIED)
    store.release([claim])
    store.release([claim])
    assert agenda_of(database, invoice_id)["create"].claims == 1
    assert claim_one(store, Stage.CREATE, RETRIED).lost


@pytest.mark.parametrize("since", ["held", "given back", "parked"])
def test_an_order_whose_call_was_lost_does_not_fail_for_being_too_late(database, since):
    """It was perhaps made: whoever takes its row up next says so."""
    store = open_store(database)
    invoice_id = queue(store, RETRIED, create_before=(store.now() + timedelta(hours=1)).isoformat())
    claim_one(store, Stage.CREATE, RETRIED, lease_seconds=0)
    taken = claim_one(store, Stage.CREATE, RETRIED)
    if since == "given back":
        store.release([taken])
    with database.transaction() as connection:
        past = database.now(connection) - timedelta(seconds=1)
        connection.execute(INVOICE.update().where(INVOICE.c.id == invoice_id).values(create_before=past))
        if since == "parked":
            park(connection, Stage.CREATE, [invoice_id])
    assert judge(store, invoice_id, ClockRanOut()).status == "queued"
    if since == "parked":
        assert unpark(store, OPERATOR) == 1
    last = taken if since == "held" else claim_one(store, Stage.CREATE, RETRIED)
    assert last.lost
    assert judge(store, invoice_id, LOST, last).status == "in_doubt"
