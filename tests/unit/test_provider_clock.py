"""A provider's clock that is off moves no expiry, and no invoice is born expired."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from domain.decision import Stage
from domain.evidence import Created
from domain.provider_clock import settle_times
from domain.status import Status
from tests.invoice_world import START
from tests.unit.invoice_stories import look, queued

ASKED_AT = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
ANSWERED_AT = ASKED_AT + timedelta(seconds=2)
HOUR = 3600


def at(seconds):
    return ASKED_AT + timedelta(seconds=seconds)


def settled(date=None, expired_at=None, lifetime=None):
    made = Created(
        provider_ref="1",
        made_at=None if date is None else at(date),
        expires_at=None if expired_at is None else at(expired_at),
        lifetime_minutes=None if lifetime is None else Decimal(lifetime),
    )
    return settle_times(made, ASKED_AT, ANSWERED_AT)


def in_seconds(evidence):
    """(the expiry from the call on, what was not believed)."""
    times = evidence.expires_at, evidence.disbelieved_expires_at
    return tuple(None if time is None else (time - ASKED_AT).total_seconds() for time in times)


@pytest.mark.parametrize("date", [0, 1, 2, -60, 62, None])
def test_times_that_agree_are_believed_to_the_second(date):
    evidence = settled(date, 5400, 90)
    assert in_seconds(evidence) == (5400, None)
    assert (evidence.clock_off_seconds, evidence.made_at) == (None, None)


@pytest.mark.parametrize("off", [-61, -3 * HOUR, -365 * 24 * HOUR])
def test_by_a_clock_that_is_behind_the_lifetime_counts_from_the_answer_on(off):
    for lifetime in (90, None):  # the distance of its two times is right by any clock
        evidence = settled(off, off + 5400, lifetime)
        assert in_seconds(evidence) == (5402, off + 5400)
        assert (evidence.clock_off_seconds, evidence.made_at) == (off, at(off))


@pytest.mark.parametrize("off", [63, 3 * HOUR, 365 * 24 * HOUR])
def test_by_a_clock_that_is_ahead_nothing_expires_early(off):
    """Ours may be the one that is wrong, and be put right before the time is over."""
    evidence = settled(off, off + 5400, 90)
    assert in_seconds(evidence) == (off + 5400, None)
    assert (evidence.clock_off_seconds, evidence.made_at) == (off - 2, at(off))


def test_where_only_the_date_is_odd_the_expiry_is_believed():
    evidence = settled(-3 * HOUR, 5400, 90)
    assert in_seconds(evidence) == (5400, None)
    assert evidence.clock_off_seconds == -3 * HOUR


@pytest.mark.parametrize("expired_at", [2, 0, -1, -HOUR, -10 * 365 * 24 * HOUR])
@pytest.mark.parametrize("date", [None, 0])
def test_an_invoice_that_would_be_born_expired_gets_its_lifetime(date, expired_at):
    assert in_seconds(settled(date, expired_at, 90)) == (5402, expired_at)


@pytest.mark.parametrize("date", [None, 1])
def test_born_expired_without_a_lifetime_its_expiry_is_the_accounts_policy(date):
    assert in_seconds(settled(date, -HOUR)) == (None, -HOUR)


def test_a_lifetime_that_disagrees_under_a_right_clock_does_not_win():
    assert in_seconds(settled(1, 3 * HOUR, 90)) == (3 * HOUR, None)


def test_a_date_from_nowhere_moves_nothing_that_is_plausible():
    assert in_seconds(settled(-50 * 365 * 24 * HOUR, 5400)) == (5400, None)


def test_no_expiry_stays_none():
    assert in_seconds(settled(3 * HOUR, None, 90)) == (None, None)


def test_an_answer_that_says_expired_is_looked_at_at_once_and_the_look_up_decides():
    told = START - timedelta(hours=3)
    for found, status in ((Status.PENDING, "pending"), (Status.EXPIRED, "expired"), (Status.PAID, "paid")):
        world = queued()
        made = Created(provider_ref="1", expires_at=START + timedelta(hours=1), disbelieved_expires_at=told)
        world.take(made, Stage.CREATE)
        assert (world.due(Stage.CHECK), world.due(Stage.CLOCK)) == (0, HOUR)
        look(world, found)
        assert world.invoice.status == status


def test_an_account_that_can_t_be_asked_is_not_looked_at():
    world = queued(can_be_asked=False)
    world.take(Created(provider_ref="1", disbelieved_expires_at=START), Stage.CREATE)
    assert world.due(Stage.CHECK) is None
    assert world.due(Stage.CLOCK) == HOUR
