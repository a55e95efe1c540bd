"""A callback about an order that several invoices were made for: whose it is, where a look-up can tell."""

from __future__ import annotations

import pytest

from domain.decision import Stage
from domain.evidence import CalledBack
from domain.status import Status
from tests.contracts.store_cases import (
    ACCOUNT,
    SILENT_ACCOUNT,
    created,
    evidence_of,
    judge,
    order,
    rows,
    seen,
    take,
)
from workers.store.callbacks import NewCallback
from workers.store.tables import CALLBACK


def make_two(store, account):
    """One that has expired and is watched, and a later one of the same order."""
    (first,) = take(store, order("1", account=account, idempotency_key="a"))
    judge(store, first, created(provider_ref="first"))
    assert judge(store, first, seen("expired")).status == "expired"
    (second,) = take(store, order("1", account=account, idempotency_key="b"))
    return first, second


def call_back(store, account, reference=None):
    said = {"order_id": "1", "reference": reference, "word": "COMPLETED", "amount": None}
    store.keep_callbacks([NewCallback(account=account, digest="d", body=b"{}", headers="{}", **said)])
    evidence = CalledBack(status=Status.PAID, word="COMPLETED", order_id="1", reference=reference)
    store.judge_callbacks(store.claim(Stage.CALLBACK, account, 10, 60), lambda *_: evidence)


def called(database, *invoices):
    """Which of them were called back about."""
    return [one for one in invoices if any(row.source == "callback" for row in evidence_of(database, one))]


@pytest.mark.parametrize(("reference", "whose"), [("first", 0), ("second", 1)])
def test_one_that_brings_the_providers_own_id_is_about_that_invoice(database, store, reference, whose):
    both = make_two(store, ACCOUNT)
    judge(store, both[1], created(provider_ref="second"))
    call_back(store, ACCOUNT, reference)
    assert called(database, *both) == [both[whose]]


def test_one_that_names_none_rings_for_each_that_can_be_asked_about(database, store):
    both = make_two(store, ACCOUNT)
    judge(store, both[1], created(provider_ref="second"))
    call_back(store, ACCOUNT)
    assert called(database, *both) == list(both)


def test_one_that_names_none_waits_while_one_of_them_can_not_be_asked_about(database, store):
    both = make_two(store, ACCOUNT)  # the second was not made yet
    call_back(store, ACCOUNT)
    assert called(database, *both) == []
    assert [row.state for row in rows(database, CALLBACK)] == ["unmatched"]

    judge(store, both[1], created(provider_ref="second"))
    assert [row.state for row in rows(database, CALLBACK)] == ["new"]


def test_where_the_provider_can_not_be_asked_nobody_can_tell(database, store):
    both = make_two(store, SILENT_ACCOUNT)
    judge(store, both[1], created(provider_ref="second"))
    call_back(store, SILENT_ACCOUNT)
    assert called(database, *both) == []
    assert [row.state for row in rows(database, CALLBACK)] == ["unmatched"]
