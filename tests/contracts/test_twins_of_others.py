"""Two orders with one order id at one provider account: no search and no look-up gives the one the other's invoice."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from domain.decision import Stage
from domain.evidence import CancelRequested, Found, InDoubt
from domain.exact_json import read_json
from domain.status import Status
from tests.contracts.store_cases import (
    ACCOUNT,
    change,
    created,
    evidence_of,
    invoice_of,
    judge,
    make_due,
    now,
    order,
    policy,
    seen,
    take,
)
from workers.providers.found import Candidate, conclude
from workers.store.database import Database
from workers.store.judging import Judgement
from workers.store.store import Store
from workers.store.tables import INVOICE

ORDER_ID = "1001"


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database, {ACCOUNT: policy(searchable=True)}, lambda _lane: None)


def doubt(store: Store, key: str) -> str:
    """An order in doubt. All have the same order id: their accounts differ, or the one before was cancelled."""
    (invoice_id,) = take(store, order(ORDER_ID, account=f"shop-{key}", idempotency_key=key))
    change(store.database, INVOICE, INVOICE.c.id == invoice_id, provider_account=ACCOUNT)
    judge(store, invoice_id, InDoubt(reason="no whole answer"))
    return invoice_id


def bound(store: Store, key: str, ref: str, **fields: Any) -> str:
    invoice_id = doubt(store, key)
    judge(store, invoice_id, created(provider_ref=ref, **fields))
    return invoice_id


def search(store: Store, *refs: str, paid: str | None = None) -> Found:
    """What a search brings that finds these, the newest first."""
    since = now(store.database)
    candidates = [
        Candidate(
            ref,
            since - timedelta(seconds=age),
            created(provider_ref=ref, address=f"to-{ref}"),
            Status.PAID if ref == paid else Status.PENDING,
        )
        for age, ref in enumerate(refs)
    ]
    found = conclude(candidates, since - timedelta(minutes=5))
    assert isinstance(found, Found)
    return found


def known(store: Store, invoice_id: str) -> tuple[str | None, list[str]]:
    row = invoice_of(store.database, invoice_id)
    return row.provider_ref, read_json(row.twins) if row.twins else []


def looked(store: Store, invoice_id: str, *answers: tuple[str, str]) -> Judgement:
    """A look-up by all of the invoice's references; the first answer says most. The provider names no reference."""
    own = invoice_of(store.database, invoice_id).provider_ref
    first, *others = [
        dataclasses.replace(seen(word), reference=None if ref == own else ref, asked_at=now(store.database))
        for ref, word in answers
    ]
    return Judgement(invoice_id, dataclasses.replace(first, others=tuple(others)))


def look(store: Store, invoice_id: str, *answers: tuple[str, str]) -> Any:
    return store.judge([looked(store, invoice_id, *answers)])[0]


def test_a_twin_that_another_order_has_is_not_taken(store):
    bound(store, "theirs", "RZ")
    ours = doubt(store, "ours")
    judge(store, ours, search(store, "RA", "RZ", "RT"))
    assert known(store, ours) == ("RA", ["RT"])


def test_what_was_cancelled_and_ordered_again_has_no_part_in_the_new_order(store):
    before = bound(store, "before", "R1")
    judge(store, before, CancelRequested(reason="changed their mind"))
    again = doubt(store, "again")
    judge(store, again, search(store, "R2", "R1"))
    assert known(store, again) == ("R2", [])


@pytest.mark.parametrize("paid", [None, "RZ"], ids=["it is the newest", "it is paid"])
def test_where_the_best_is_another_order_s_the_next_best_is_taken_with_all_it_has(store, paid):
    bound(store, "theirs", "RZ")
    ours = doubt(store, "ours")
    refs = ("RA", "RT", "RZ") if paid else ("RZ", "RA", "RT")
    outcome = judge(store, ours, search(store, *refs, paid=paid))
    assert outcome.status == "pending"
    assert known(store, ours) == ("RA", ["RT"])
    assert invoice_of(store.database, ours).address == "to-RA"


def test_where_all_are_other_orders_nothing_is_found(store):
    bound(store, "theirs", "RZ")
    bound(store, "a third one's", "RY")
    ours = doubt(store, "ours")
    judge(store, ours, search(store, "RZ", "RY"))
    row = invoice_of(store.database, ours)
    assert (row.status, row.provider_ref, row.search_failures) == ("in_doubt", None, 1)


def test_a_search_that_comes_late_takes_no_twin_of_another_order_either(store):
    bound(store, "theirs", "RZ")
    ours = bound(store, "ours", "RA")
    judge(store, ours, search(store, "RZ", "RT", "RA"))
    assert known(store, ours) == ("RA", ["RT"])


def test_two_orders_in_doubt_find_an_invoice_each(store):
    """The first has both until the second one's search."""
    first, second = doubt(store, "first"), doubt(store, "second")
    judge(store, first, search(store, "RA", "RZ"))
    judge(store, second, search(store, "RA", "RZ"))
    assert known(store, second) == ("RZ", [])
    assert look(store, first, ("RZ", "paid"), ("RA", "pending")).status == "pending"
    assert look(store, second, ("RZ", "paid")).status == "paid"


def test_two_orders_whose_searches_are_judged_together_find_an_invoice_each(store):
    first, second = doubt(store, "first"), doubt(store, "second")
    both = search(store, "RA", "RZ")
    store.judge([Judgement(first, both), Judgement(second, both)])
    assert {known(store, first)[0], known(store, second)[0]} == {"RA", "RZ"}


def test_an_order_s_free_twin_is_not_taken_by_another_one_that_has_one_of_its_own(store):
    first, second = doubt(store, "first"), doubt(store, "second")
    judge(store, first, search(store, "RA", "RT"))
    judge(store, second, search(store, "RT", "RZ", "RA"))
    assert known(store, second) == ("RZ", [])


@pytest.mark.parametrize("word", ["paid", "partially_paid", "confirming", "refunded"])
@pytest.mark.parametrize("when", ["later", "with the look-up"])
def test_a_twin_whose_owner_s_create_is_answered_later_pays_its_owner_only(store, word, when):
    ours, theirs = doubt(store, "ours"), doubt(store, "theirs")
    judge(store, ours, search(store, "RA", "RZ"))
    assert known(store, ours) == ("RA", ["RZ"])
    before = invoice_of(store.database, ours)
    made, seen_there = (
        Judgement(theirs, created(provider_ref="RZ")),
        looked(store, ours, ("RZ", word), ("RA", "pending")),
    )
    for judgements in [[made], [seen_there]] if when == "later" else [[made, seen_there]]:
        store.judge(judgements)
    after = invoice_of(store.database, ours)
    assert known(store, theirs) == ("RZ", [])
    assert (after.status, after.sequence, after.paid_amount) == ("pending", before.sequence, before.paid_amount)


def test_the_owner_s_create_that_is_judged_beside_a_look_at_the_twin_is_bound(store):
    ours, theirs = doubt(store, "ours"), doubt(store, "theirs")
    judge(store, ours, search(store, "RA", "RZ"))
    both = dataclasses.replace(seen("pending", provider_ref="RA"), others=(seen("pending", provider_ref="RZ"),))
    store.judge([Judgement(ours, both), Judgement(theirs, created(provider_ref="RZ"))])
    assert known(store, theirs)[0] == "RZ"


def test_an_answer_that_is_about_the_other_order_s_twin_alone_says_nothing(store):
    ours, theirs = doubt(store, "ours"), doubt(store, "theirs")
    judge(store, ours, search(store, "RA", "RZ"))
    judge(store, theirs, created(provider_ref="RZ"))
    assert look(store, ours, ("RZ", "paid")).status == "pending"
    last = evidence_of(store.database, ours)[-1]
    assert last.kind == "Unreadable"
    assert theirs in last.detail


def test_our_own_payment_counts_beside_another_order_s(store):
    ours, theirs = doubt(store, "ours"), doubt(store, "theirs")
    judge(store, ours, search(store, "RA", "RT", "RZ"))
    judge(store, theirs, created(provider_ref="RZ"))
    assert look(store, ours, ("RZ", "refunded"), ("RA", "pending"), ("RT", "paid")).status == "paid"


def test_what_a_search_has_beside_the_best_is_not_kept_and_still_it_is_found(store):
    ours = doubt(store, "ours")
    make_due(store.database, ours, Stage.CREATE)
    ((claim, _, _),) = store.claim_creates(ACCOUNT, 10, 60.0)
    found = search(store, "RA", "RZ")
    store.keep([Judgement(ours, found, claim)], 15.0)
    make_due(store.database, ours, Stage.CREATE)
    ((_, _, kept),) = store.claim_creates(ACCOUNT, 10, 60.0)
    assert kept is not None
    assert kept.evidence == dataclasses.replace(found, instead=())
