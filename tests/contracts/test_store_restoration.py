"""After a restore: higher sequences, doubt about what is queued, look-ups, and everybody is told."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import select

from domain.decision import Stage
from domain.event import RESTORED
from domain.evidence import RetryRequested
from domain.sequence import EPOCH_STEP, MAX_EPOCH
from tests.contracts.store_cases import (
    ACCOUNT,
    OPERATOR,
    SILENT_ACCOUNT,
    Background,
    agenda_of,
    change,
    claim_one,
    created,
    deliveries_of,
    disable_endpoint,
    enable_endpoint,
    events_of,
    evidence_of,
    invoice_of,
    judge,
    make_due,
    now,
    open_store,
    pend,
    queue,
    rows,
    seen,
    subscribe,
    wait_until_blocked,
)
from workers.store.deliveries import DeliveryAttempt
from workers.store.judging import Judgement
from workers.store.operate import restoration
from workers.store.queries import changed_invoices
from workers.store.replay import Choice, choose, replay
from workers.store.restoration import DOUBT, EpochsUsedUp
from workers.store.tables import AGENDA, DELIVERY, ENDPOINT, EVENT, EVIDENCE, INVOICE, RESTORATION

TABLES = INVOICE, AGENDA, EVENT, DELIVERY, ENDPOINT, EVIDENCE, RESTORATION


def restore(store, pace=0.0):
    return restoration.restore(store, OPERATOR, lambda _: pace)


def sequences(database, invoice_id):
    return [event.sequence for event in events_of(database, invoice_id)]


def test_the_next_event_of_each_invoice_jumps_once_an_epoch_and_then_counts_on(database):
    store = open_store(database)
    told, untold = pend(store)[0], queue(store)
    judge(store, told, seen("partially_paid", paid_amount=None))
    restore(store)
    judge(store, told, seen("paid"))
    judge(store, told, seen("refunded"))
    judge(store, untold, created())
    assert sequences(database, told) == [1, 2, EPOCH_STEP + 1, EPOCH_STEP + 2]
    assert sequences(database, untold) == [EPOCH_STEP + 1]
    assert invoice_of(database, told).sequence == EPOCH_STEP + 2
    restore(store)
    restore(store)
    judge(store, untold, seen("paid"))
    assert sequences(database, untold) == [EPOCH_STEP + 1, 3 * EPOCH_STEP + 1]
    bodies = [json.loads(event.body)["sequence"] for event in events_of(database, untold)]
    assert bodies == ["000001000001", "000003000001"]


def test_no_invoice_is_written_to_until_its_next_event(database):
    store = open_store(database)
    (invoice,) = pend(store)
    before = invoice_of(database, invoice)
    restore(store)
    assert invoice_of(database, invoice) == before


def test_who_judges_while_the_epoch_is_raised_waits_and_uses_the_new_one(database):
    if not database.is_postgresql:
        return  # one writer at a time
    store = open_store(database)
    held, free = pend(store, 2)
    with database.transaction() as connection:
        connection.execute(select(INVOICE.c.id).where(INVOICE.c.id == held).with_for_update())
        restoring = Background(lambda: restore(store))
        wait_until_blocked(database)
        judging = Background(lambda: judge(store, free, seen("paid")))
        wait_until_blocked(database, 2)
    restoring.result()
    judging.result()
    assert sequences(database, free) == [1, EPOCH_STEP + 1]


@pytest.mark.parametrize(("account", "planned"), [(ACCOUNT, True), (SILENT_ACCOUNT, False)], ids=["retry", "hold"])
def test_a_queued_order_is_in_doubt_and_its_account_decides(database, account, planned):
    store = open_store(database)
    invoice = queue(store, account)
    found, _ = restore(store)
    assert (len(found.uncertain), found.held) == (1, int(not planned))
    after = invoice_of(database, invoice)
    assert (after.status, after.doubts, after.reason) == ("in_doubt", 1, DOUBT)
    assert [(kept.kind, kept.verdict) for kept in evidence_of(database, invoice)] == [("InDoubt", "applied")]
    create = agenda_of(database, invoice).get("create")
    assert (create is not None) == planned
    assert create is None or create.due_at > found.now
    assert store.claim(Stage.CREATE, account, 10, 60) == []


def test_an_order_in_doubt_that_was_to_be_created_again_by_hand_is_held_again(database):
    store = open_store(database)
    by_hand, by_policy = queue(store, SILENT_ACCOUNT), queue(store)
    restore(store)
    judge(store, by_hand, RetryRequested(reason="created again by hand"))
    planned = agenda_of(database, by_policy)
    found, _ = restore(store)
    assert [row.id for row in found.uncertain] == [by_hand]
    assert agenda_of(database, by_hand) == {}
    assert agenda_of(database, by_policy) == planned
    assert invoice_of(database, by_policy).doubts == 1


def test_a_parked_create_stays_parked(database):
    store = open_store(database)
    invoice = queue(store)
    change(database, AGENDA, AGENDA.c.subject == invoice, due_at=None, claims=6)
    restore(store)
    assert invoice_of(database, invoice).status == "queued"
    assert agenda_of(database, invoice)["create"].due_at is None


def test_a_create_that_is_under_way_keeps_its_lease_and_its_answer_counts(database):
    store = open_store(database)
    invoice = queue(store)
    claim = claim_one(store, Stage.CREATE)
    restore(store)
    assert agenda_of(database, invoice)["create"].lease_token == claim.token
    assert store.claim(Stage.CREATE, ACCOUNT, 10, 60) == []
    assert judge(store, invoice, created(), claim).status == "pending"
    assert invoice_of(database, invoice).doubts == 1
    assert "create" not in agenda_of(database, invoice)


def test_an_answer_that_was_kept_before_the_backup_counts_instead_of_a_second_create(database):
    store = open_store(database)
    invoice = queue(store)
    claim, answer = claim_one(store, Stage.CREATE), created()
    store.keep([Judgement(invoice, answer, claim)], 1)
    change(database, AGENDA, AGENDA.c.subject == invoice, due_at=now(database) - timedelta(hours=1))
    restore(store)
    make_due(database, invoice, Stage.CREATE)
    ((_, _, kept),) = store.claim_creates(ACCOUNT, 10, 60)
    assert kept is not None
    assert getattr(kept.evidence, "provider_ref", None) == answer.provider_ref


def test_no_create_s_lease_lasts_longer_than_one_from_now(database):
    store = open_store(database)
    invoice = queue(store)
    claim_one(store, Stage.CREATE, lease_seconds=86_400)
    found, _ = restore(store)
    left = agenda_of(database, invoice)["create"].due_at - found.now
    assert left == timedelta(seconds=20)  # the account's time-out and ten


def test_a_create_s_lease_that_is_over_costs_one_doubt(database):
    store = open_store(database)
    invoice = queue(store)
    claim_one(store, Stage.CREATE)
    change(database, AGENDA, AGENDA.c.subject == invoice, due_at=now(database) - timedelta(hours=1))
    found, _ = restore(store)
    row = agenda_of(database, invoice)["create"]
    assert (row.lease_token, row.claims) == (None, 0)
    assert row.due_at > found.now
    assert invoice_of(database, invoice).doubts == 1


def test_all_other_leases_of_before_are_over(database):
    store = open_store(database)
    endpoint = subscribe(database)
    (invoice,) = pend(store)
    store.add_standing()
    change(database, AGENDA, AGENDA.c.stage == "check", due_at=now(database) - timedelta(seconds=1))
    claim_one(store, Stage.CHECK, lease_seconds=86_400)
    store.publishing.claim_publisher(1, 86_400)
    assert store.claim_deliveries(endpoint, 10, 86_400)
    found, _ = restore(store)
    assert found.leases == 3
    assert [row.subject for row in rows(database, AGENDA, AGENDA.c.lease_token.is_not(None))] == []
    assert claim_one(store, Stage.CHECK).subject == invoice
    assert len(store.publishing.claim_publisher(1, 10)) == 1
    assert f"{endpoint}/{invoice}" in {one.claim.subject for one in store.claim_deliveries(endpoint, 10, 60)}


def test_open_invoices_are_looked_up_one_after_the_other_and_none_later_than_it_would_have_been(database):
    store = open_store(database)
    ids = pend(store, 4)
    start = now(database)
    for place, invoice in enumerate(ids):
        due_at = start + timedelta(hours=1 + place) if place else start - timedelta(hours=1)
        change(database, AGENDA, AGENDA.c.subject == invoice, AGENDA.c.stage == "check", due_at=due_at)
    found, _ = restore(store, pace=30)
    due = [agenda_of(database, invoice)["check"].due_at for invoice in ids]
    assert due == [start - timedelta(hours=1), *(found.now + timedelta(seconds=30 * place) for place in (1, 2, 3))]
    assert {account: len(rows) for account, rows in found.look_ups.items()} == {ACCOUNT: 4}


def test_invoices_that_nobody_can_ask_about_are_named_by_their_account(database):
    store = open_store(database)
    pend(store, 2, account=SILENT_ACCOUNT)
    pend(store, 3)
    found, _ = restore(store)
    assert found.unaskable == {SILENT_ACCOUNT: 2}


def test_every_endpoint_and_the_stream_are_told_whatever_the_filter_says(database):
    store = open_store(database)
    every, some, off = subscribe(database), subscribe(database, ["invoice.paid"]), subscribe(database)
    disable_endpoint(database, off)
    found, event_id = restore(store)
    assert (found.endpoints, found.disabled) == (3, 1)
    (event,) = rows(database, EVENT, EVENT.c.id == event_id)
    body = json.loads(event.body)
    assert (body["type"], body["source"], body["id"]) == (RESTORED, "/invoices", event_id)
    assert "subject" not in body
    assert "sequence" not in body
    assert body["data"]["epoch"] == 1
    assert "idempotency keys" in body["data"]["advice"]
    assert [waiting.id for waiting in store.publishing.unpublished(10)] == [event_id]
    assert [row.endpoint_id for row in deliveries_of(database, event_id)] == sorted([every, some, off])
    for endpoint in (every, some):
        (delivery,) = store.claim_deliveries(endpoint, 10, 60)
        assert (delivery.event_id, delivery.body) == (event_id, event.body)
        store.settle([DeliveryAttempt(delivery, "delivered", status=200)])
    assert {receiver.id for receiver in store.live_endpoints()} == {every, some}
    assert enable_endpoint(database, off) == 1
    assert [delivery.event_id for delivery in store.claim_deliveries(off, 10, 60)] == [event_id]


def test_two_events_of_no_invoice_don_t_wait_for_each_other(database):
    store = open_store(database)
    endpoint = subscribe(database)
    ids = {restore(store)[1], restore(store)[1]}
    assert {delivery.event_id for delivery in store.claim_deliveries(endpoint, 10, 60)} == ids


def test_an_event_of_no_invoice_can_be_replayed_to_an_endpoint_that_came_later(database):
    store = open_store(database)
    pend(store)
    _, event_id = restore(store)
    later = subscribe(database, ["invoice.paid"])
    with database.transaction() as connection:
        events = choose(connection, Choice(later), limit=10)
        assert replay(connection, database, later, events) == 1
    assert [delivery.event_id for delivery in store.claim_deliveries(later, 10, 60)] == [event_id]
    with database.reading() as connection:
        assert len(choose(connection, Choice(later, [RESTORED]), limit=10)) == 1


def test_an_event_of_no_invoice_is_removed_once_everybody_has_it(database):
    store = open_store(database)
    endpoint = subscribe(database)
    _, event_id = restore(store)
    store.publishing.mark_published([event.number for event in store.publishing.unpublished(10)])
    assert store.remove_finished(timedelta(seconds=-1)) == 0  # the endpoint waits for it
    store.settle(
        [DeliveryAttempt(delivery, "delivered", status=200) for delivery in store.claim_deliveries(endpoint, 10, 60)]
    )
    assert store.remove_finished(timedelta(seconds=-1)) == 3  # with its delivery and its try
    assert events_of(database, event_id) == []


def test_events_of_no_invoice_hide_none_that_changed(database):
    store = open_store(database)
    (invoice,) = pend(store)
    for _ in range(11):
        restore(store)
    with database.reading() as connection:
        assert [row.id for row in changed_invoices(connection, 1)] == [invoice]


def test_a_survey_says_what_would_be_done_and_changes_nothing(database):
    store = open_store(database)
    subscribe(database)
    pend(store, 2)
    queue(store)
    claim_one(store, Stage.CREATE)
    before = [rows(database, table) for table in TABLES]
    found = restoration.survey(store)
    assert [rows(database, table) for table in TABLES] == before
    assert (found.epoch, len(found.uncertain), found.leases, found.endpoints) == (1, 1, 1, 1)
    done, _ = restore(store)
    assert (done.epoch, done.uncertain, done.leases, done.look_ups) == (1, found.uncertain, 1, found.look_ups)
    assert restoration.survey(store).epoch == 2


def test_what_is_known_until_is_the_newest_order_or_event(database):
    store = open_store(database)
    assert restoration.survey(store).known_until is None
    invoice = queue(store)
    assert restoration.survey(store).known_until == invoice_of(database, invoice).created_at
    judge(store, invoice, created())
    assert restoration.survey(store).known_until == events_of(database, invoice)[-1].created_at


def test_more_orders_than_are_judged_at_a_time_are_all_in_doubt(database, monkeypatch):
    monkeypatch.setattr("workers.store.restoration.BATCH", 2)
    store = open_store(database)
    ids = {queue(store) for _ in range(5)}
    pend(store, 3)
    found, _ = restore(store)
    assert {row.id for row in found.uncertain} == ids
    assert {row.id for row in rows(database, INVOICE, INVOICE.c.status == "in_doubt")} == ids
    assert all(row.due_at <= found.now for row in rows(database, AGENDA, AGENDA.c.stage == "check"))


def test_epochs_are_bounded_so_that_sequences_fit_their_column(database):
    store = open_store(database)
    (invoice,) = pend(store)
    with database.transaction() as connection:
        connection.execute(RESTORATION.insert().values(epoch=MAX_EPOCH, at=database.now(connection)))
    judge(store, invoice, seen("paid"))
    assert sequences(database, invoice) == [1, MAX_EPOCH * EPOCH_STEP + 1]
    with pytest.raises(EpochsUsedUp, match="can't rise any further"):
        restore(store)
    with pytest.raises(EpochsUsedUp):
        restoration.survey(store)
