"""What the doctor says of clocks that were set, and of the stream's fence."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis

from tests.contracts.doctor_cases import by_cause, settings, wrong
from tests.contracts.store_cases import change, now, open_store, pend, subscribe
from workers.cli.doctor.steps import check_steps
from workers.cli.doctor.stream import check_stream
from workers.store.clock import lock_clock, write_clock
from workers.store.tables import AGENDA, CLOCK

MICROSECOND = timedelta(microseconds=1)


def note(database, **values):
    """What workers have written about the clock."""
    with database.transaction() as connection:
        time = database.now(connection)
        lock_clock(connection, time)
        write_clock(connection, seen_at=time, **values)


def test_a_clock_that_goes_right_is_not_mentioned(database, tmp_path):
    store = open_store(database)
    subscribe(database)
    store.add_standing()
    pend(store)
    store.timekeeper().look()

    assert list(check_steps(database, settings(tmp_path))) == []


def test_a_clock_behind_what_it_has_shown_is_wrong(database, tmp_path):
    note(database)
    change(database, CLOCK, seen_at=now(database) + timedelta(seconds=600))

    finding = by_cause(check_steps(database, settings(tmp_path)))["clock_set_back"]
    assert finding.state == "wrong"
    assert "10 min behind" in finding.detail


@pytest.mark.parametrize(("seconds", "way"), [(3600, "ahead by 60 min"), (-600, "back by 10 min")])
def test_a_step_that_was_put_right_is_told_for_a_day(database, tmp_path, seconds, way):
    note(database, stepped_at=now(database), stepped_by=timedelta(seconds=seconds))
    finding = by_cause(check_steps(database, settings(tmp_path)))["clock_stepped"]
    assert finding.state == "note"
    assert way in finding.detail

    change(database, CLOCK, stepped_at=now(database) - timedelta(days=2))
    assert list(check_steps(database, settings(tmp_path))) == []


@pytest.mark.parametrize("stage", ["check", "deliver", "publish", "retain"])
def test_rows_further_away_than_anything_waits_are_wrong(database, tmp_path, stage):
    store = open_store(database)
    subscribe(database)
    store.add_standing()
    pend(store)
    change(database, AGENDA, AGENDA.c.stage == stage, due_at=now(database) + timedelta(days=30))

    findings = list(check_steps(database, settings(tmp_path)))
    assert wrong(findings) == ["far_ahead"]
    assert stage in findings[0].detail


@pytest.mark.parametrize("kept", [b"%d" % 2**51, b"9" * 30, b"garbage", b""])
def test_a_fence_that_the_next_publisher_will_not_reach_is_wrong_until_it_is_lifted(
    database, tmp_path, empty_valkey_url, kept
):
    open_store(database).add_standing()
    config = settings(tmp_path, redis_url=empty_valkey_url)
    with redis.Redis.from_url(empty_valkey_url) as client:
        client.set(f"{config.stream}:fence", kept)
        assert wrong(check_stream(database, config)) == ["fence_ahead"]


def test_a_fence_that_was_lifted_ahead_of_the_clock_is_right(database, tmp_path, empty_valkey_url):
    store = open_store(database)
    store.add_standing()
    pend(store)
    config = settings(tmp_path, redis_url=empty_valkey_url)
    (claim,) = store.publishing.claim_publisher(1, 10.0)
    fence = store.publishing.lift_fence(claim, claim.fence + timedelta(hours=5) // MICROSECOND)
    with redis.Redis.from_url(empty_valkey_url) as client:
        client.set(f"{config.stream}:fence", fence)
        assert wrong(check_stream(database, config)) == []


def test_a_list_in_the_place_of_the_fence_is_wrong(database, tmp_path, empty_valkey_url):
    open_store(database).add_standing()
    config = settings(tmp_path, redis_url=empty_valkey_url)
    with redis.Redis.from_url(empty_valkey_url) as client:
        client.rpush(f"{config.stream}:fence", "1")
        assert wrong(check_stream(database, config)) == ["fence_ahead"]
