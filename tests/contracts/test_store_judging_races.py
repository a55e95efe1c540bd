"""Writers side by side: they wait for each other in one order, lose nothing, and each sees what the other did."""

from __future__ import annotations

import random
from typing import Any

from domain.against import CONTRADICTION
from domain.decision import Decision, Stage
from domain.evidence import CancelRequested, InDoubt, Unreachable
from domain.lifecycle import decide
from tests.contracts.store_cases import (
    ACCOUNT,
    Background,
    agenda_of,
    created,
    events_of,
    in_threads,
    invoice_of,
    judge,
    open_store,
    pend,
    queue,
    rows,
    seen,
    subscribe,
    wait_until_blocked,
)
from workers.store import judging
from workers.store.deliveries import DeliveryAttempt
from workers.store.judging import Judgement
from workers.store.tables import AGENDA, DELIVERY, EVENT, INVOICE

WRITERS = 3
TURNS = 12


def judge_within(store, connection, *judgements):
    """Judge in an open transaction that the caller ends."""
    return judging.judge(connection, store.database, store.policy_of, judgements)[0]


def test_who_comes_second_judges_what_the_first_has_written(database):
    store = open_store(database)
    (invoice_id,) = pend(store)
    with database.transaction() as connection:
        judge_within(store, connection, Judgement(invoice_id, CancelRequested(reason="gave up")))
        late = Background(lambda: judge(store, invoice_id, seen("paid")))
        wait_until_blocked(database)
    outcome = late.result()
    assert (outcome.verdict, outcome.status_before) == ("contradiction", "cancelled")
    types = [event.type for event in events_of(database, invoice_id)]
    assert types == ["invoice.pending", "invoice.cancelled", "invoice.contradiction"]


def test_who_comes_second_decides_by_the_time_at_which_it_got_the_lock(database):
    store = open_store(database)
    (invoice_id,) = pend(store)
    with database.transaction() as connection:
        judge_within(store, connection, Judgement(invoice_id, seen("partially_paid")))
        late = Background(lambda: judge(store, invoice_id, seen("confirming")))
        wait_until_blocked(database)
        let_go = database.now(connection)
    late.result()
    assert invoice_of(database, invoice_id).updated_at >= let_go


def test_who_comes_second_reads_the_invoice_only_when_the_first_has_let_go(database, monkeypatch):
    """Nothing is on this invoice's agenda: its own lock is all there is. Without it the second would judge a row that
    the first is changing, and only the event's unique number would stop it."""
    store = open_store(database)
    (invoice_id,) = pend(store)
    judge(store, invoice_id, seen("paid"))
    assert agenda_of(database, invoice_id) == {}
    judged: list[str] = []
    with database.transaction() as connection:
        judge_within(store, connection, Judgement(invoice_id, seen("refunded")))

        def decide_and_tell(invoice: Any, *rest: Any) -> Decision:
            judged.append(invoice.status)
            return decide(invoice, *rest)

        monkeypatch.setattr("workers.store.judging.transaction.decide", decide_and_tell)
        late = Background(lambda: judge(store, invoice_id, seen("refunded")))
        wait_until_blocked(database)
        assert judged == []
    assert late.result().status_before == "refunded"
    assert judged == ["refunded"]


def test_one_reference_named_by_two_transactions_at_once_binds_one_order(database):
    store = open_store(database)
    owner, other = queue(store), queue(store)
    claims = {claim.subject: claim for claim in store.claim(Stage.CREATE, ACCOUNT, 2, 60)}
    with database.transaction() as connection:
        judge_within(store, connection, Judgement(owner, created(provider_ref="r-1"), claims[owner]))
        second = Background(lambda: judge(store, other, created(provider_ref="r-1"), claims[other]))
        wait_until_blocked(database)
    outcome = second.result()
    assert outcome.status == "in_doubt"
    assert owner in outcome.reason
    assert invoice_of(database, owner).provider_ref == "r-1"
    assert invoice_of(database, other).provider_ref is None
    row = agenda_of(database, other)["create"]
    assert (row.lease_token, row.claims) == (None, 0)


def test_the_rest_of_a_batch_survives_a_reference_that_was_taken_meanwhile(database):
    store = open_store(database)
    owner, other, third = (queue(store) for _ in range(3))
    with database.transaction() as connection:
        judge_within(store, connection, Judgement(owner, created(provider_ref="r-1")))
        second = Background(
            lambda: store.judge([Judgement(third, created()), Judgement(other, created(provider_ref="r-1"))])
        )
        wait_until_blocked(database)
    assert [outcome.status for outcome in second.result()] == ["pending", "in_doubt"]
    assert [event.sequence for event in events_of(database, third)] == [1]


def random_evidence(dice: random.Random) -> Any:
    words = ["pending", "partially_paid", "confirming", "confirming", "paid", "expired"]
    kinds: list[Any] = [
        lambda: seen(dice.choice(words)),
        lambda: seen(dice.choice(words)),
        created,
        lambda: InDoubt(reason="time-out"),
        lambda: Unreachable(reason="refused"),
        lambda: CancelRequested(reason="gave up") if dice.random() < 0.2 else seen("pending"),
    ]
    return dice.choice(kinds)()


def test_overlapping_batches_in_any_order_lock_nobody_out_and_leave_no_gap(database):
    """Judges, claimers, deliverers and intake on the same rows; any deadlock would be raised by one of them."""
    subscribe(database)
    subscribe(database, ["invoice.paid"])
    ids = pend(open_store(database), 15) + [queue(open_store(database)) for _ in range(15)]

    def judging_writer(seed):
        dice, store = random.Random(seed), open_store(database)

        def write():
            for _ in range(TURNS):
                chosen = dice.choices(ids, k=10)
                claims = {
                    claim.subject: claim
                    for stage in (Stage.CREATE, Stage.CHECK)
                    for claim in store.claim(stage, ACCOUNT, 5, dice.choice([0, 60]))
                }
                store.judge([Judgement(one, random_evidence(dice), claims.get(one)) for one in chosen])
                store.release([claim for claim in claims.values() if claim.subject not in chosen])

        return write

    def deliverer(seed):
        dice, store = random.Random(seed), open_store(database)

        def deliver():
            for _ in range(TURNS):
                for receiver in store.live_endpoints():
                    deliveries = store.claim_deliveries(receiver.id, 10, 60)
                    tries = [DeliveryAttempt(delivery, "failed", wait_seconds=0) for delivery in deliveries]
                    dice.shuffle(tries)
                    store.settle(tries)

        return deliver

    in_threads(*(judging_writer(seed) for seed in range(WRITERS)), deliverer(100), deliverer(101))
    invoices = rows(database, INVOICE)
    assert len(invoices) == len(ids)
    for invoice in invoices:
        events = events_of(database, invoice.id)
        assert [event.sequence for event in events] == list(range(1, invoice.sequence + 1))
        changes = [event for event in events if event.type != CONTRADICTION]
        if changes:
            assert changes[-1].type == f"invoice.{invoice.status}"
    told = {(row.endpoint_id, row.invoice_id) for row in rows(database, DELIVERY, DELIVERY.c.state == "due")}
    planned = {tuple(row.subject.split("/")) for row in rows(database, AGENDA, AGENDA.c.stage == "deliver")}
    assert planned == told
    assert len(rows(database, EVENT)) == sum(invoice.sequence for invoice in invoices)
