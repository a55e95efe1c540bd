"""Each thing that happens moves its metric, and nothing that is told becomes a label but words of ours."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.exposition import generate_latest

from domain import evidence
from domain.decision import Stage
from domain.evidence import CredentialsRefused, Evidence, Seen, Unreachable
from domain.status import Status
from workers.engine import Attempted, Failure, ProviderCall, Trouble
from workers.stages.told import OUTCOMES, EndpointHealth, outcome_of, outcome_of_all
from workers.store.agenda import Claim, lease_clock
from workers.store.judging import Outcome, Times
from workers.store.outbox import ClaimedDelivery
from workers.telemetry.listener import MetricsListener, show_slots
from workers.telemetry.metrics import Metrics

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def metrics():
    return Metrics("1")


@pytest.fixture
def listener(metrics):
    return MetricsListener(metrics)


def ago(seconds):
    return NOW - timedelta(seconds=seconds)


def changed(before, after, *, ordered=30.0, expires=None, called=None):
    times = Times(NOW, ago(ordered), expires, called)
    return Outcome("inv_1", "applied", before, after, f"invoice.{after}", account="shop", order_id="A-77", times=times)


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


def test_an_order_is_payable_once_however_many_steps_it_skips(metrics, listener):
    listener.judged([changed("queued", "pending", ordered=1.5), changed("in_doubt", "paid", ordered=20)])
    listener.judged([changed("pending", "paid"), changed("expired", "paid"), changed("queued", "failed")])
    assert value(metrics, "invoices_payable_seconds_count", account="shop") == 2
    assert value(metrics, "invoices_payable_seconds_sum", account="shop") == 21.5
    assert value(metrics, "invoices_changes_total", account="shop", status="paid") == 3


def test_an_expiry_is_late_by_its_own_time_and_an_early_one_is_not_counted(metrics, listener):
    listener.judged([changed("pending", "expired", expires=ago(0.75)), changed("pending", "expired", expires=ago(-60))])
    assert value(metrics, "invoices_expiry_lateness_seconds_count") == 1
    assert value(metrics, "invoices_expiry_lateness_seconds_sum") == 0.75


def test_a_callback_is_counted_with_the_change_it_brought(metrics, listener):
    listener.judged([changed("pending", "paid", called=ago(0.5)), changed("pending", "paid")])
    assert value(metrics, "invoices_callback_seconds_count", account="shop") == 1
    assert value(metrics, "invoices_callback_seconds_sum", account="shop") == 0.5


def test_what_changes_nothing_counts_nothing(metrics, listener):
    listener.judged([Outcome("inv_1", "noted", "pending", "pending", account="shop"), Outcome("inv_2", "missing")])
    assert value(metrics, "invoices_changes_total", account="shop", status="pending") is None


def test_calls_count_by_what_came_of_them_and_look_ups_by_their_requests(metrics, listener):
    listener.called(ProviderCall("shop", "create", "answered", 0.2))
    listener.called(ProviderCall("shop", "look_up", "unreachable", 1.0, calls=3))
    look_ups = {"account": "shop", "call": "look_up"}
    assert value(metrics, "invoices_provider_calls_total", **look_ups, outcome="unreachable") == 3
    assert value(metrics, "invoices_provider_call_seconds_count", **look_ups) == 1


def test_the_engine_s_steps_are_counted_by_stage(metrics, listener):
    listener.performed(Stage.DELIVER, "ep_1", 1, 0.3)
    listener.committed(Stage.DELIVER, 12, 2, 0.02)
    listener.failed(Failure(Trouble.STORE_AWAY))
    assert value(metrics, "invoices_work_seconds_sum", stage="deliver") == 0.3
    assert value(metrics, "invoices_commit_seconds_sum", stage="deliver") == 0.02
    assert value(metrics, "invoices_committed_results_total", stage="deliver") == 12
    assert value(metrics, "invoices_troubles_total", reason="store.unavailable") == 1


def test_slots_are_asked_for_when_somebody_reads_them(metrics):
    used = {Stage.CREATE: 7}
    show_slots(metrics, lambda stage: used.get(stage, 0))
    assert value(metrics, "invoices_slots_used", stage="create") == 7
    used[Stage.CREATE] = 2
    assert value(metrics, "invoices_slots_used", stage="create") == 2
    assert value(metrics, "invoices_slots_used", stage="clock") == 0


def delivery(changed_at=NOW, tries=0):
    claim = Claim(Stage.DELIVER, "ep_1", "ep_1/inv_1", "t", False, NOW + timedelta(seconds=0.5), lease_clock() + 25)
    return ClaimedDelivery(claim, 1, "evt_1", b"{}", tries, 1, changed_at)


def test_a_first_try_is_measured_from_its_change_and_a_delivery_to_its_end(metrics, listener):
    first = delivery()
    taken = EndpointHealth().attempted(first, "delivered", first.claim.over_at - 25, 25)
    assert taken.first_try_seconds == pytest.approx(0.5)
    assert (taken.delivered_seconds or 0.0) >= (taken.first_try_seconds or 0.0) > 0
    listener.attempted(taken)
    assert value(metrics, "invoices_delivery_attempts_total", endpoint="ep_1", outcome="delivered") == 1
    assert value(metrics, "invoices_event_first_try_seconds_count") == 1
    assert value(metrics, "invoices_event_delivered_seconds_count") == 1


def test_a_replay_or_a_later_try_says_nothing_of_how_quick_we_are(metrics, listener):
    listener.attempted(EndpointHealth().attempted(delivery(changed_at=None), "delivered", lease_clock(), 25))
    assert value(metrics, "invoices_delivery_attempts_total", endpoint="ep_1", outcome="delivered") == 1
    assert value(metrics, "invoices_event_first_try_seconds_count") == 0


def test_what_waits_for_an_endpoint_that_fails_is_late_by_the_endpoint_s_doing():
    health = EndpointHealth()
    assert health.attempted(delivery(), "failed", lease_clock(), 25).first_try_seconds is not None
    assert health.attempted(delivery(), "delivered", lease_clock(), 25) == Attempted("ep_1", "delivered")
    health.keep(["ep_2"])  # nobody asks for it any more: what is known of it is forgotten
    assert health.attempted(delivery(), "delivered", lease_clock(), 25).first_try_seconds is not None


def test_there_is_a_word_for_everything_a_call_may_bring():
    brought = {one for one in vars(evidence).values() if isinstance(one, type) and issubclass(one, Evidence)}
    other_sources = {"Evidence", "Said", "SearchAnswer", "CalledBack", "ClockRanOut", "CancelRequested"}
    other_sources |= {"RetryRequested", "Marked", "RecheckRequested"}
    assert {one.__name__ for one in brought} - other_sources == {one.__name__ for one in OUTCOMES}


def test_the_worst_answer_of_a_group_names_it():
    seen = Seen(status=Status.PENDING, word="new")
    assert outcome_of(seen) == "answered"
    assert outcome_of_all([seen, Unreachable(reason="x"), seen]) == "unreachable"
    assert outcome_of_all([seen, CredentialsRefused(reason="x"), Unreachable(reason="x")]) == "key_refused"
    assert outcome_of_all([]) == "nothing"


def test_no_label_tells_an_order_an_address_a_url_or_a_secret(metrics, listener):
    """Whatever is told: only what the table names becomes a label."""
    listener.judged([changed("queued", "pending"), changed("pending", "paid", called=ago(1))])
    listener.called(ProviderCall("shop", "create", "in_doubt", 0.2))
    listener.attempted(Attempted("ep_1", "timeout", 0.1))
    listener.failed(Failure(Trouble.GIVEN_UP, Stage.CREATE, ValueError("https://shop.example/?key=secret")))
    text = generate_latest(metrics.registry).decode()
    found = {
        one for line in text.splitlines() if line.startswith("invoices_") for one in re.findall(r'="([^"]*)"', line)
    }
    assert {"shop", "ep_1", "paid", "timeout"} <= found
    assert not [one for one in found if re.search(r"://|inv_|evt_|A-77|secret|@", one)]
