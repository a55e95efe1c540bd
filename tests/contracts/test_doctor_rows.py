"""What the doctor reads out of the rows: late lanes, the stream, messages. The same on both databases."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import redis

from domain.decision import Stage
from domain.evidence import CancelRequested, RateLimited
from domain.looks import Look
from domain.why import Cause
from domain.why.beside import SOON
from domain.why.patience import Pace
from tests.contracts.doctor_cases import by_cause, settings, wrong
from tests.contracts.position_cases import claim as claim_publisher
from tests.contracts.store_cases import (
    ACCOUNT,
    POLICIES,
    SILENT_ACCOUNT,
    change,
    created,
    disable_endpoint,
    judge,
    make_due,
    now,
    pend,
    policy,
    queue,
    rows,
    seen,
    subscribe,
)
from workers.cli.doctor.agenda import check_agenda
from workers.cli.doctor.messages import check_messages
from workers.cli.doctor.orders import check_orders
from workers.cli.doctor.stream import check_stream
from workers.coordination.look_up_budget import key_of as budget_key_of
from workers.coordination.rate_limit import key_of
from workers.store.agenda import CLOCK_LANE, PUBLISH_LANE, RETAIN_LANE
from workers.store.intake import Rejection
from workers.store.reads.why.late import read_overview
from workers.store.store import Store
from workers.store.tables import AGENDA, EVENT


@pytest.fixture
def config(tmp_path):
    """Settings without a Redis."""
    return settings(tmp_path)


# --- nothing to do ----------------------------------------------------------------------------------------------------


def test_standing_rows_that_have_been_due_for_a_day_are_not_wrong_while_there_is_nothing_to_tell(
    database, store, config, tmp_path
):
    store.add_standing()
    make_due(database, PUBLISH_LANE)
    make_due(database, RETAIN_LANE)

    found = by_cause([*check_agenda(database, config), *check_stream(database, config)])
    assert wrong(found.values()) == []
    assert found["removal_overdue"].state == "note"
    kept_for_ever = settings(tmp_path, retention_days=0)
    assert [finding.state for finding in check_agenda(database, kept_for_ever)] == ["ok"]


def test_what_falls_due_later_is_not_overdue(database, store, config):
    pend(store, 3)
    assert [finding.state for finding in check_agenda(database, config)] == ["ok"]


# --- lanes that are late ----------------------------------------------------------------------------------------------


def test_orders_that_nobody_makes_are_told_with_their_number_and_age(database, store, config):
    for _ in range(3):
        make_due(database, queue(store))
    (found,) = check_agenda(database, config)
    assert (found.state, found.cause, found.count) == ("wrong", "overdue", 3)
    assert found.since is not None
    assert now(database) - found.since > timedelta(hours=23)
    assert f"create/{ACCOUNT}" in found.detail


def test_a_backlog_that_somebody_works_on_is_a_note(database, store, config):
    make_due(database, queue(store))
    queue(store)
    store.claim(Stage.CREATE, ACCOUNT, 1, 60.0)
    late = queue(store)
    make_due(database, late)
    (note, ok) = check_agenda(database, config)
    assert (note.state, note.cause, ok.state) == ("note", "backlog", "ok")


def test_a_lease_that_ended_long_ago_is_nobody_who_works(database, store, config):
    late = queue(store)
    store.claim(Stage.CREATE, ACCOUNT, 1, 60.0)
    make_due(database, late)
    (found,) = check_agenda(database, config)
    assert (found.state, found.cause) == ("wrong", "overdue")


def test_times_that_ran_out_are_never_a_mere_backlog(database, store, config):
    held, late = pend(store, 2)
    make_due(database, held, Stage.CLOCK)
    store.claim(Stage.CLOCK, CLOCK_LANE, 1, 60.0)
    make_due(database, late, Stage.CLOCK)
    assert wrong(check_agenda(database, config)) == ["overdue"]


def test_parked_rows_are_told_with_the_command_that_takes_them_up(database, store, config):
    change(database, AGENDA, AGENDA.c.subject == queue(store), due_at=None, claims=6)
    (found,) = check_agenda(database, config)
    assert (found.cause, found.count, found.command) == ("parked", 1, "invoices redrive parked")


def test_webhooks_of_a_disabled_endpoint_wait_for_no_worker(database, store, config):
    endpoint = subscribe(database)
    (invoice,) = pend(store)
    make_due(database, f"{endpoint}/{invoice}")
    assert wrong(check_agenda(database, config)) == ["overdue"]
    disable_endpoint(database, endpoint)
    assert wrong(check_agenda(database, config)) == []


def test_rows_of_an_account_that_is_gone_are_named_for_what_they_are(database, store, tmp_path):
    late = queue(store)
    pend(store)
    make_due(database, late)
    account = '{"other":{"provider":"nebulox","base_url":"http://127.0.0.1:1","api_key":"k"}}'
    config = settings(tmp_path, accounts=account)
    found = by_cause([*check_agenda(database, config), *check_orders(database, config)])
    assert wrong(found.values()) == ["not_configured"]
    assert found["not_configured"].check == f"account {ACCOUNT}"
    assert found["not_configured"].count == 2


def test_orders_of_an_account_whose_provider_asks_us_to_wait_are_a_note(database, store, config):
    asked, late = queue(store), queue(store)
    judge(store, asked, RateLimited(reason="429", retry_after_seconds=600))
    make_due(database, late)
    found = by_cause([*check_agenda(database, config), *check_orders(database, config)])
    assert wrong(found.values()) == []
    assert (found["rate_limited"].state, found["rate_limited"].count) == ("note", 1)
    change(database, AGENDA, AGENDA.c.subject == asked, due_at=now(database) - timedelta(hours=1))
    assert wrong(check_agenda(database, config)) == ["overdue"]


def test_orders_of_an_account_with_a_rate_wait_their_turn_while_workers_ask_for_it(
    database, store, tmp_path, empty_valkey_url
):
    accounts = f'{{"{ACCOUNT}":{{"provider":"{ACCOUNT}","base_url":"http://127.0.0.1:1","api_key":"k","rate_per_second":0.1}}}}'
    config = settings(tmp_path, accounts=accounts, redis_url=empty_valkey_url)
    make_due(database, queue(store))
    assert wrong(check_agenda(database, config)) == ["overdue"]
    with redis.Redis.from_url(empty_valkey_url) as client:
        client.hset(key_of(ACCOUNT), "tokens", 0)
    assert wrong(check_agenda(database, config)) == []


def budgeted(tmp_path, redis_url, rate=10):
    fields = {"provider": ACCOUNT, "base_url": "http://127.0.0.1:1", "api_key": "k", "look_ups_per_second": rate}
    return settings(tmp_path, accounts=json.dumps({ACCOUNT: fields}), redis_url=redis_url)


def test_a_backlog_of_look_ups_that_a_budget_makes_is_called_what_it_is(database, tmp_path, empty_valkey_url):
    config = budgeted(tmp_path, empty_valkey_url, rate=0.01)
    store = Store(database, POLICIES | {ACCOUNT: policy(look_ups_per_second=0.01)}, lambda _: None)
    ids = pend(store, 100)
    judge(store, ids[0], seen("expired"))
    judge(store, ids[1], seen("confirming"))
    for one in ids:
        make_due(database, one, Stage.CHECK)
    assert set(wrong(check_agenda(database, config))) == {"overdue"}  # nobody has asked for a token: nobody works
    with redis.Redis.from_url(empty_valkey_url) as client:
        client.hset(budget_key_of(ACCOUNT), "tokens", 0)
    found = by_cause(check_agenda(database, config))
    assert wrong(found.values()) == []
    note = found["look_up_budget"]
    assert (note.check, note.state, note.count) == (f"account {ACCOUNT}", "note", 99)
    assert "99 open at 0.01 look-ups a second: each is looked at every 2.8 h" in note.detail
    assert "1 closed one is watched" in note.detail
    assert list(found) == ["look_up_budget"]
    store.claim_look_ups(ACCOUNT, (Look.OPEN,), 1, 60.0)
    assert list(by_cause(check_agenda(database, config))) == ["look_up_budget"]


def test_a_budget_that_covers_all_polls_is_not_worth_a_word(database, store, tmp_path, empty_valkey_url):
    pend(store, 3)
    assert [finding.state for finding in check_agenda(database, budgeted(tmp_path, empty_valkey_url))] == ["ok"]


# --- the stream -------------------------------------------------------------------------------------------------------


def test_events_the_stream_was_not_told_are_counted_with_their_age(database, store, config):
    pend(store, 3)
    assert wrong(check_stream(database, config)) == []
    change(database, EVENT, created_at=now(database) - SOON - timedelta(seconds=1))  # as health counts them
    (found,) = check_stream(database, config)
    assert (found.state, found.cause, found.count) == ("wrong", "unpublished", 3)
    (late,) = (one for one in database.read(read_overview, database, Pace()).late if one.cause is Cause.STREAM_BEHIND)
    assert (late.count, late.oldest_since) == (found.count, found.since)
    assert found.since is not None
    assert "no worker tries" in found.detail
    store.add_standing()
    assert store.publishing.claim_publisher(1, 60.0)
    (found,) = check_stream(database, config)
    assert "a worker is trying" in found.detail


def test_an_event_without_a_position_is_wrong_once_newer_ones_have_theirs(database, store, config):
    pend(store, 3)
    first, second, _ = (event.number for event in store.publishing.unpublished(3))
    change(database, EVENT, created_at=now(database) - timedelta(minutes=5))
    assert wrong(check_stream(database, config)) == ["unpublished"], "nobody gave any: that is told by itself"
    held = claim_publisher(store)
    assert store.publishing.place_events(held, 1, [first]) == [second]
    found = by_cause(check_stream(database, config))["unplaced"]
    assert (found.state, found.count, found.since) == ("wrong", 1, rows(database, EVENT)[0].created_at)
    assert "1 event has no position, the oldest for 5 min" in found.detail
    change(database, EVENT, EVENT.c.number == first, created_at=now(database))
    assert wrong(check_stream(database, config)) == [], "a young one's may be on its way"


def test_events_that_were_told_without_a_position_are_wrong_until_they_get_it(database, store, config):
    pend(store, 2)
    numbers = [event.number for event in store.publishing.unpublished(2)]
    at = now(database) - timedelta(minutes=5)
    change(database, EVENT, created_at=at, published_at=at)  # as a worker of the release before leaves them
    assert by_cause(check_stream(database, config))["unplaced"].count == 2
    store.publishing.place_events(claim_publisher(store), 10)
    assert wrong(check_stream(database, config)) == []
    store.publishing.mark_placed(numbers)
    assert wrong(check_stream(database, config)) == []


# --- messages and contradictions --------------------------------------------------------------------------------------


def test_messages_that_were_turned_away_are_a_note_until_they_are_sent_again(database, store):
    assert list(check_messages(database)) == []
    store.reject([Rejection(f"key-{n}", "invoices.create", f"reason {n}", "{}", True) for n in range(3)])
    (found,) = check_messages(database)
    assert (found.state, found.cause, found.count) == ("note", "rejected", 3)
    assert "reason 2" in found.detail
    assert found.since is not None


def test_what_a_provider_says_against_a_closed_invoice_is_a_note_that_names_it(database, store):
    (invoice,) = pend(store)
    judge(store, invoice, CancelRequested(reason="given up"))
    assert list(check_messages(database)) == []
    judge(store, invoice, seen("paid"))
    (found,) = check_messages(database)
    assert (found.state, found.cause, found.count) == ("note", "contradictions", 1)
    assert found.command == f"invoices show {invoice}"


def test_a_create_that_was_late_is_no_contradiction_of_another_account(database, store):
    (invoice,) = pend(store, account=SILENT_ACCOUNT)
    judge(store, invoice, created())
    (found,) = check_messages(database)
    assert found.command == f"invoices show {invoice}"
