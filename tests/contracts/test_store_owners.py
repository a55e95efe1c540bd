"""Whose invoice an answer is about: one about another order's invoice binds nothing."""

from __future__ import annotations

from tests.contracts.store_cases import SILENT_ACCOUNT, created, invoice_of, judge, open_store, queue
from workers.store.judging import Judgement


def test_a_reference_of_another_order_binds_nothing(database):
    store = open_store(database)
    owner, other = queue(store), queue(store)
    judge(store, owner, created(provider_ref="r-1", address="mine"))
    outcome = judge(store, other, created(provider_ref="r-1", address="mine"))
    assert outcome.status == "in_doubt"
    assert owner in str(outcome.reason)
    row = invoice_of(database, other)
    assert (row.provider_ref, row.address, row.sequence) == (None, None, 0)


def test_a_reference_named_twice_in_one_batch_binds_the_first(database):
    store = open_store(database)
    owner, other = queue(store), queue(store)
    answers = [created(provider_ref="r-1", address="mine"), created(provider_ref="r-1", address="mine")]
    outcomes = store.judge([Judgement(owner, answers[0]), Judgement(other, answers[1])])
    assert [outcome.status for outcome in outcomes] == ["pending", "in_doubt"]


def test_the_same_reference_at_two_accounts_is_two_invoices(database):
    store = open_store(database)
    one, other = queue(store), queue(store, account=SILENT_ACCOUNT)
    outcomes = store.judge([Judgement(one, created(provider_ref="1")), Judgement(other, created(provider_ref="1"))])
    assert [outcome.status for outcome in outcomes] == ["pending", "pending"]


def test_an_answer_that_names_another_order_binds_nothing_though_its_reference_is_free(database):
    """That order's own answer may still be on its way: who is answered first must not keep its invoice."""
    store = open_store(database)
    owner, other = queue(store), queue(store)
    named = invoice_of(database, owner).order_id
    outcome = judge(store, other, created(provider_ref="r-1", address="theirs", order_id=named))
    assert outcome.status == "in_doubt"
    assert owner in str(outcome.reason)
    assert invoice_of(database, other).provider_ref is None
    assert judge(store, owner, created(provider_ref="r-1", address="theirs")).status == "pending"


def test_two_crossed_answers_in_one_batch_bind_nothing(database):
    store = open_store(database)
    one, other = queue(store), queue(store)
    names = [invoice_of(database, each).order_id for each in (one, other)]
    outcomes = store.judge([Judgement(one, created(order_id=names[1])), Judgement(other, created(order_id=names[0]))])
    assert [outcome.status for outcome in outcomes] == ["in_doubt", "in_doubt"]


def test_an_id_of_the_provider_s_own_or_of_another_account_s_order_is_no_obstacle(database):
    store = open_store(database)
    elsewhere = invoice_of(database, queue(store, account=SILENT_ACCOUNT)).order_id
    for named in ("594948ab-8d1f-4a6e-9d0e-6b1c3f8f4f1a", elsewhere):
        assert judge(store, queue(store), created(order_id=named)).status == "pending"
