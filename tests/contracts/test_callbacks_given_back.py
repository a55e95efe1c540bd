"""A callback that may be about several invoices, and no look-up is to be had: it waits for a person, who links it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from domain.decision import Stage
from domain.evidence import CalledBack, Marked, Seen, Unreadable
from domain.status import Status
from tests.contracts.store_cases import (
    OPERATOR,
    created,
    evidence_of,
    invoice_of,
    judge,
    order,
    policy,
    rows,
    seen,
    take,
)
from workers.store.callbacks import NewCallback
from workers.store.operate.callbacks import link
from workers.store.store import Store
from workers.store.tables import CALLBACK

CODES = "nebulox"  #: asked by the tracking codes that callbacks bring
PAID = CalledBack(status=Status.PAID, word="COMPLETED", order_id="1", reference="10000")
NOBODY = Unreadable(reason="404")


@pytest.fixture
def store(database):
    return Store(database, {CODES: policy(asked_by_reference=True, callback_grace_minutes=Decimal(0))}, lambda _: None)


@pytest.fixture
def both(store):
    """One that has expired and is watched, and a later one of the same order."""
    (first,) = take(store, order("1", account=CODES, idempotency_key="a"))
    judge(store, first, created(provider_ref="first"))
    judge(store, first, seen("expired", provider_ref="first"))
    (second,) = take(store, order("1", account=CODES, idempotency_key="b"))
    judge(store, second, created(provider_ref="second"))
    call_back(store)
    return first, second


def call_back(store):
    said: dict[str, Any] = {"order_id": "1", "reference": "10000", "word": "COMPLETED", "amount": None}
    store.keep_callbacks([NewCallback(account=CODES, digest="d", body=b"{}", headers="{}", **said)])
    claims = store.claim(Stage.CALLBACK, CODES, 10, 60)
    store.judge_callbacks(claims, lambda *_: PAID)


def states(database):
    return [(row.state, row.invoice_id) for row in rows(database, CALLBACK)]


def test_where_no_look_up_is_to_be_had_it_is_unmatched_and_no_contradiction(database, store, both):
    assert states(database) == [("matched", None)]
    for invoice in both:
        assert judge(store, invoice, NOBODY).verdict == "noted"

    ((row),) = rows(database, CALLBACK)
    assert (row.state, row.invoice_id) == ("unmatched", None)
    assert "no look-up" in row.reason
    for invoice, status in zip(both, ("expired", "pending"), strict=True):
        kept = invoice_of(database, invoice)
        assert (kept.status, kept.called_status, kept.contradicted) == (status, None, None)
        assert any("invoices unmatched" in (one.note or "") for one in evidence_of(database, invoice))


def test_linked_by_hand_it_pays_the_invoice_that_the_person_named_and_only_that(database, store, both):
    for invoice in both:
        judge(store, invoice, NOBODY)
    ((row),) = rows(database, CALLBACK)
    assert link(store, OPERATOR, row.id, both[1]) is None
    claims = store.claim(Stage.CALLBACK, CODES, 10, 60)
    store.judge_callbacks(claims, lambda *_: PAID)
    judge(store, both[1], NOBODY)

    assert [invoice_of(database, one).status for one in both] == ["expired", "paid"]
    assert states(database) == [("matched", both[1])]


def test_a_mark_that_one_stays_expired_gives_it_back_as_long_as_it_may_be_the_other_one_s(database, store, both):
    judge(store, both[0], Marked(status=Status.EXPIRED, reason="nothing came", by="bob"))

    assert states(database) == [("unmatched", None)]
    assert [invoice_of(database, one).called_status for one in both] == [None, "paid"]


def test_one_that_has_paid_an_invoice_meanwhile_is_not_given_back_by_the_other(database, store, both):
    told = Seen(status=Status.PAID, word="COMPLETED", provider_ref="second", order_id="1")
    assert judge(store, both[1], told).status == "paid"
    judge(store, both[0], NOBODY)

    assert states(database) == [("matched", None)]
    assert invoice_of(database, both[0]).called_status is None
