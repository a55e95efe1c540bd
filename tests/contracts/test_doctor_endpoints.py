"""What the doctor says of receivers: rejected webhooks, breakers, disabled endpoints, dead letters, secrets."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis

from domain.decision import Stage
from tests.contracts.doctor_cases import SECRET_KEY, by_cause, settings, wrong
from tests.contracts.store_cases import (
    change,
    deliveries_of,
    disable_endpoint,
    make_due,
    now,
    pend,
    subscribe,
)
from workers.cli.doctor.agenda import check_agenda
from workers.cli.doctor.endpoints import check_endpoints
from workers.coordination.breaker import key_of
from workers.delivery.secretbox import SecretBox
from workers.store.deliveries import DeliveryAttempt
from workers.store.tables import ATTEMPT, DELIVERY, ENDPOINT


@pytest.fixture
def config(tmp_path):
    """Settings with the key that the endpoints' secrets are sealed with."""
    return settings(tmp_path)


@pytest.fixture
def endpoint(database):
    """An endpoint whose secret opens."""
    made = subscribe(database)
    change(database, ENDPOINT, ENDPOINT.c.id == made, secrets=SecretBox([SECRET_KEY]).seal("whsec_abc"))
    return made


def answer(store, endpoint, status=500, outcome="failed", wait=3600.0):
    """Every webhook that is due is tried, and answered so."""
    error = None if outcome == "delivered" else f"status: {status}"
    deliveries = store.claim_deliveries(endpoint, 100, 60.0)
    waits = wait if outcome == "failed" else None
    store.settle([DeliveryAttempt(delivery, outcome, error, status, 5, b"", waits) for delivery in deliveries])
    return len(deliveries)


def make_all_due(database, endpoint, invoices):
    for invoice in invoices:
        make_due(database, f"{endpoint}/{invoice}", Stage.DELIVER)


def test_an_endpoint_that_takes_everything_is_fine(database, store, config, endpoint):
    pend(store, 3)
    assert answer(store, endpoint, 204, "delivered") == 3
    assert [finding.state for finding in check_endpoints(database, config)] == ["ok"]


def test_a_receiver_that_rejects_everything_is_wrong_with_number_age_and_last_answer(database, store, config, endpoint):
    pend(store, 5)
    answer(store, endpoint, 500)
    change(database, ATTEMPT, at=now(database) - timedelta(minutes=20))
    (found,) = check_endpoints(database, config)
    assert (found.check, found.state, found.cause, found.count) == (f"endpoint {endpoint}", "wrong", "failing", 5)
    assert found.since is not None
    for said in ("takes nothing", "5 events have failed", "20 min", "status: 500", "5 webhooks wait", "next try"):
        assert said in found.detail
    assert endpoint in (found.command or "")


def test_one_try_in_vain_is_a_note_and_two_are_wrong(database, store, config, endpoint):
    invoices = pend(store)
    answer(store, endpoint)
    note, _ = check_endpoints(database, config)
    assert (note.state, note.cause) == ("note", "failing")
    make_all_due(database, endpoint, invoices)
    answer(store, endpoint)
    assert wrong(check_endpoints(database, config)) == ["failing"]


def test_one_event_that_is_not_taken_among_others_that_are_is_wrong_after_four_tries(database, store, config, endpoint):
    invoices = pend(store)
    for tries in range(1, 5):
        make_all_due(database, endpoint, invoices)
        assert answer(store, endpoint, 400) == 1
        pend(store)
        assert answer(store, endpoint, 204, "delivered") == 1
        found = by_cause(check_endpoints(database, config))["failing"]
        assert found.state == ("wrong" if tries == 4 else "note")
        assert "does not take some events" in found.detail


def test_what_was_taken_after_all_is_told_no_more(database, store, config, endpoint):
    invoices = pend(store, 2)
    answer(store, endpoint)
    make_all_due(database, endpoint, invoices)
    answer(store, endpoint, 204, "delivered")
    assert [finding.state for finding in check_endpoints(database, config)] == ["ok"]


def test_an_open_breaker_is_named(database, store, tmp_path, endpoint, empty_valkey_url):
    pend(store, 3)
    answer(store, endpoint)
    with redis.Redis.from_url(empty_valkey_url) as client:
        seconds, _ = client.time()
        client.hset(key_of(endpoint), "open_until", (seconds + 30) * 1000)
        (found,) = check_endpoints(database, settings(tmp_path, redis_url=empty_valkey_url))
        client.delete(key_of(endpoint))
    assert "its breaker is open" in found.detail


def test_webhooks_that_wait_for_a_failing_receiver_wait_for_no_worker_while_it_is_tried(
    database, store, config, endpoint
):
    invoices = pend(store, 2)
    answer(store, endpoint)
    make_all_due(database, endpoint, invoices)
    assert wrong(check_agenda(database, config)) == []
    change(database, ATTEMPT, at=now(database) - timedelta(hours=1))
    assert wrong(check_agenda(database, config)) == ["overdue"]


def test_an_endpoint_that_was_disabled_by_its_answer_is_wrong_while_webhooks_wait(database, store, config, endpoint):
    pend(store, 2)
    answer(store, endpoint, 410, "gone")
    found = by_cause(check_endpoints(database, config))["disabled"]
    assert (found.state, found.count) == ("wrong", 2)
    assert "status: 410" in found.detail
    assert found.command == f"invoices endpoints enable {endpoint}"


def test_an_endpoint_that_was_disabled_by_hand_is_a_note(database, store, config, endpoint):
    pend(store, 2)
    disable_endpoint(database, endpoint)
    found = by_cause(check_endpoints(database, config))["disabled"]
    assert (found.state, found.count) == ("note", 2)


def test_dead_letters_are_a_note_with_the_command_that_sends_them_again(database, store, config, endpoint):
    invoices = pend(store)
    answer(store, endpoint, wait=None)
    assert [delivery.state for delivery in deliveries_of(database, invoices[0])] == ["dead"]
    found = by_cause(check_endpoints(database, config))["dead_letters"]
    assert (found.state, found.count) == ("note", 1)
    assert found.command == f"invoices deliveries replay --endpoint {endpoint} --dead-only"


def test_secrets_that_do_not_open_are_told_with_every_endpoint_they_are_of(database, config, endpoint):
    shut = [subscribe(database), subscribe(database)]
    found = by_cause(check_endpoints(database, config))["secrets_unreadable"]
    assert (found.state, found.count) == ("wrong", 2)
    assert all(each in found.detail for each in shut)
    assert endpoint not in found.detail


def test_many_failing_receivers_are_told_in_a_bounded_number_of_lines(database, store, config, monkeypatch):
    monkeypatch.setattr("workers.cli.doctor.endpoints.TOLD", 3)
    endpoints = [subscribe(database) for _ in range(5)]
    pend(store)
    change(database, DELIVERY, tries=3)
    found = [finding for finding in check_endpoints(database, config) if finding.cause == "failing"]
    assert len(found) == 4
    assert "2 more" in found[-1].detail
    assert sum(finding.check.removeprefix("endpoint ") in endpoints for finding in found) == 3
