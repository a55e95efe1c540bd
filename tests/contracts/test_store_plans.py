"""With many rows the store's hot statements read by index: on SQLite always, on PostgreSQL without statistics too."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import text

from domain.decision import Stage
from domain.evidence import ClockRanOut
from domain.looks import Look
from domain.why.patience import Pace
from tests.contracts.plan_cases import MORE, PLACED, assert_by_index, explained, fill, work
from tests.contracts.store_cases import (
    ACCOUNT,
    POLICIES,
    now,
    open_store,
    order,
    policy,
    seen,
    subscribe,
    take,
)
from workers.store import claim_sql
from workers.store.agenda import CLOCK_LANE
from workers.store.deliveries import DeliveryAttempt
from workers.store.endpoints import find_endpoint
from workers.store.judging import Judgement
from workers.store.outbox import any_untold
from workers.store.reads.deliveries import Wanted as Sought
from workers.store.reads.deliveries import find_delivery, page_of_deliveries
from workers.store.reads.events import Wanted, list_events
from workers.store.reads.gauges import read_watched
from workers.store.reads.history import read_history
from workers.store.reads.log import read_page
from workers.store.reads.put_off import find_put_off
from workers.store.reads.settling import (
    count_unmatched,
    page_of_contradictions,
    page_of_doubts,
    page_of_rejected,
    page_of_unmatched,
)
from workers.store.reads.stream import read_unplaced
from workers.store.reads.tries import read_doing, shown_tries
from workers.store.reads.why.late import read_overview
from workers.store.reads.why.order import Around, read_facts
from workers.store.replay import Choice, choose, choose_of_invoice
from workers.store.store import Store


def test_claims_and_due_times_come_from_the_index_of_due_rows(crowded):
    store = open_store(crowded)
    plan = explained(crowded, lambda: store.claim(Stage.CHECK, ACCOUNT, 100, 60.0), r"WITH picked")
    assert_by_index(plan)
    assert "ix_agenda_due" in plan
    lanes = [(Stage.CHECK, ACCOUNT), (Stage.CLOCK, CLOCK_LANE), (Stage.CREATE, ACCOUNT)]
    plan = explained(crowded, lambda: store.next_due(lanes), r"SELECT .*\(SELECT min")
    assert "ix_agenda_due" in plan
    assert "Seq Scan on agenda" not in plan
    assert "SCAN agenda" not in plan


def test_what_is_watched_all_the_time_is_read_by_index(crowded):
    work(crowded)
    plan = explained(crowded, lambda: read_watched(crowded), r"(SELECT|WITH)")
    tables = "agenda|invoice|evidence|event|delivery|callback|rejected_message"
    assert not re.findall(rf"^.*(?:Seq Scan on|\bSCAN) (?:{tables})\b(?!.*USING).*$", plan, re.MULTILINE), plan
    for index in ("ix_agenda_due", "ix_delivery_next", "ix_event_unpublished", "ix_evidence_against"):
        assert index in plan
    for index in ("ix_invoice_status", "ix_invoice_refused", "ix_callback_state", "ix_rejected_waiting"):
        assert index in plan


def test_why_nothing_happens_is_read_by_index(crowded):
    _, _, ids = work(crowded)
    around = Around({}, lambda _: None, lambda _: {})
    tables = "agenda|invoice|evidence|event|delivery|delivery_attempt|callback|rejected_message"
    for ask, indexes in (
        (lambda: crowded.read(read_facts, crowded, ids[0], around), ("ix_evidence_invoice",)),
        (
            lambda: crowded.read(read_overview, crowded, Pace()),
            (
                "ix_agenda_due",
                "ix_invoice_held_up",
                "ix_evidence_against",
                "ix_delivery_failing",
                "ix_rejected_waiting",
            ),
        ),
    ):
        plan = explained(crowded, ask, r"(SELECT|WITH)")
        assert not re.findall(rf"^.*(?:Seq Scan on|\bSCAN) (?:{tables})\b(?!.*USING).*$", plan, re.MULTILINE), plan
        for index in indexes:
            assert index in plan, index


def test_an_invoices_history_and_what_is_to_be_replayed_of_it_are_read_by_index(crowded):
    _, _, ids = work(crowded)
    endpoint = subscribe(crowded)
    tables = "agenda|invoice|evidence|event|delivery|delivery_attempt|callback|operator_act|payment"
    for ask in (
        lambda: crowded.read(read_history, crowded, ids[0], 301),
        lambda: crowded.read(read_history, crowded, ids[0], 301, crowded.time()),
        lambda: crowded.read(choose_of_invoice, endpoint, ids[0], 100),
    ):
        plan = explained(crowded, ask, r"(SELECT|WITH)")
        assert not re.findall(rf"^.*(?:Seq Scan on|\bSCAN) (?:{tables})\b(?!.*USING).*$", plan, re.MULTILINE), plan


def test_who_was_put_off_by_a_provider_is_read_by_index(crowded):
    work(crowded)
    plan = explained(crowded, lambda: crowded.read(find_put_off, crowded.time(), ["nebulox"]), r"WITH")
    assert not re.findall(
        r"^.*(?:Seq Scan on|\bSCAN) (?:agenda|invoice|evidence)\b(?!.*USING).*$", plan, re.MULTILINE
    ), plan
    for index in ("ix_invoice_held_up", "ix_evidence_invoice"):
        assert index in plan, index


def test_a_judged_batch_reads_by_index(crowded):
    store, _, ids = work(crowded)
    claims = {claim.subject: claim for claim in store.claim(Stage.CLOCK, CLOCK_LANE, 60, 60.0)}
    batch = [Judgement(one, ClockRanOut(), claims.get(one)) for one in ids]
    assert_by_index(explained(crowded, lambda: store.judge(batch), r"SELECT agenda"))
    batch = [Judgement(one, seen("paid"), claims.get(one)) for one in ids]
    assert_by_index(explained(crowded, lambda: store.judge(batch), r"DELETE FROM agenda"))


def test_a_settled_batch_reads_by_index(crowded):
    store, endpoint_id, ids = work(crowded)
    store.judge([Judgement(one, seen("confirming")) for one in ids])
    deliveries = store.claim_deliveries(endpoint_id, 30, 60.0)
    plan = explained(crowded, lambda: store.claim_deliveries(endpoint_id, 30, 60.0), r"SELECT delivery")
    assert "ix_delivery_next" in plan
    tries = [DeliveryAttempt(delivery, "delivered") for delivery in deliveries]
    assert_by_index(explained(crowded, lambda: store.settle(tries), r"SELECT agenda"))


def test_what_is_finished_and_old_is_removed_by_index(crowded):
    store, endpoint_id, ids = work(crowded)
    store.judge([Judgement(one, seen("confirming")) for one in ids])
    store.settle([DeliveryAttempt(delivery, "delivered") for delivery in store.claim_deliveries(endpoint_id, 60, 60.0)])
    store.publishing.mark_published([event.number for event in store.publishing.unpublished(200)])
    with crowded.transaction() as connection:
        for statement in MORE if crowded.is_postgresql else ():  # there a few rows are best read whole
            connection.execute(text(statement))
    statements = r"DELETE FROM (event|delivery|delivery_attempt)\b"
    assert_by_index(explained(crowded, lambda: store.remove_finished(timedelta(0)), statements))


def test_events_of_no_invoice_are_found_among_all_that_wait_for_the_archive(crowded):
    store, _, ids = work(crowded)
    store.judge([Judgement(one, seen("confirming")) for one in ids])
    store.publishing.mark_published([event.number for event in store.publishing.unpublished(200)])
    with crowded.transaction() as connection:
        for statement in MORE if crowded.is_postgresql else ():
            connection.execute(text(statement))
    statement = r"SELECT event\.number\s+FROM event\s+WHERE event\.invoice_id"
    plan = explained(crowded, lambda: store.remove_finished(timedelta(0), archived=True), statement)
    assert re.search("uq_event_sequence|autoindex_event", plan), plan
    assert "Sort" not in plan, plan


def test_what_the_console_shows_of_endpoints_is_read_by_index(crowded):
    store, endpoint_id, ids = work(crowded)
    store.judge([Judgement(one, seen("confirming")) for one in ids])
    claimed = store.claim_deliveries(endpoint_id, 30, 60.0)
    store.settle([DeliveryAttempt(one, "failed", "status: 503", 503, 1, b"", 60.0) for one in claimed])
    with crowded.transaction() as connection:
        for statement in MORE if crowded.is_postgresql else ():  # there a few rows are best read whole
            connection.execute(text(statement))
    number = crowded.read(page_of_deliveries, Sought(), 1).rows[0][0].id
    endpoint = crowded.read(find_endpoint, endpoint_id)
    scanned = r"^.*(?:Seq Scan on|\bSCAN) (?:event|delivery|delivery_attempt|invoice)\b(?!.*USING).*$"
    for ask in (
        lambda: crowded.read(read_doing, crowded, endpoint, 50),
        lambda: crowded.read(shown_tries, [1, 2, 3]),
        lambda: crowded.read(find_delivery, number),
        lambda: crowded.read(page_of_deliveries, Sought(endpoints=[endpoint_id]), 20),
        lambda: crowded.read(page_of_deliveries, Sought(endpoints=[endpoint_id], state="dead"), 20),
        lambda: crowded.read(page_of_deliveries, Sought(state="due"), 20),
        lambda: crowded.read(page_of_deliveries, Sought(invoice=ids[0]), 20),
        lambda: crowded.read(choose, Choice(endpoint_id, missed_only=True, newest_only=True), limit=20),
    ):
        plan = explained(crowded, ask, r"(SELECT|WITH)")
        assert not re.findall(scanned, plan, re.MULTILINE), plan
    # The newest events themselves are read in the order of their key, a window of them.
    plan = explained(crowded, lambda: crowded.read(page_of_deliveries, Sought(), 20), r"SELECT delivery")
    assert not re.findall(scanned, plan, re.MULTILINE), plan


def test_what_is_to_be_settled_is_read_by_index(crowded):
    work(crowded)
    tables = "agenda|invoice|evidence|callback|rejected_message"
    for ask, index in (
        (lambda: crowded.read(page_of_doubts, None, None, 20), "ix_invoice_status"),
        (lambda: crowded.read(page_of_unmatched, None, None, 20), "ix_callback_state"),
        (lambda: crowded.read(count_unmatched, 20), "ix_callback_state"),
        (lambda: crowded.read(page_of_rejected, None, None, 20), "ix_rejected_waiting"),
        (lambda: crowded.read(page_of_contradictions, None, None, 20), "ix_evidence_against"),
    ):
        plan = explained(crowded, ask, r"(SELECT|WITH)")
        assert not re.findall(rf"^.*(?:Seq Scan on|\bSCAN) (?:{tables})\b(?!.*USING).*$", plan, re.MULTILINE), plan
        assert index in plan, plan


def test_positions_are_given_and_followed_by_index(crowded):
    store, _, _ = work(crowded)
    store.add_standing()
    (claim,) = store.publishing.claim_publisher(1, 60.0)
    numbers = [event.number for event in store.publishing.unpublished(200)]
    store.publishing.place_events(claim, len(numbers) - 5)
    store.publishing.mark_published(numbers[:-10])  # of the other ten five have their positions, and none is marked
    with crowded.transaction() as connection:
        for statement in PLACED if crowded.is_postgresql else ():
            connection.execute(text(statement))
    scanned = r"^.*(?:Seq Scan on|\bSCAN) (?:event|event_position)\b(?!.*USING).*$"
    for ask, wanted, index in (
        (lambda: store.publishing.place_events(claim, 0, numbers[-1:]), r"SELECT event", "ix_event_unplaced"),
        (store.publishing.mark_told, r"SELECT event", "ix_event_unplaced"),
        (lambda: store.publishing.mark_placed(numbers[-6:-5]), r"(SELECT|UPDATE) event", "event_pkey|PRIMARY KEY"),
        (lambda: store.publishing.unmark(numbers[-1:]), r"UPDATE event", "event_position"),
        (lambda: crowded.read(any_untold), r"SELECT", "ix_event_unpublished"),
        (lambda: crowded.read(read_unplaced, now(crowded)), r"SELECT", "ix_event_unplaced"),
        (lambda: crowded.read(read_page, 3, 10), r"SELECT", "event_position"),
        (lambda: crowded.read(read_page, 3, 10, [ACCOUNT]), r"SELECT", "event_position"),
    ):
        plan = explained(crowded, ask, wanted)
        assert not re.findall(scanned, plan, re.MULTILINE), plan
        assert re.search(index, plan), plan
    plan = explained(crowded, lambda: list(list_events(crowded, Wanted(), limit=10)), r"SELECT")
    assert re.search(r"(SEARCH|Index (Only )?Scan using \w+ on) event_position", plan), plan


def test_repeated_orders_are_found_by_their_key(crowded):
    store = open_store(crowded)
    for thousand in range(4 if crowded.is_postgresql else 1):
        take(store, *(order(f"{thousand}{number:03}") for number in range(1000)))
    plan = explained(
        crowded,
        lambda: store.add_orders([(order(f"000{number}"), ACCOUNT) for number in range(3)]),
        r"SELECT invoice.id, invoice.account",
    )
    assert_by_index(plan)


def test_invoices_come_with_their_claim_by_index(crowded):
    store = open_store(crowded)
    plan = explained(
        crowded,
        lambda: store.claim_invoices(Stage.CHECK, ACCOUNT, 100, 60),
        r"WITH claimed" if crowded.is_postgresql else r"SELECT invoice.id",
    )
    assert_by_index(plan)


def test_look_ups_under_a_budget_are_claimed_and_counted_by_index(crowded):
    store = Store(crowded, POLICIES | {ACCOUNT: policy(look_ups_per_second=5.0)}, lambda _: None)
    looks = (Look.NEAR, Look.OPEN, Look.WATCHED)
    claimed = "WITH claimed" if crowded.is_postgresql else "WITH picked"
    assert_by_index(explained(crowded, lambda: store.claim_look_ups(ACCOUNT, looks, 7, 60.0), claimed))
    fresh = Store(crowded, POLICIES | {ACCOUNT: policy(look_ups_per_second=5.0)}, lambda _: None)
    plan = explained(crowded, lambda: fresh.claim_look_ups(ACCOUNT, looks, 7, 60.0), r"SELECT count")
    assert "agenda" in plan
    if not crowded.is_postgresql:
        assert_by_index(plan)
    plan = explained(crowded, store.gather_look_ups, r"\s*WITH RECURSIVE lanes")
    assert "Seq Scan on agenda" not in plan
    assert "SCAN agenda" not in plan


@pytest.mark.engines
def test_postgresql_claims_by_index_under_any_plan_and_statistics(database):
    if not database.is_postgresql:
        pytest.skip("about PostgreSQL's planner")
    fill(database, 100_000)
    claim = claim_sql.CLAIM_POSTGRESQL.text.replace(":lease", "interval '1 minute'")
    for place, name in enumerate((":stage", ":lane", ":limit", ":token"), start=1):
        claim = claim.replace(name, f"${place}")
    for analyzed in (False, True):
        with database.transaction() as connection:
            if analyzed:
                connection.execute(text("ANALYZE agenda"))
            connection.exec_driver_sql(f"PREPARE claiming (text, text, bigint, text) AS {claim}")
            for mode in ("force_custom_plan", "force_generic_plan"):
                connection.execute(text(f"SET LOCAL plan_cache_mode = {mode}"))
                told = connection.exec_driver_sql(
                    "EXPLAIN (COSTS OFF) EXECUTE claiming ('check', 'zeroxhost', 100, 't')"
                )
                plan = "\n".join(row[0] for row in told)
                assert "Index Scan using ix_agenda_due" in plan
                assert "Tid Scan on agenda" in plan
                assert_by_index(plan)
            connection.exec_driver_sql("DEALLOCATE claiming")
    store = open_store(database)
    lanes = [(Stage.CHECK, ACCOUNT), (Stage.CLOCK, CLOCK_LANE)]
    plan = explained(database, lambda: store.next_due(lanes), r"SELECT .*\(SELECT min")
    assert "Index Only Scan using ix_agenda_due" in plan
    assert "Seq Scan on agenda" not in plan
