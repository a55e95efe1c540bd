"""Who said it is kept with every kind of evidence, and shown."""

from __future__ import annotations

from typing import Any

import pytest

from domain import evidence as kinds
from domain.decision import Stage
from domain.evidence import (
    CalledBack,
    CancelRequested,
    ClockRanOut,
    Created,
    CredentialsRefused,
    Evidence,
    Found,
    InDoubt,
    Marked,
    NotFound,
    NotSent,
    OrderRefused,
    ProviderRefused,
    RateLimited,
    RecheckRequested,
    RetryRequested,
    Said,
    SearchFailed,
    Seen,
    Source,
    Unreachable,
    Unreadable,
)
from domain.status import Status
from tests.contracts.store_cases import claim_one, created, evidence_of, judge, make_due, open_store, queue
from workers.store.judging import Judgement
from workers.store.judging.records import source_of

SAID: dict[str, Any] = {"reason": "so it is"}
BOTH = [CredentialsRefused(**SAID), Unreachable(**SAID), RateLimited(**SAID)]
ALONE = [
    (Created(provider_ref="r"), "create"),
    (OrderRefused(**SAID), "create"),
    (ProviderRefused(**SAID), "create"),
    (InDoubt(**SAID), "create"),
    (NotSent(**SAID), "create"),
    (Seen(status=None, word="ODD"), "look-up"),
    (Unreadable(**SAID), "look-up"),
    (CalledBack(status=Status.PAID, word="COMPLETED"), "callback"),
    (CancelRequested(**SAID), "shop"),
    (RetryRequested(**SAID), "operator"),
    (Marked(status=Status.PAID, by="ann", **SAID), "operator"),
    (RecheckRequested(by="ann", **SAID), "operator"),
    (ClockRanOut(), "clock"),
    (Found(provider_ref="r"), "search"),
    (NotFound(), "search"),
    (SearchFailed(**SAID), "search"),
]
BASES = {Evidence, Said}


def every_kind():
    found = [one for one in vars(kinds).values() if isinstance(one, type) and issubclass(one, Evidence)]
    return set(found) - BASES


def test_every_kind_of_evidence_is_tried_here():
    assert {type(one) for one in BOTH} | {type(one) for one, _ in ALONE} == every_kind()


@pytest.mark.parametrize(("evidence", "source"), ALONE, ids=lambda one: type(one).__name__)
def test_evidence_that_only_one_can_bring_says_who_that_is(evidence, source):
    assert evidence.source == source
    assert source_of(Judgement("inv", evidence)) == source


@pytest.mark.parametrize("evidence", BOTH, ids=lambda one: type(one).__name__)
def test_what_creates_and_look_ups_both_bring_is_told_apart_by_who_asked(database, evidence):
    store = open_store(database)
    invoice_id = queue(store)
    judge(store, invoice_id, created(), claim_one(store, Stage.CREATE))
    make_due(database, invoice_id, Stage.CHECK)
    judge(store, invoice_id, evidence, claim_one(store, Stage.CHECK))
    assert [(row.kind, row.source) for row in evidence_of(database, invoice_id)] == [
        ("Created", Source.CREATE),
        (type(evidence).__name__, Source.LOOK_UP),
    ]
