"""Dates and times of a report, in its zone; and the ages of what is open."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from domain.aging import bucket
from domain.instants import read_instant, read_zone


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-11-01", "UTC", "2026-11-01T00:00:00+00:00"),
        ("2026-11-01", "Europe/Berlin", "2026-10-31T23:00:00+00:00"),
        ("2026-10-25", "Europe/Berlin", "2026-10-24T22:00:00+00:00"),
        ("2026-10-26", "Europe/Berlin", "2026-10-25T23:00:00+00:00"),
        ("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30:00+00:00"),
        ("2026-10-25T02:30:00+01:00", "Europe/Berlin", "2026-10-25T01:30:00+00:00"),
        # Where clocks skip midnight, the day begins as the clock shows 01:00.
        ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00+00:00"),
        ("2026-11-01T08:00:00Z", "Asia/Kolkata", "2026-11-01T08:00:00+00:00"),
        ("2026-11-01t08:00:00.1234567z", "UTC", "2026-11-01T08:00:00.123456+00:00"),
        (" 2026-11-01 08:00 ", "Asia/Kolkata", "2026-11-01T02:30:00+00:00"),
    ],
)
def test_a_date_is_its_first_instant_in_the_zone_and_a_time_without_offset_is_of_the_zone(text, zone, expected):
    assert read_instant(text, read_zone(zone)).isoformat() == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "7d",
        "2026-02-30",
        "2026-W01",
        "20261101",
        "2026-11-01T25:00",
        "2026-11",
        "٢٠٢٦-11-01",
        "9" * 99,
    ],
)
def test_anything_else_is_refused_with_examples(text):
    with pytest.raises(ValueError, match="neither a date such as 2026-11-01 nor a time"):
        read_instant(text, UTC)


def test_a_time_that_no_clock_can_show_in_utc_is_refused():
    with pytest.raises(ValueError, match="neither a date"):
        read_instant("0001-01-01", read_zone("Asia/Kolkata"))


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../UTC", "/etc/passwd", "Europe", "a\x00b", "x" * 10_000])
def test_an_unknown_zone_is_refused(name):
    with pytest.raises(ValueError, match="no zone that this machine knows"):
        read_zone(name)


def test_utc_needs_no_files_of_zones():
    assert read_zone("UTC") is UTC
    assert datetime(2026, 7, 1, tzinfo=read_zone("Europe/Berlin")).utcoffset() == timedelta(hours=2)


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(0), "0-1 h"),
        (timedelta(hours=1) - timedelta(microseconds=1), "0-1 h"),
        (timedelta(hours=1), "1-24 h"),
        (timedelta(hours=24), "1-7 d"),
        (timedelta(days=7) - timedelta(microseconds=1), "1-7 d"),
        (timedelta(days=7), "over 7 d"),
        (timedelta(days=400), "over 7 d"),
    ],
)
def test_a_bucket_begins_with_its_first_number_and_ends_before_its_second(age, expected):
    assert bucket(age) == expected
