"""Since when a provider does not answer."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.evidence import CredentialsRefused, RecheckRequested, Unreachable, Unreadable
from domain.why import Cause
from domain.why.patience import Pace
from tests.contracts.store_cases import (
    change,
    evidence_of,
    judge,
    now,
    pend,
    seen,
)
from workers.store.reads.why.late import read_overview
from workers.store.tables import EVIDENCE

AWAY = Unreachable(reason="connection refused")
RECHECK = RecheckRequested(reason="the customer asks", by="alice")
MOVED_APART = timedelta(hours=1)


def began(database, invoice):
    """When the first of its look-ups failed that was kept."""
    return next(row.at for row in evidence_of(database, invoice) if row.kind == "Unreachable")


def test_a_provider_is_away_since_its_first_failing_look_up_whoever_asks_in_between(ground, database):
    (invoice,) = pend(ground.store)
    ground.tell_stream()
    brought = (AWAY, AWAY, RECHECK, AWAY, RECHECK, Unreadable(reason="HTTP 502: a web page"), AWAY)
    for evidence in brought:
        judge(ground.store, invoice, evidence)
    found = ground.why(invoice)
    assert (found.cause, found.since) == (Cause.PROVIDER_UNREACHABLE, began(database, invoice))
    assert ", 5 times," in found.text
    (late,) = database.read(read_overview, database, Pace()).late
    assert late.oldest_since == found.since


def last_failed(database, invoice):
    return [row.at for row in evidence_of(database, invoice) if row.kind == "Unreachable"][-1]


@pytest.mark.parametrize(
    "answer", [seen("pending"), seen("confirming"), CredentialsRefused(reason="HTTP 401")], ids=repr
)
@pytest.mark.parametrize("asked", [[], [RECHECK]], ids=["by itself", "rechecked"])
def test_an_answer_ends_the_time_that_a_provider_was_away(ground, database, answer, asked):
    (invoice,) = pend(ground.store)
    ground.tell_stream()
    judge(ground.store, invoice, AWAY)
    judge(ground.store, invoice, answer)
    if asked:  # only the time in between says so
        change(database, EVIDENCE, EVIDENCE.c.invoice_id == invoice, at=now(database) - MOVED_APART)
    for evidence in (*asked, AWAY):
        judge(ground.store, invoice, evidence)
    ground.tell_stream()
    found = ground.why(invoice)
    assert (found.cause, found.since) == (Cause.PROVIDER_UNREACHABLE, last_failed(database, invoice))
    assert found.since > began(database, invoice)
