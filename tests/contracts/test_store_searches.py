"""An order in doubt that is searched for, row by row: what is written, what a death leaves, what a late answer does."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from domain import schedule
from domain.decision import Stage
from domain.evidence import CancelRequested, Found, InDoubt, NotFound, RetryRequested, SearchFailed
from domain.lifecycle import is_to_be_sought
from tests.contracts.store_cases import (
    ACCOUNT,
    LONG_AGO,
    agenda_of,
    change,
    claim_one,
    created,
    evidence_of,
    invoice_of,
    judge,
    make_due,
    now,
    policy,
    queue,
)
from workers.store.database import Database
from workers.store.judging import Judgement
from workers.store.store import Store
from workers.store.tables import INVOICE

LOST = InDoubt(reason="no whole answer within the time-out")
SEARCHED = {ACCOUNT: policy(searchable=True)}


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database, SEARCHED, lambda _lane: None)


@pytest.fixture
def doubted(store: Store, database: Database) -> str:
    """An order whose create was made long ago and its answer lost."""
    invoice_id = queue(store)
    judge(store, invoice_id, LOST, claim_one(store, Stage.CREATE))
    change(database, INVOICE, INVOICE.c.id == invoice_id, doubted_at=now(database) - LONG_AGO)
    return invoice_id


def claim_again(store: Store, invoice_id: str) -> Any:
    make_due(store.database, invoice_id, Stage.CREATE)
    return claim_one(store, Stage.CREATE)


def not_found(claim: Any) -> NotFound:
    """As the stage brings it."""
    return NotFound(asked_at=claim.claimed_at, after_lost=claim.lost)


def due_in(database: Database, invoice_id: str) -> float:
    due_at: Any = agenda_of(database, invoice_id)["create"].due_at
    return float((due_at - now(database)).total_seconds())


def test_a_doubt_plans_a_search(store, database):
    invoice_id = queue(store)
    judge(store, invoice_id, LOST, claim_one(store, Stage.CREATE))
    row = invoice_of(database, invoice_id)
    assert (row.status, row.doubts, row.searches, row.sought) == ("in_doubt", 1, 0, None)
    assert row.doubted_at == row.updated_at
    assert 0 < due_in(database, invoice_id) <= 2 * schedule.SEARCH_SECONDS[0]


def test_what_is_found_is_pending_with_its_reference_and_the_history_says_who_said_so(store, database, doubted):
    found = Found(provider_ref="r-7", address="bc1q", twins='["r-6"]')
    outcome = judge(store, doubted, found, claim_again(store, doubted))
    assert (outcome.status, outcome.event_type) == ("pending", "invoice.pending")
    row = invoice_of(database, doubted)
    assert (row.provider_ref, row.address, row.twins, row.doubts) == ("r-7", "bc1q", '["r-6"]', 1)
    assert set(agenda_of(database, doubted)) == {"check", "clock"}
    assert due_in_check(database, doubted) <= 0
    assert [(one.kind, one.source) for one in evidence_of(database, doubted)][-1] == ("Found", "search")


def due_in_check(database: Database, invoice_id: str) -> float:
    due_at: Any = agenda_of(database, invoice_id)["check"].due_at
    return float((due_at - now(database)).total_seconds())


def test_what_is_not_there_is_created_again_by_the_next_claim(store, database, doubted):
    claim = claim_again(store, doubted)
    judge(store, doubted, not_found(claim), claim)
    row = invoice_of(database, doubted)
    assert not is_to_be_sought(row)
    assert agenda_of(database, doubted)["create"].lease_token is None
    last = evidence_of(database, doubted)[-1]
    assert (last.kind, last.source, last.note) == (
        "NotFound",
        "search",
        "the provider does not have it; it may be created again",
    )
    assert judge(store, doubted, created(provider_ref="r-9"), claim_again(store, doubted)).status == "pending"


def test_what_a_search_proves_in_the_end_is_kept_though_it_said_the_same_before(store, database):
    invoice_id = queue(store)
    judge(store, invoice_id, LOST, claim_one(store, Stage.CREATE))
    claim = claim_again(store, invoice_id)
    judge(store, invoice_id, not_found(claim), claim)
    change(database, INVOICE, INVOICE.c.id == invoice_id, doubted_at=now(database) - LONG_AGO)
    claim = claim_again(store, invoice_id)
    judge(store, invoice_id, not_found(claim), claim)
    notes = [one.note for one in evidence_of(database, invoice_id) if one.kind == "NotFound"]
    assert [note is None for note in notes] == [True, False]


def test_a_worker_that_dies_between_search_and_commit_leaves_an_order_to_be_searched_for(store, database, doubted):
    claim_again(store, doubted)
    again = claim_again(store, doubted)
    assert again.lost
    judge(store, doubted, not_found(again), again)
    row = invoice_of(database, doubted)
    assert (row.doubts, is_to_be_sought(row)) == (1, True)
    assert due_in(database, doubted) > 0


def test_a_worker_that_dies_between_the_search_s_commit_and_the_repeat_costs_one_doubt_and_a_search(
    store, database, doubted
):
    claim = claim_again(store, doubted)
    judge(store, doubted, not_found(claim), claim)
    claim_again(store, doubted)  # it may have called
    again = claim_again(store, doubted)
    assert again.lost
    assert not is_to_be_sought(invoice_of(database, doubted))  # so the stage says that it is in doubt
    judge(store, doubted, LOST, again)
    row = invoice_of(database, doubted)
    assert (row.doubts, is_to_be_sought(row)) == (2, True)


@pytest.mark.parametrize("late", ["nothing was found", "it failed"])
def test_what_a_search_brings_under_a_lease_that_is_over_decides_nothing(store, database, doubted, late):
    first = claim_again(store, doubted)
    claim_again(store, doubted)
    before = agenda_of(database, doubted)["create"]
    judge(store, doubted, not_found(first) if late == "nothing was found" else SearchFailed(reason="500"), first)
    assert is_to_be_sought(invoice_of(database, doubted))
    assert agenda_of(database, doubted)["create"] == before


def test_an_invoice_that_is_found_under_a_lease_that_is_over_is_found(store, doubted):
    first = claim_again(store, doubted)
    claim_again(store, doubted)
    assert judge(store, doubted, Found(provider_ref="r-7"), first).status == "pending"


def test_an_invoice_that_is_found_after_the_repeat_was_answered_is_remembered_as_its_twin(store, database, doubted):
    first = claim_again(store, doubted)
    judge(store, doubted, created(provider_ref="r-9"), claim_again(store, doubted))
    outcome = judge(store, doubted, Found(provider_ref="r-7"), first)
    row = invoice_of(database, doubted)
    assert (outcome.verdict, row.provider_ref, row.twins) == ("noted", "r-9", '["r-7"]')


def test_the_invoice_of_another_order_is_not_found_and_is_no_further_doubt(store, database, doubted):
    owner = queue(store)
    judge(store, owner, created(provider_ref="r-7"))
    judge(store, doubted, Found(provider_ref="r-7"), claim_again(store, doubted))
    row = invoice_of(database, doubted)
    assert (row.status, row.provider_ref, row.doubts, row.search_failures) == ("in_doubt", None, 1, 1)
    assert owner in evidence_of(database, doubted)[-1].detail


def test_an_operator_s_wish_during_a_search_is_not_lost(store, database, doubted):
    claim = claim_again(store, doubted)
    judge(store, doubted, RetryRequested(reason="by hand"))
    judge(store, doubted, not_found(claim), claim)
    assert not is_to_be_sought(invoice_of(database, doubted))
    assert due_in(database, doubted) <= 0


def test_an_order_that_is_given_up_while_it_is_searched_for_is_searched_for_no_more(store, database, doubted):
    claim = claim_again(store, doubted)
    judge(store, doubted, CancelRequested(reason="gone"))
    judge(store, doubted, not_found(claim), claim)
    assert invoice_of(database, doubted).status == "cancelled"
    assert agenda_of(database, doubted) == {}


@pytest.mark.parametrize("found", [Found(provider_ref="r-7", twins='["r-6"]'), NotFound(lapsed='["r-1"]')])
def test_what_was_found_while_the_commit_is_held_up_is_kept_for_whoever_takes_the_row_over(store, doubted, found):
    claim = claim_again(store, doubted)
    found = dataclasses.replace(found, asked_at=claim.claimed_at)
    store.keep([Judgement(doubted, found, claim)], 15.0)
    make_due(store.database, doubted, Stage.CREATE)
    ((_, _, kept),) = store.claim_creates(ACCOUNT, 10, 60.0)
    assert kept is not None
    assert kept.evidence == found
