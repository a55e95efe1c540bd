"""The clock's word: nobody expires early, nobody is asked but once, and what is under way is waited for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from domain.decision import Stage
from domain.evidence import ClockRanOut
from tests.contracts.store_cases import (
    ACCOUNT,
    SILENT_ACCOUNT,
    agenda_of,
    claim_one,
    events_of,
    invoice_of,
    judge,
    make_due,
    open_store,
    pend,
    queue,
    seen,
)
from workers.store.agenda import CLOCK_LANE


def test_the_clock_asks_once_more_where_it_can_and_then_expires(database):
    rung: list[Any] = []
    store = open_store(database, rung)
    (invoice_id,) = pend(store, expires_at=store.now() - timedelta(seconds=1))
    rung.clear()
    assert judge(store, invoice_id, ClockRanOut(), claim_one(store, Stage.CLOCK, CLOCK_LANE)).status == "pending"
    row, planned = invoice_of(database, invoice_id), agenda_of(database, invoice_id)
    assert planned["check"].due_at == row.final_look_at
    assert planned["clock"].due_at == row.final_look_at + timedelta(seconds=10)
    assert (Stage.CHECK, ACCOUNT) in rung
    claim = claim_one(store, Stage.CHECK)
    look = seen("pending", asked_at=claim.claimed_at)
    assert judge(store, invoice_id, look, claim).status == "expired"
    assert [event.type for event in events_of(database, invoice_id)] == ["invoice.pending", "invoice.expired"]


def test_the_clock_expires_at_once_where_nobody_can_be_asked(database):
    store = open_store(database)
    (invoice_id,) = pend(store, account=SILENT_ACCOUNT, expires_at=store.now() - timedelta(seconds=1))
    assert judge(store, invoice_id, ClockRanOut(), claim_one(store, Stage.CLOCK, CLOCK_LANE)).status == "expired"
    assert agenda_of(database, invoice_id) == {}


def test_the_clock_never_expires_early(database):
    store = open_store(database)
    expires_at = store.now() + timedelta(hours=1)
    (invoice_id,) = pend(store, account=SILENT_ACCOUNT, expires_at=expires_at)
    make_due(database, invoice_id, Stage.CLOCK)
    assert judge(store, invoice_id, ClockRanOut(), claim_one(store, Stage.CLOCK, CLOCK_LANE)).status == "pending"
    assert agenda_of(database, invoice_id)["clock"].due_at == expires_at


@pytest.mark.parametrize("in_call", [True, False])
def test_an_order_whose_time_is_over_fails_unless_its_create_is_under_way(database, in_call):
    store = open_store(database)
    invoice_id = queue(store, create_before=(store.now() - timedelta(seconds=1)).isoformat())
    if in_call:
        claim_one(store, Stage.CREATE)
    outcome = judge(store, invoice_id, ClockRanOut(), claim_one(store, Stage.CLOCK, CLOCK_LANE))
    assert outcome.status == ("queued" if in_call else "failed")
    assert set(agenda_of(database, invoice_id)) == ({"create", "clock"} if in_call else set())


def test_whose_own_create_found_the_time_over_is_not_taken_for_under_way(database):
    store = open_store(database)
    invoice_id = queue(store, create_before=(store.now() - timedelta(seconds=1)).isoformat())
    assert judge(store, invoice_id, ClockRanOut(), claim_one(store, Stage.CREATE)).status == "failed"
