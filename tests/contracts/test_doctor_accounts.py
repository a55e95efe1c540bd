"""What the doctor says of accounts at providers: doubts, refused keys, providers that are away or silent."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.evidence import Created, CredentialsRefused, InDoubt, ProviderRefused, RateLimited, Unreachable, Unreadable
from tests.contracts.doctor_cases import by_cause, settings, wrong
from tests.contracts.store_cases import (
    ACCOUNT,
    SILENT_ACCOUNT,
    change,
    invoice_of,
    judge,
    now,
    pend,
    queue,
    seen,
)
from workers.cli.doctor.orders import check_orders
from workers.store.tables import EVIDENCE, INVOICE

TIMED_OUT = InDoubt(reason="no answer within 10 s")


@pytest.fixture
def config(tmp_path):
    """Settings of both accounts."""
    return settings(tmp_path)


def test_a_provider_that_hangs_is_told_by_its_invoices_in_doubt(database, store, config):
    """Eight of them: how many, since when, why, what happens next."""
    for _ in range(8):
        invoice = queue(store)
        judge(store, invoice, TIMED_OUT)
    change(database, INVOICE, INVOICE.c.id == invoice, updated_at=now(database) - timedelta(hours=3))
    (found,) = check_orders(database, config)
    assert (found.check, found.state, found.cause, found.count) == (f"account {ACCOUNT}", "wrong", "in_doubt", 8)
    assert found.since is not None
    assert timedelta(hours=3) <= now(database) - found.since < timedelta(hours=4)
    for said in ("8 invoices are in doubt", "3 h", TIMED_OUT.reason, "on_doubt is retry", "8 will be created again"):
        assert said in found.detail


def test_invoices_that_are_held_in_doubt_wait_for_a_person(database, store, config):
    judge(store, queue(store, SILENT_ACCOUNT), TIMED_OUT)
    (found,) = check_orders(database, config)
    assert "on_doubt is hold; 1 waits for you" in found.detail
    assert "redrive doubt" in found.detail
    assert found.command == f"invoices list --status in_doubt --account {SILENT_ACCOUNT}"


def test_a_doubt_that_was_settled_is_told_no_more(database, store, config):
    invoice = queue(store)
    judge(store, invoice, TIMED_OUT)
    judge(store, invoice, Created(provider_ref="r-1"))
    assert list(check_orders(database, config)) == []


def test_orders_whose_credentials_are_refused_are_told_with_the_time_they_fail(database, store, config):
    for _ in range(2):
        judge(store, queue(store), CredentialsRefused(reason="401"))
    change(database, INVOICE, refused_since=now(database) - timedelta(minutes=7))
    (found,) = check_orders(database, config)
    assert (found.state, found.cause, found.count) == ("wrong", "credentials_refused", 2)
    assert "look at api_key" in found.detail
    assert "fails in 3 min" in found.detail


def test_calls_that_are_turned_away_before_the_provider_are_no_wrong_key(database, store, config):
    judge(store, queue(store), ProviderRefused(reason="HTTP 404: a web page"))
    judge(store, queue(store), CredentialsRefused(reason="401"))
    found = by_cause(check_orders(database, config))
    assert wrong(found.values()) == ["credentials_refused", "provider_refuses"]
    assert "HTTP 404: a web page" in found["provider_refuses"].detail
    assert "base_url" in found["provider_refuses"].detail
    assert "(401)" in found["credentials_refused"].detail


def test_orders_of_a_provider_that_is_away_are_told_with_the_last_words_and_the_first_time(database, store, config):
    first = queue(store)
    judge(store, first, Unreachable(reason="connection refused"))
    judge(store, queue(store), Unreachable(reason="connection refused"))
    change(database, EVIDENCE, EVIDENCE.c.invoice_id == first, at=now(database) - timedelta(minutes=40))
    (found,) = check_orders(database, config)
    assert (found.state, found.cause, found.count) == ("wrong", "unreachable", 2)
    assert "connection refused" in found.detail
    assert "40 min" in found.detail


def test_a_provider_that_asks_us_to_wait_is_a_note_with_the_time_it_named(database, store, config):
    judge(store, queue(store), RateLimited(reason="429", retry_after_seconds=7200))
    (found,) = check_orders(database, config)
    assert (found.state, found.cause) == ("note", "rate_limited")
    assert "next try in 2 h" in found.detail


@pytest.mark.parametrize(
    ("evidence", "cause"),
    [
        (Unreadable(reason="no answer to the look-up within its time"), "no_answer"),
        (Unreachable(reason="connection refused"), "unreachable"),
        (CredentialsRefused(reason="403"), "credentials_refused"),
    ],
    ids=["hangs", "away", "refuses"],
)
def test_look_ups_that_bring_nothing_are_wrong_until_one_is_answered(database, store, config, evidence, cause):
    invoices = pend(store, 3)
    for invoice in invoices:
        judge(store, invoice, evidence)
        judge(store, invoice, evidence)
    (found,) = check_orders(database, config)
    assert (found.state, found.cause, found.count) == ("wrong", cause, 3)
    assert evidence.reason in found.detail
    for invoice in invoices[1:]:
        judge(store, invoice, seen("pending"))
    (found,) = check_orders(database, config)
    assert found.count == 1
    judge(store, invoices[0], seen("paid"))
    assert list(check_orders(database, config)) == []


def test_a_look_up_that_fails_again_after_an_answer_counts_from_then(database, store, config):
    (invoice,) = pend(store)
    judge(store, invoice, Unreachable(reason="connection refused"))
    change(database, EVIDENCE, at=now(database) - timedelta(hours=5))
    judge(store, invoice, seen("pending"))
    judge(store, invoice, Unreachable(reason="connection refused"))
    (found,) = check_orders(database, config)
    assert found.since is not None
    assert now(database) - found.since < timedelta(hours=1)
    assert len(invoice_of(database, invoice).evidence_digest) == 64


def test_accounts_are_told_apart(database, store, config):
    judge(store, queue(store), TIMED_OUT)
    judge(store, queue(store, SILENT_ACCOUNT), Unreachable(reason="no such host"))
    found = by_cause(check_orders(database, config))
    assert wrong(found.values()) == ["in_doubt", "unreachable"]
    assert found["in_doubt"].check == f"account {ACCOUNT}"
    assert found["unreachable"].check == f"account {SILENT_ACCOUNT}"


def test_a_providers_clock_that_is_hours_off_is_told_until_its_next_invoice_agrees(database, store, config):
    """By the newest answer of each account; the expiries are right all the same, so it is a note."""
    judge(store, queue(store), Created(provider_ref="r-1"))
    judge(store, queue(store), Created(provider_ref="r-2", clock_off_seconds=-10_800, made_at=now(database)))
    judge(store, queue(store, SILENT_ACCOUNT), Created(provider_ref="r-3"))
    (found,) = check_orders(database, config)
    assert (found.check, found.state, found.cause) == (f"account {ACCOUNT}", "note", "provider_clock")
    assert "3 h behind the database's" in found.detail
    assert found.since is not None
    judge(store, queue(store), Created(provider_ref="r-4", clock_off_seconds=7200))
    (found,) = check_orders(database, config)
    assert "2 h ahead of the database's" in found.detail
    judge(store, queue(store), Created(provider_ref="r-5"))
    assert list(check_orders(database, config)) == []
