"""The release before may run beside this one. What it claims it creates: what is only searched for is kept from it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from domain.decision import Stage
from domain.evidence import CancelRequested, Found, InDoubt, NotFound, RetryRequested, SearchFailed
from domain.looks import search_lane_of
from domain.schedule import DOUBT_RETRY_SECONDS
from tests.contracts.store_cases import (
    ACCOUNT,
    LONG_AGO,
    agenda_of,
    change,
    created,
    invoice_of,
    judge,
    make_due,
    now,
    policy,
    queue,
)
from workers.store.database import Database
from workers.store.store import Store
from workers.store.tables import AGENDA, INVOICE

LOST = InDoubt(reason="no whole answer within the time-out")


def open_with(database: Database, rung: list[tuple[Stage, str]] | None = None, **fields: Any) -> Store:
    bells: list[tuple[Stage, str]] = [] if rung is None else rung
    return Store(database, {ACCOUNT: policy(searchable=True, **fields)}, bells.append)


@pytest.fixture
def store(database: Database) -> Store:
    return open_with(database, on_doubt="hold")


def doubt(store: Store, **fields: Any) -> str:
    invoice_id = queue(store, **fields)
    ((claim, _, _),) = store.claim_creates(ACCOUNT, 10, 60.0)
    judge(store, invoice_id, LOST, claim)
    return invoice_id


def claim_by_the_release_before(store: Store, invoice_id: str) -> list[Any]:
    """It knows an account's own lane only."""
    make_due(store.database, invoice_id, Stage.CREATE)
    return store.claim_invoices(Stage.CREATE, ACCOUNT, 10, 60.0)


def search(store: Store, invoice_id: str) -> Any:
    """The claim of this release."""
    make_due(store.database, invoice_id, Stage.CREATE)
    ((claim, invoice, _),) = store.claim_creates(ACCOUNT, 10, 60.0)
    assert invoice is not None
    assert (claim.subject, claim.lane, invoice.id) == (invoice_id, ACCOUNT, invoice_id)
    return claim


@pytest.mark.parametrize("brought", ["nothing yet", "not found", "a failure", "a second doubt"])
def test_what_is_held_in_doubt_is_claimed_by_workers_that_search_only(store, brought):
    invoice_id = doubt(store)
    if brought != "nothing yet":
        claim = search(store, invoice_id)
        late = {"not found": NotFound(asked_at=claim.claimed_at), "a failure": SearchFailed(reason="500")}
        judge(store, invoice_id, late.get(brought, LOST), claim)
    assert claim_by_the_release_before(store, invoice_id) == []
    assert judge(store, invoice_id, Found(provider_ref="r-7"), search(store, invoice_id)).status == "pending"


def test_what_was_created_as_often_as_it_may_be_is_kept_from_them_as_well(database):
    store = open_with(database, on_doubt="retry")
    invoice_id = doubt(store)
    change(database, INVOICE, INVOICE.c.id == invoice_id, doubts=len(DOUBT_RETRY_SECONDS), sought=None)
    judge(store, invoice_id, LOST, search(store, invoice_id))
    assert claim_by_the_release_before(store, invoice_id) == []


def test_what_may_be_created_again_stays_in_its_account_s_lane(database):
    """Were this release taken back, the one before would go on with it."""
    store = open_with(database, on_doubt="retry")
    assert len(claim_by_the_release_before(store, doubt(store))) == 1


def test_an_operator_s_wish_brings_it_back_to_the_account_s_lane(store):
    invoice_id = doubt(store)
    judge(store, invoice_id, RetryRequested(reason="by hand"))
    assert len(claim_by_the_release_before(store, invoice_id)) == 1


def test_one_that_was_planned_before_this_release_is_searched_for_and_kept_from_then_on(store, database):
    invoice_id = doubt(store)
    change(database, AGENDA, AGENDA.c.subject == invoice_id, lane=ACCOUNT)
    claim = search(store, invoice_id)
    judge(store, invoice_id, NotFound(asked_at=claim.claimed_at), claim)
    assert claim_by_the_release_before(store, invoice_id) == []


def test_where_on_doubt_is_retry_from_now_on_a_search_brings_it_back(store, database):
    invoice_id = doubt(store)
    change(database, INVOICE, INVOICE.c.id == invoice_id, doubted_at=now(database) - LONG_AGO)
    retrying = open_with(database, on_doubt="retry")
    claim = search(retrying, invoice_id)
    judge(retrying, invoice_id, NotFound(asked_at=claim.claimed_at), claim)
    assert len(claim_by_the_release_before(retrying, invoice_id)) == 1


def test_an_order_that_is_given_up_leaves_nothing_to_search_for(store, database):
    invoice_id = doubt(store)
    judge(store, invoice_id, CancelRequested(reason="gone"))
    assert agenda_of(database, invoice_id) == {}


def test_a_search_that_is_due_is_told_as_its_account_s_work(store):
    invoice_id = doubt(store)
    make_due(store.database, invoice_id, Stage.CREATE)
    (due,) = store.next_due([(Stage.CREATE, ACCOUNT)])
    assert (due.stage, due.lane) == (Stage.CREATE, ACCOUNT)
    assert due.in_seconds <= 0


def test_the_doorbell_of_a_search_is_its_account_s(database):
    rung: list[tuple[Stage, str]] = []
    store = open_with(database, rung, on_doubt="hold")
    store.ring({(Stage.CREATE, search_lane_of(ACCOUNT))})
    assert rung == [(Stage.CREATE, ACCOUNT)]


def test_neither_orders_nor_searches_starve_where_one_place_is_free(store, database):
    held = [doubt(store) for _ in range(3)]
    waiting = {queue(store) for _ in range(3)}
    for invoice_id in held:
        make_due(database, invoice_id, Stage.CREATE)
    taken = [claim.subject for _ in range(4) for claim, _, _ in store.claim_creates(ACCOUNT, 1, 60.0)]
    assert len(waiting & set(taken)) == 2
    assert len(set(held) & set(taken)) == 2


def test_a_claim_with_room_takes_both(store, database):
    held, waiting = doubt(store), queue(store)
    make_due(database, held, Stage.CREATE)
    assert {claim.subject for claim, _, _ in store.claim_creates(ACCOUNT, 10, 60.0)} == {held, waiting}


def test_a_search_whose_worker_was_lost_is_taken_over(store, database):
    invoice_id = doubt(store)
    search(store, invoice_id)
    assert search(store, invoice_id).lost
    assert judge(store, invoice_id, created(provider_ref="r-9")).status == "pending"
    assert invoice_of(database, invoice_id).created_at < now(database) + timedelta(seconds=1)
