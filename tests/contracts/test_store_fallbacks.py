"""Going on to the next account is one transaction: row, agenda, history and doorbell, and only by who holds the row."""

from __future__ import annotations

import json

import pytest

from domain.decision import Stage
from domain.evidence import CredentialsRefused, OrderRefused, Unreachable
from tests.contracts.store_cases import (
    ACCOUNT,
    POLICIES,
    SILENT_ACCOUNT,
    agenda_of,
    claim_one,
    created,
    events_of,
    evidence_of,
    invoice_of,
    judge,
    open_store,
    order,
    policy,
    queue,
    take,
)
from workers.store.store import Store
from workers.store.tables import AGENDA

THIRD = "third"
PROVIDERS = {ACCOUNT: "zeroxhost", SILENT_ACCOUNT: "nebulox", THIRD: "nebulox"}
REFUSED = OrderRefused(reason="no such user")
OTHERS = [{"account": SILENT_ACCOUNT, "price": "0.100000000000000055", "currency": "ETH", "params": {"a": 1}}, THIRD]


@pytest.fixture
def store(database, rung):
    given = {ACCOUNT: policy(providers=PROVIDERS), THIRD: policy(providers=PROVIDERS, can_be_asked=False)}
    silent = {SILENT_ACCOUNT: policy(providers=PROVIDERS, can_be_asked=False, on_doubt="hold")}
    return Store(database, given | silent, rung.append)


def test_an_order_goes_on_to_its_next_account_at_once(database, store, rung):
    invoice_id = queue(store, fallback_accounts=OTHERS)
    claim = claim_one(store, Stage.CREATE)
    rung.clear()
    outcome = judge(store, invoice_id, REFUSED, claim)
    assert (outcome.verdict, outcome.status, outcome.event_type) == ("applied", "queued", None)
    row = invoice_of(database, invoice_id)
    assert (row.account, row.provider_account, row.provider) == (ACCOUNT, SILENT_ACCOUNT, "nebulox")
    assert (str(row.price), row.currency, row.params) == ("0.100000000000000055", "ETH", '{"a":1}')
    planned = agenda_of(database, invoice_id)["create"]
    assert (planned.lane, planned.lease_token, planned.claims) == (SILENT_ACCOUNT, None, 0)
    assert rung == [(Stage.CREATE, SILENT_ACCOUNT)]
    assert store.claim(Stage.CREATE, ACCOUNT, 10, 60) == []
    following = claim_one(store, Stage.CREATE, SILENT_ACCOUNT)
    assert (following.subject, following.lost) == (invoice_id, False)
    assert events_of(database, invoice_id) == []


def test_events_carry_the_account_that_made_it_and_what_it_was_asked_for(database, store):
    invoice_id = queue(store, fallback_accounts=OTHERS)
    judge(store, invoice_id, REFUSED, claim_one(store, Stage.CREATE))
    judge(store, invoice_id, created(provider_ref="r-1"), claim_one(store, Stage.CREATE, SILENT_ACCOUNT))
    (event,) = events_of(database, invoice_id)
    data = json.loads(event.body)["data"]
    assert (data["account"], data["provider_account"], data["provider"]) == (ACCOUNT, SILENT_ACCOUNT, "nebulox")
    assert (data["price"], data["currency"], data["status"]) == ("0.100000000000000055", "ETH", "pending")
    assert invoice_of(database, invoice_id).fallbacks is None


def test_the_history_names_each_account_and_its_refusal_also_where_all_say_the_same(database, store):
    invoice_id = queue(store, fallback_accounts=OTHERS)
    for lane in (ACCOUNT, SILENT_ACCOUNT, THIRD):
        judge(store, invoice_id, REFUSED, claim_one(store, Stage.CREATE, lane))
    kept = evidence_of(database, invoice_id)
    assert [json.loads(one.detail) for one in kept] == [
        {"account": lane, "reason": "no such user"} for lane in (ACCOUNT, SILENT_ACCOUNT, THIRD)
    ]
    assert [one.note for one in kept] == [f"next: {SILENT_ACCOUNT}", f"next: {THIRD}", None]
    row = invoice_of(database, invoice_id)
    assert (row.status, row.reason, row.provider_account, str(row.price)) == ("failed", "no such user", THIRD, "10.50")
    assert agenda_of(database, invoice_id) == {}


def test_what_the_account_before_says_again_moves_the_order_no_further(database, store):
    """A commit whose own answer was lost is made again, while the next account's call is under way."""
    invoice_id = queue(store, fallback_accounts=OTHERS)
    first = claim_one(store, Stage.CREATE)
    judge(store, invoice_id, REFUSED, first)
    second = claim_one(store, Stage.CREATE, SILENT_ACCOUNT)
    assert judge(store, invoice_id, REFUSED, first).verdict == "noted"
    row, planned = invoice_of(database, invoice_id), agenda_of(database, invoice_id)["create"]
    assert (row.status, row.provider_account) == ("queued", SILENT_ACCOUNT)
    assert (planned.lane, planned.lease_token) == (SILENT_ACCOUNT, second.token)
    assert judge(store, invoice_id, created(), second).status == "pending"


def test_a_refusal_under_a_lease_that_is_over_sends_the_order_nowhere_while_another_worker_holds_it(database, store):
    invoice_id = queue(store, fallback_accounts=OTHERS)
    late = claim_one(store, Stage.CREATE)
    with database.transaction() as connection:
        connection.execute(AGENDA.update().where(AGENDA.c.stage == "create").values(lease_token="other", claims=2))
    assert judge(store, invoice_id, REFUSED, late).verdict == "noted"
    planned = agenda_of(database, invoice_id)["create"]
    assert (planned.lane, planned.lease_token) == (ACCOUNT, "other")
    assert invoice_of(database, invoice_id).provider_account == ACCOUNT


def test_an_invoice_that_the_account_before_made_after_all_is_told_to_the_operator_and_binds_nothing(database, store):
    invoice_id = queue(store, fallback_accounts=OTHERS)
    first = claim_one(store, Stage.CREATE)
    judge(store, invoice_id, REFUSED, first)
    outcome = judge(store, invoice_id, created(provider_ref="twin"), first)
    assert (outcome.verdict, outcome.status) == ("contradiction", "queued")
    row = invoice_of(database, invoice_id)
    assert (row.provider_ref, row.provider_account) == (None, SILENT_ACCOUNT)
    assert evidence_of(database, invoice_id)[-1].note == f"account: {ACCOUNT} made it too"
    assert agenda_of(database, invoice_id)["create"].lane == SILENT_ACCOUNT


@pytest.mark.parametrize("known", ["before", "after"])
def test_an_account_that_made_it_too_is_told_to_the_shop_once_it_knows_of_the_invoice(database, store, known):
    invoice_id = queue(store, fallback_accounts=OTHERS)
    first = claim_one(store, Stage.CREATE)
    judge(store, invoice_id, REFUSED, first)
    second = claim_one(store, Stage.CREATE, SILENT_ACCOUNT)
    if known == "before":
        judge(store, invoice_id, created(), second)
    for _ in range(2):
        judge(store, invoice_id, created(provider_ref="twin"), first)
    if known == "after":
        assert events_of(database, invoice_id) == []
        judge(store, invoice_id, created(), second)
    judge(store, invoice_id, created(provider_ref="twin"), first)

    told = events_of(database, invoice_id)
    assert [event.type for event in told] == ["invoice.pending", "invoice.contradiction"]
    assert [event.sequence for event in told] == [1, 2]
    data = json.loads(told[-1].body)["data"]
    assert (data["kind"], data["status"], data["previous_status"]) == ("account", "pending", "pending")
    row = invoice_of(database, invoice_id)
    assert (row.contradicted, row.sequence, row.provider_account) == ("account", 2, SILENT_ACCOUNT)


def test_the_next_accounts_policy_decides_about_its_answers(database, store):
    invoice_id = queue(store, fallback_accounts=OTHERS)
    judge(store, invoice_id, CredentialsRefused(reason="HTTP 406"), claim_one(store, Stage.CREATE))
    judge(store, invoice_id, created(), claim_one(store, Stage.CREATE, SILENT_ACCOUNT))
    assert set(agenda_of(database, invoice_id)) == {"clock"}  # nobody can be asked there


def test_an_unreachable_account_is_left_at_its_second_try(database, store):
    invoice_id = queue(store, fallback_accounts=OTHERS)
    for _ in range(2):
        assert agenda_of(database, invoice_id)["create"].lane == ACCOUNT
        with database.transaction() as connection:
            now = database.now(connection)
            connection.execute(AGENDA.update().where(AGENDA.c.stage == "create").values(due_at=now))
        judge(store, invoice_id, Unreachable(reason="connection refused"), claim_one(store, Stage.CREATE))
    assert agenda_of(database, invoice_id)["create"].lane == SILENT_ACCOUNT


def test_a_repeat_with_the_same_accounts_is_known_and_one_with_others_is_refused(store):
    first = order("1001", fallback_accounts=OTHERS)
    take(store, first)
    again, other = store.add_orders([(first, ACCOUNT), (order("1001", fallback_accounts=[THIRD]), ACCOUNT)])
    assert (again.outcome, other.outcome) == ("repeated", "refused")


def test_a_store_that_knows_no_other_account_ends_the_order_where_it_is(database):
    assert not POLICIES[ACCOUNT].providers
    store = open_store(database)
    invoice_id = queue(store, fallback_accounts=OTHERS)
    assert judge(store, invoice_id, REFUSED, claim_one(store, Stage.CREATE)).status == "failed"
