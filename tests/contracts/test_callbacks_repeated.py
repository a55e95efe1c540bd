"""A callback that is repeated is about the invoice it was about: no other invoice of the order is paid by it."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

import pytest
from sqlalchemy import update

from domain.decision import Stage
from domain.evidence import CalledBack, CancelRequested, OrderRefused, Unreadable
from domain.status import Status
from tests.contracts.store_cases import (
    ACCOUNT,
    OPERATOR,
    change,
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
from workers.store.tables import CALLBACK, INVOICE

CODES = "nebulox"  #: asked by the tracking codes that callbacks bring


@pytest.fixture
def store(database):
    return Store(database, {CODES: policy(asked_by_reference=True), ACCOUNT: policy()}, lambda _: None)


def make(store, key, ref, account=CODES):
    (invoice,) = take(store, order("1", account=account, idempotency_key=key))
    judge(store, invoice, created(provider_ref=ref))
    return invoice


def call_back(store, reference, times=1, account=CODES, order_id="1"):
    """COMPLETED, each time in other bytes."""
    said = {"order_id": order_id, "reference": reference, "word": "COMPLETED", "amount": None}
    body = json.dumps([reference, times]).encode()
    digest = hashlib.sha256(body).hexdigest()
    store.keep_callbacks([NewCallback(account=account, digest=digest, body=body, headers="{}", **said)])
    evidence = CalledBack(status=Status.PAID, word="COMPLETED", order_id=order_id, reference=reference)
    return store.judge_callbacks(store.claim(Stage.CALLBACK, account, 10, 60), lambda *_: evidence)


def bring_to(store, invoice, status, ref="first"):
    """From pending to a status that ends it."""
    if status == "cancelled":
        judge(store, invoice, CancelRequested(reason="changed my mind"))
    else:
        judge(store, invoice, seen("paid", provider_ref=ref))
    if status == "refunded":
        judge(store, invoice, seen("refunded", provider_ref=ref))


def is_untouched(database, invoice):
    row = invoice_of(database, invoice)
    told = [one for one in evidence_of(database, invoice) if one.source == "callback"]
    return (row.status, row.asked_by, row.called_status, told) == ("pending", None, None, [])


@pytest.mark.parametrize("status", ["paid", "refunded", "cancelled"])
def test_a_repeat_goes_to_the_closed_invoice_that_it_was_about(database, store, status):
    first = make(store, "a", "first")
    call_back(store, "100")
    bring_to(store, first, status)
    second = make(store, "b", "second")

    call_back(store, "100", 2)
    assert is_untouched(database, second)


def test_it_does_so_once_the_first_callback_was_removed_with_age(database, store):
    first = make(store, "a", "first")
    call_back(store, "100")
    bring_to(store, first, "paid")
    with database.transaction() as connection:
        connection.execute(CALLBACK.delete())
    second = make(store, "b", "second")

    call_back(store, "100", 2)
    assert is_untouched(database, second)


def test_it_does_so_where_the_later_invoice_has_the_code_too(database, store):
    first = make(store, "a", "first")
    call_back(store, "100")
    bring_to(store, first, "paid")
    second = make(store, "b", "second")
    change(database, INVOICE, INVOICE.c.id == second, asked_by='["100"]')

    call_back(store, "100", 2)
    assert invoice_of(database, second).called_status is None


def test_one_that_brings_the_provider_s_own_id_goes_to_that_invoice_closed_or_not(database, store):
    first = make(store, "a", "first", ACCOUNT)
    bring_to(store, first, "paid")
    second = make(store, "b", "second", ACCOUNT)

    call_back(store, "first", account=ACCOUNT)
    assert is_untouched(database, second)
    call_back(store, "second", account=ACCOUNT)
    row = invoice_of(database, second)
    assert (row.called_status, row.called_only) == ("paid", 1)


def test_one_that_an_operator_linked_stays_linked_when_it_is_repeated(database, store):
    first = make(store, "a", "first")
    call_back(store, "100", order_id="misspelt")
    (kept,) = rows(database, CALLBACK)
    assert link(store, OPERATOR, kept.id, first) is None
    store.judge_callbacks(
        store.claim(Stage.CALLBACK, CODES, 10, 60),
        lambda *_: CalledBack(status=Status.PAID, word="COMPLETED", order_id="misspelt", reference="100"),
    )
    result = call_back(store, "100", 2, order_id="misspelt")
    assert [one.invoice_id for one in result.outcomes] == [first]


@pytest.mark.parametrize("status", ["paid", "refunded", "cancelled"])
def test_a_code_nobody_knows_may_be_about_the_closed_one_and_pays_no_other_alone(database, store, status):
    """A cancelled invoice is paid all the same, or a paid one once more."""
    first = make(store, "a", "first")
    bring_to(store, first, status)
    second = make(store, "b", "second")
    call_back(store, "200")
    call_back(store, "200", 2)
    row = invoice_of(database, second)
    assert (row.called_status, row.called_only) == ("paid", 0)

    judge(store, second, seen("paid", provider_ref="second", reference="200"))  # a look-up tells
    assert invoice_of(database, second).status == "paid"


@pytest.mark.parametrize("status", ["paid", "cancelled"])
def test_one_without_a_code_waits_for_a_person_where_a_closed_one_may_be_meant(database, store, status):
    first = make(store, "a", "first")
    bring_to(store, first, status)
    second = make(store, "b", "second")
    call_back(store, None)
    assert is_untouched(database, second)
    assert [row.state for row in rows(database, CALLBACK)] == ["unmatched"]


def test_one_that_was_never_made_is_not_meant(database, store):
    (first,) = take(store, order("1", account=CODES, idempotency_key="a"))
    judge(store, first, OrderRefused(reason="no"))
    second = make(store, "b", "second")
    call_back(store, "200")
    assert invoice_of(database, second).called_only == 1


def test_the_only_invoice_of_an_order_is_paid_by_a_callback_alone_as_ever(database, store):
    only = make(store, "a", "first")
    call_back(store, "100")
    change(database, INVOICE, INVOICE.c.id == only, called_at=invoice_of(database, only).created_at.replace(year=2020))
    assert judge(store, only, Unreadable(reason="404")).status == "paid"


@pytest.mark.parametrize(
    ("minutes", "code", "state", "alone", "status"),
    [
        (59, "900", "matched", 1, "pending"),
        (59, None, "matched", None, "paid"),
        (61, "900", "matched", 0, "pending"),
        (61, None, "unmatched", None, "pending"),
    ],
)
def test_what_came_long_before_its_order_pays_it_only_if_a_look_up_says_so(
    database, store, minutes, code, state, alone, status
):
    """A message that is taken again after a failover has its callback shortly before; an older one may be about
    an earlier order with the same id."""
    call_back(store, code)
    with database.transaction() as connection:
        connection.execute(update(CALLBACK).values(at=database.now(connection) - timedelta(minutes=minutes)))
    invoice = make(store, "later", "r-1")
    said = CalledBack(status=Status.PAID, word="COMPLETED", order_id="1", reference=code)
    store.judge_callbacks(store.claim(Stage.CALLBACK, CODES, 10, 60), lambda *_: said)

    (kept,) = rows(database, CALLBACK)
    found = invoice_of(database, invoice)
    assert (kept.state, found.called_only, found.status) == (state, alone, status)


@pytest.mark.parametrize(("code", "state", "alone"), [("900", "matched", 0), (None, "unmatched", None)])
def test_an_order_id_that_came_as_a_number_is_found_and_a_look_up_decides(database, store, code, state, alone):
    """ "0012" is called 12; whether it was another shop's order 12 only a look-up can tell."""
    (invoice,) = take(store, order("0012", account=CODES))
    judge(store, invoice, created(provider_ref="r-1"))
    call_back(store, code, order_id="12")

    (kept,) = rows(database, CALLBACK)
    assert (kept.state, invoice_of(database, invoice).called_only) == (state, alone)


def test_a_number_that_came_before_its_order_is_found_again(database, store):
    call_back(store, "900", order_id="12")
    (invoice,) = take(store, order("0012", account=CODES))
    judge(store, invoice, created(provider_ref="r-1"))
    said = CalledBack(status=Status.PAID, word="COMPLETED", order_id="12", reference="900")
    store.judge_callbacks(store.claim(Stage.CALLBACK, CODES, 10, 60), lambda *_: said)

    assert invoice_of(database, invoice).called_status == "paid"


def test_the_very_id_goes_before_the_same_number(database, store):
    (padded,) = take(store, order("0012", account=CODES))
    judge(store, padded, created(provider_ref="r-1"))
    (exact,) = take(store, order("12", account=CODES))
    judge(store, exact, created(provider_ref="r-2"))
    call_back(store, "900", order_id="12")

    assert is_untouched(database, padded)
    assert invoice_of(database, exact).called_only == 1
