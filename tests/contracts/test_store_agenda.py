"""Claims and leases: never more than asked for, nothing twice, nothing left behind."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.decision import Stage
from domain.evidence import CancelRequested, OrderRefused
from tests.contracts.store_cases import (
    ACCOUNT,
    SILENT_ACCOUNT,
    agenda_of,
    in_threads,
    invoice_of,
    judge,
    make_due,
    open_store,
    order,
    pend,
    queue,
    rows,
    take,
)
from workers.store import agenda
from workers.store.agenda import CLOCK_LANE, MAX_CLAIMS, PUBLISH_LANE, STANDING, SUSPECT_CLAIMS
from workers.store.tables import AGENDA

LEASE = 60.0


def many(store, count, **fields):
    return take(store, *(order(f"{number:04}", **fields) for number in range(count)))


def create(store, limit=100, lease_seconds=LEASE, lane=ACCOUNT):
    return store.claim(Stage.CREATE, lane, limit, lease_seconds)


def test_a_claim_takes_no_more_than_it_asked_for_oldest_first(database):
    store = open_store(database)
    ids = many(store, 30)
    for place, invoice_id in enumerate(ids):
        with database.transaction() as connection:
            due = database.now(connection) - timedelta(minutes=place)
            connection.execute(AGENDA.update().where(AGENDA.c.subject == invoice_id).values(due_at=due))
    taken = [{claim.subject for claim in create(store, 8)} for _ in range(4)]
    assert [len(batch) for batch in taken] == [8, 8, 8, 6]
    assert taken == [set(ids[22:]), set(ids[14:22]), set(ids[6:14]), set(ids[:6])]
    assert create(store, 8) == []


def test_a_claim_leases_its_rows_under_one_fresh_token(database):
    store = open_store(database)
    (invoice_id,) = many(store, 1)
    before = store.now()
    (claim,) = create(store)
    row = agenda_of(database, invoice_id)["create"]
    assert (claim.stage, claim.lane, claim.subject, claim.lost) == (Stage.CREATE, ACCOUNT, invoice_id, False)
    assert (row.lease_token, row.claims) == (claim.token, 1)
    assert before <= claim.claimed_at <= store.now()
    assert row.due_at == claim.claimed_at + timedelta(seconds=LEASE)


def test_only_what_is_due_is_claimed(database):
    store = open_store(database)
    (invoice_id,) = pend(store)
    assert store.claim(Stage.CHECK, ACCOUNT, 10, LEASE) == []
    make_due(database, invoice_id, Stage.CHECK)
    assert [claim.subject for claim in store.claim(Stage.CHECK, ACCOUNT, 10, LEASE)] == [invoice_id]


def test_stages_and_lanes_are_apart(database):
    store = open_store(database)
    many(store, 3)
    many(store, 2, account=SILENT_ACCOUNT)
    assert store.claim(Stage.CHECK, ACCOUNT, 10, LEASE) == []
    assert create(store, lane="nobody") == []
    assert len(create(store, lane=SILENT_ACCOUNT)) == 2
    assert len(create(store)) == 3


def test_claimers_side_by_side_share_the_work_and_nothing_twice(database):
    ids = many(open_store(database), 200)

    def claimer():
        store, mine = open_store(database), []
        while batch := create(store, 7):
            mine.append([claim.subject for claim in batch])
        return mine

    batches = [batch for claimed in in_threads(*[claimer] * 5) for batch in claimed]
    assert sorted(subject for batch in batches for subject in batch) == sorted(ids)
    assert all(len(batch) <= 7 for batch in batches)


def test_a_claim_does_not_wait_for_rows_that_others_are_writing(database):
    """On PostgreSQL they are skipped; SQLite has one writer at a time."""
    store = open_store(database)
    held, free = many(store, 2)
    if not database.is_postgresql:
        pytest.skip("SQLite has one writer at a time: nobody else is writing while somebody claims")
    with database.transaction() as connection:
        connection.execute(AGENDA.select().where(AGENDA.c.subject == held).with_for_update())
        assert [claim.subject for claim in create(store)] == [free]


def test_a_lease_that_ran_out_brings_the_row_back_marked_as_lost(database):
    store = open_store(database)
    (invoice_id,) = many(store, 1)
    (first,) = create(store)
    make_due(database, invoice_id)  # the lease's end is where due_at stands
    (second,) = create(store)
    assert (first.lost, second.lost) == (False, True)
    assert second.token != first.token


def test_a_lease_of_no_time_is_over_at_once(database):
    store = open_store(database)
    many(store, 1)
    assert [create(store, lease_seconds=0)[0].lost for _ in range(3)] == [False, True, True]


def test_a_row_that_keeps_losing_its_holders_is_parked(database):
    store = open_store(database)
    killer, fine = many(store, 2)
    for _ in range(MAX_CLAIMS):
        assert killer in {claim.subject for claim in create(store)}
        make_due(database, killer)
    assert create(store) == []
    row = agenda_of(database, killer)["create"]
    assert (row.due_at, row.lease_token) == (None, None)
    assert store.next_due([(Stage.CREATE, ACCOUNT)])[0].in_seconds > 0
    assert agenda_of(database, fine)["create"].lease_token is not None
    assert invoice_of(database, killer).status == "queued"


def test_neighbours_of_what_kills_its_holders_are_not_parked_with_it(database):
    """Claimed in one batch they lose their holders together; soon each is taken alone, and the fine ones get done."""
    store = open_store(database)
    killer, *fine = many(store, 5)
    batches = []
    while waiting := rows(database, AGENDA, AGENDA.c.stage == "create", AGENDA.c.due_at.is_not(None)):
        for row in waiting:
            make_due(database, row.subject, Stage.CREATE)
        batch = [claim.subject for claim in create(store)]
        batches.append(len(batch))
        if batch and killer not in batch:  # whoever held it alone lived on
            for invoice_id in batch:
                judge(store, invoice_id, OrderRefused(reason="no"))
    assert batches[:SUSPECT_CLAIMS] == [5] * SUSPECT_CLAIMS
    assert max(batches[SUSPECT_CLAIMS:]) == 1
    assert {invoice_of(database, invoice_id).status for invoice_id in fine} == {"failed"}
    (parked,) = rows(database, AGENDA, AGENDA.c.stage == "create")
    assert (parked.subject, parked.due_at, parked.claims) == (killer, None, MAX_CLAIMS + 1)


def test_a_row_that_stands_for_ever_is_never_parked(database):
    """The stream's row tells every event: no single invoice can be what kills its holders, and nobody redrives it."""
    store = open_store(database)
    store.add_standing()
    for stage, lane in STANDING:
        for _ in range(3 * MAX_CLAIMS):
            assert len(store.claim(stage, lane, 1, 0)) == 1


def test_what_is_released_is_due_at_once_as_if_nobody_had_claimed_it(database):
    store = open_store(database)
    many(store, 3)
    for _ in range(2 * MAX_CLAIMS):
        claims = create(store)
        assert [claim.lost for claim in claims] == [False] * 3
        store.release(claims)
    store.release([])


def test_a_release_does_not_forget_that_an_earlier_holder_was_lost(database):
    store = open_store(database)
    many(store, 1)
    create(store, lease_seconds=0)
    store.release(create(store))
    assert create(store)[0].lost is True


def test_a_lost_lease_releases_and_finishes_nothing(database):
    store = open_store(database)
    (invoice_id,) = many(store, 1)
    old = create(store, lease_seconds=0)
    (new,) = create(store)
    store.release(old)
    with database.transaction() as connection:
        agenda.finish(connection, old[0], database.now(connection))
    row = agenda_of(database, invoice_id)["create"]
    assert (row.lease_token, row.claims) == (new.token, 2)


def test_releases_and_claims_side_by_side_end(database):
    ids = many(open_store(database), 60)

    def worker():
        store = open_store(database)
        for _ in range(15):
            store.release(create(store, 40))

    in_threads(*[worker] * 4)
    assert {claim.subject for claim in create(open_store(database))} == set(ids)


def test_claimed_invoices_come_with_their_rows_and_a_gone_one_as_none(database):
    store = open_store(database)
    ids = many(store, 2)
    with database.transaction() as connection:
        connection.execute(
            AGENDA.insert().values(
                stage="create", subject="inv_gone", lane=ACCOUNT, due_at=database.now(connection), claims=0, pokes=0
            )
        )
    found = {claim.subject: row for claim, row in store.claim_invoices(Stage.CREATE, ACCOUNT, 10, LEASE)}
    assert set(found) == {*ids, "inv_gone"}
    assert found["inv_gone"] is None
    assert {row.id for row in found.values() if row is not None} == set(ids)
    assert store.claim_invoices(Stage.CREATE, ACCOUNT, 10, LEASE) == []


def test_the_next_due_time_of_each_lane_is_told(database):
    store = open_store(database)
    queue(store)
    pend(store, account=SILENT_ACCOUNT, expires_at=store.now() + timedelta(hours=1))
    asked = [(Stage.CREATE, ACCOUNT), (Stage.CREATE, SILENT_ACCOUNT), (Stage.CLOCK, CLOCK_LANE)]
    due = {(found.stage, found.lane): found.in_seconds for found in store.next_due(asked)}
    assert set(due) == {(Stage.CREATE, ACCOUNT), (Stage.CLOCK, CLOCK_LANE)}
    assert -60 < due[Stage.CREATE, ACCOUNT] <= 0
    assert 3500 < due[Stage.CLOCK, CLOCK_LANE] <= 3600
    assert store.next_due([]) == []


def test_a_leased_row_is_due_at_the_end_of_its_lease(database):
    store = open_store(database)
    queue(store)
    create(store, lease_seconds=600)
    (due,) = store.next_due([(Stage.CREATE, ACCOUNT)])
    assert 500 < due.in_seconds <= 600


def test_the_stream_is_due_only_while_it_has_something_to_tell(database):
    store = open_store(database)
    store.add_standing()
    store.add_standing()
    assert len(rows(database, AGENDA)) == len(STANDING)
    lanes = [(Stage.PUBLISH, PUBLISH_LANE)]
    assert store.next_due(lanes) == []
    judge(store, queue(store), CancelRequested(reason="x"))
    assert [due.in_seconds <= 0 for due in store.next_due(lanes)] == [True]
    (claim,) = store.claim(Stage.PUBLISH, PUBLISH_LANE, 1, LEASE)
    assert store.claim(Stage.PUBLISH, PUBLISH_LANE, 1, LEASE) == []
    store.finish(claim, 5.0)
    assert [0 < due.in_seconds <= 5 for due in store.next_due(lanes)] == [True]
