"""A provider's expiry that differs from ours: whose word ends an invoice, and how long a late payment is looked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from domain.decision import Stage
from domain.evidence import CalledBack, ClockRanOut, InDoubt, Seen, Unreachable
from domain.status import Status
from tests.invoice_world import START, World, new_invoice, new_policy
from tests.unit.invoice_stories import EXPIRES_AT, HOUR, MADE, look, pending, queued, story
from workers.providers.fields import read_epoch, read_instant

EARLIER, LATER = EXPIRES_AT - timedelta(minutes=30), EXPIRES_AT + timedelta(hours=5)
MINUTE = timedelta(minutes=1)


def expired(ends=None, **policy):
    """Expired by our clock, after a last look at which the provider still waited, until then."""
    world = pending(monitor_minutes=Decimal(60), **policy)
    world.now = EXPIRES_AT
    world.take(ClockRanOut(), Stage.CLOCK)
    look(world, Status.PENDING, expires_at=ends)
    assert world.invoice.status == "expired"
    return world


def test_what_the_shop_was_told_does_not_move():
    world = pending()
    for told in (EARLIER, LATER):
        look(world, Status.PENDING, expires_at=told)
    assert world.invoice.expires_at == EXPIRES_AT
    assert world.agenda[Stage.CLOCK].due_at == EXPIRES_AT


def test_a_provider_that_says_expired_before_our_time_is_believed():
    world = pending()
    world.now = EARLIER
    look(world, Status.EXPIRED, expires_at=EARLIER)
    assert world.invoice.status == "expired"
    assert world.invoice.reason == "the provider says expired"


def test_an_earlier_expiry_is_looked_at_right_after_it():
    world = pending(poll_seconds=1200.0)
    for _ in range(8):
        look(world, Status.PENDING, expires_at=EARLIER)
        if world.agenda[Stage.CHECK].due_at == EARLIER + timedelta(seconds=1):
            break
        world.now = world.agenda[Stage.CHECK].due_at
    assert world.agenda[Stage.CHECK].due_at == EARLIER + timedelta(seconds=1)


def test_a_callback_that_says_expired_before_our_time_is_looked_into_and_the_look_up_decides():
    world = World(new_invoice(), new_policy(asked_by_reference=True))
    world.take(MADE, Stage.CREATE)
    world.take(CalledBack(status=Status.EXPIRED, word="EXPIRED", reference="100"))
    assert (world.invoice.status, world.due(Stage.CHECK)) == ("pending", 0)
    look(world, Status.EXPIRED)
    assert world.invoice.status == "expired"


def test_an_expired_invoice_is_watched_until_the_providers_own_expiry_at_least():
    world = expired(LATER)
    assert world.invoice.monitor_until == LATER + MINUTE
    assert world.agenda[Stage.CLOCK].due_at == LATER + MINUTE
    world.now = LATER - timedelta(seconds=1)
    look(world, Status.PAID)
    assert (world.invoice.status, world.invoice.anomaly) == ("paid", "late")


def test_without_any_monitoring_time_it_is_watched_for_as_long_as_the_provider_waits():
    world = pending(monitor_minutes=Decimal(0))
    world.now = EXPIRES_AT
    world.take(ClockRanOut(), Stage.CLOCK)
    look(world, Status.PENDING, expires_at=LATER)
    assert world.invoice.status == "expired"
    assert world.agenda[Stage.CLOCK].due_at == LATER + MINUTE


def test_a_later_expiry_that_is_told_only_after_ours_prolongs_the_watch_once():
    world = expired()
    until = world.invoice.monitor_until
    world.pass_time(60)
    assert look(world, Status.PENDING, expires_at=LATER).verdict == "noted"
    assert until < world.invoice.monitor_until == LATER + MINUTE == world.agenda[Stage.CLOCK].due_at
    world.pass_time(60)
    assert Stage.CLOCK not in look(world, Status.PENDING, expires_at=LATER).agenda
    assert story(world) == ["pending", "expired"]


def test_a_last_look_without_an_answer_leaves_the_watch_to_the_next_one():
    world = pending(monitor_minutes=Decimal(60))
    world.now = EXPIRES_AT
    world.take(ClockRanOut(), Stage.CLOCK)
    world.take(Unreachable(reason="away", asked_at=world.now), Stage.CHECK)
    look(world, Status.PENDING, expires_at=LATER)
    assert world.invoice.monitor_until == LATER + MINUTE


def test_the_watch_ends_though_the_provider_goes_on_saying_pending():
    world = expired(LATER)
    world.now = world.invoice.monitor_until
    world.take(ClockRanOut(), Stage.CLOCK)
    assert world.agenda == {}


@pytest.mark.parametrize("told", [START - timedelta(days=1), START + timedelta(days=5000), EXPIRES_AT])
def test_a_time_that_is_over_or_beyond_belief_changes_nothing(told):
    world = expired(told)
    assert world.invoice.monitor_until == EXPIRES_AT + timedelta(hours=1)


def test_one_that_the_provider_calls_expired_is_watched_no_longer_for_its_time():
    world = expired()
    until = world.invoice.monitor_until
    look(world, Status.EXPIRED, expires_at=LATER)
    assert world.invoice.monitor_until == until


def test_an_invoice_in_doubt_that_a_look_up_finds_gets_the_providers_expiry():
    world = queued()
    world.take(InDoubt(reason="no answer"), Stage.CREATE)
    ends = START + timedelta(seconds=2 * HOUR)
    world.take(Seen(status=Status.PENDING, word="New", provider_ref="110816020", expires_at=ends))
    assert (world.invoice.status, world.invoice.expires_at) == ("pending", ends)
    assert world.agenda[Stage.CLOCK].due_at == ends


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ("2023-12-23T11:01:40.993Z", datetime(2023, 12, 23, 11, 1, 40, 993000, UTC)),
        ("2023-12-23T12:01:40+01:00", datetime(2023, 12, 23, 11, 1, 40, tzinfo=UTC)),
        ("2023-12-23 11:01:40", None),  # no zone: nobody knows which
        ("9999-12-31T23:59:59-14:00", None),
        ("0001-01-01T00:00:00Z", None),
        ("soon", None),
        (1703329300, None),
        ("2" * 5000, None),
        (None, None),
    ],
)
def test_an_instant_is_read_only_with_its_zone(told, read):
    assert read_instant(told) == read


@pytest.mark.parametrize(
    ("expired_at", "read"), [(1764105348, True), ("1764105348", True), ("2025-06-12 22:42", False)]
)
def test_what_0xhosts_row_says_is_read_where_it_is_an_epoch(expired_at, read):
    told = read_epoch(Decimal(expired_at) if isinstance(expired_at, int) else expired_at)
    assert told == (datetime(2025, 11, 25, 21, 15, 48, tzinfo=UTC) if read else None)
