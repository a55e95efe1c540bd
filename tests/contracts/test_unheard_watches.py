"""Watches for late payments whose look-ups nobody answers: the doctor tells them, and in the end the history does."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.decision import Stage
from domain.evidence import ClockRanOut, Unreachable
from domain.lifecycle.clock import LONGEST_UNHEARD
from tests.contracts.doctor_cases import settings
from tests.contracts.store_cases import ACCOUNT, agenda_of, change, evidence_of, invoice_of, judge, now, pend, seen
from workers.cli.doctor.orders import check_orders
from workers.store.tables import INVOICE

AWAY = Unreachable(reason="connection refused")


@pytest.fixture
def unheard(database, store):
    """Expired, and its last look-up was not answered."""
    (invoice,) = pend(store)
    judge(store, invoice, seen("expired"))
    judge(store, invoice, AWAY)
    return invoice


def expired_ago(database, invoice, ago):
    at = now(database) - ago
    change(database, INVOICE, INVOICE.c.id == invoice, updated_at=at, monitor_until=now(database))


def test_they_are_told_once_they_should_have_ended_and_until_one_look_up_is_answered(
    database, store, unheard, tmp_path
):
    config = settings(tmp_path)
    assert list(check_orders(database, config)) == []  # the monitoring time is not over

    expired_ago(database, unheard, timedelta(days=2))
    judge(store, unheard, ClockRanOut())
    assert invoice_of(database, unheard).monitor_until > now(database)
    (found,) = check_orders(database, config)
    assert (found.check, found.state, found.cause, found.count) == (f"account {ACCOUNT}", "wrong", "watch_unheard", 1)
    assert "a late payment is not seen" in found.detail
    assert "the first expired 2 d ago" in found.detail

    judge(store, unheard, seen("expired"))
    assert list(check_orders(database, config)) == []


def test_after_a_month_the_history_says_that_nobody_knows(database, store, unheard):
    expired_ago(database, unheard, LONGEST_UNHEARD + timedelta(minutes=1))
    judge(store, unheard, ClockRanOut())

    last = evidence_of(database, unheard)[-1]
    assert (last.kind, last.verdict) == ("ClockRanOut", "noted")
    assert last.note.startswith("unwatched: no look-up was answered")
    assert Stage.CHECK.value not in agenda_of(database, unheard)
    assert invoice_of(database, unheard).status == "expired"
