"""Amounts digit for digit, times to the microsecond, and whose clock counts: the same on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.evidence import CancelRequested, InDoubt, Unreadable
from domain.money import format_amount
from tests.contracts.store_cases import (
    HandClock,
    agenda_of,
    created,
    events_of,
    evidence_of,
    invoice_of,
    judge,
    open_store,
    order,
    pend,
    queue,
    rows,
    seen,
    take,
    utc,
)
from tests.examples import examples
from workers.store.database import Database
from workers.store.tables import AGENDA

#: One database for all examples of a test: each takes rows of its own.
TOGETHER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(25))

AMOUNTS = st.builds(
    lambda whole, decimals: Decimal(f"{whole}.{decimals}" if decimals else f"{whole}"),
    st.integers(min_value=0, max_value=10**30 - 1),
    st.text("0123456789", max_size=30),
).filter(bool)
TIMES = st.datetimes(
    datetime(1970, 1, 2),  # noqa: DTZ001 - hypothesis takes its bounds without a zone
    datetime(9000, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-11))]),
)


@TOGETHER
@given(price=AMOUNTS, pay_amount=AMOUNTS, paid_amount=AMOUNTS)
def test_amounts_keep_every_digit(database, price, pay_amount, paid_amount):
    store = open_store(database)
    invoice_id = queue(store, price=format_amount(price))
    judge(store, invoice_id, created(pay_amount=pay_amount))
    judge(store, invoice_id, seen("partially_paid", paid_amount=paid_amount))
    row = invoice_of(database, invoice_id)
    kept = [format_amount(amount) for amount in (row.price, row.pay_amount, row.paid_amount)]
    assert kept == [format_amount(amount) for amount in (price, pay_amount, paid_amount)]
    for text in kept:
        assert f'"{text}"' in events_of(database, invoice_id)[-1].body.decode()


@pytest.mark.parametrize("written", ["0.10", "1E+3", "3.58619204E-2", "0.000000000000000001", "100000000000000.000000"])
def test_an_amount_is_never_kept_as_a_float_or_with_an_exponent(database, written):
    invoice_id = pend(open_store(database), pay_amount=Decimal(written))[0]
    kept = invoice_of(database, invoice_id).pay_amount
    assert kept == Decimal(written)
    assert format_amount(kept) == format_amount(Decimal(written))


@TOGETHER
@given(before=TIMES)
def test_times_keep_their_microseconds_and_are_utc(database, before):
    store = open_store(database)
    invoice_id = queue(store, create_before=before)
    clock = agenda_of(database, invoice_id)["clock"].due_at
    for kept in (invoice_of(database, invoice_id).create_before, clock):
        assert kept == before
        assert kept.utcoffset() == timedelta(0)


def test_times_sort_by_moment_and_not_by_their_text(database):
    store = open_store(database)
    times = [utc(2026, 1, 1, 9), utc(2026, 1, 1, 9, 0, 0, 1), utc(2026, 1, 1, 10), utc(2026, 12, 1, 0, 0, 0, 100)]
    zone = timezone(timedelta(hours=-10))
    for time in reversed(times):
        take(store, order(time.isoformat(), create_before=time.astimezone(zone)))
    with database.reading() as connection:
        query = AGENDA.select().where(AGENDA.c.stage == "clock").order_by(AGENDA.c.due_at)
        assert [row.due_at for row in connection.execute(query)] == times


def test_a_time_without_a_zone_never_reaches_a_row(database):
    invoice_id = queue(open_store(database))
    with pytest.raises(Exception, match="without a zone"):  # noqa: PT012, SIM117 - the statement is what must fail
        with database.transaction() as connection:
            naive = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the point
            connection.execute(AGENDA.update().where(AGENDA.c.subject == invoice_id).values(due_at=naive))


def test_postgresqls_clock_counts_and_with_sqlite_the_hosts(database_url):
    wrong = HandClock(utc(2001, 2, 3, 4, 5, 6, 789))
    database = Database(database_url, clock=wrong)
    try:
        store = open_store(database)
        invoice_id = queue(store)
        judge(store, invoice_id, CancelRequested(reason="x"))
        row = invoice_of(database, invoice_id)
        moments = {store.now(), row.created_at, row.updated_at, events_of(database, invoice_id)[0].created_at}
        if database.is_postgresql:
            assert all(abs(datetime.now(UTC) - moment) < timedelta(hours=1) for moment in moments)
        else:
            assert moments == {wrong.time}
    finally:
        database.close()


def test_within_one_transaction_the_clock_goes_on(database):
    """What is decided after a wait for a lock is decided by the time of then."""
    with database.transaction() as connection:
        first = database.now(connection)
        assert first < database.now(connection) or not database.is_postgresql
    assert first.tzinfo is not None


@pytest.mark.parametrize("odd", ["nul \x00", "half a pair \ud83d"])
def test_what_no_database_takes_is_kept_as_an_escape(database, odd):
    """A provider's odd byte must not cost the answer it came with."""
    store = open_store(database)
    doubtful, watched = queue(store), pend(store)[0]
    assert judge(store, doubtful, InDoubt(reason=odd, raw=odd)).status == "in_doubt"
    assert judge(store, watched, Unreadable(reason=odd, raw=odd)).verdict == "noted"
    for invoice_id in (doubtful, watched):
        kept = evidence_of(database, invoice_id)[-1]
        assert "\\" in kept.detail
        assert "\\" in kept.raw
    assert "\\" in invoice_of(database, doubtful).reason


def test_a_sources_words_are_bounded(database):
    store = open_store(database)
    invoice_id = queue(store)
    judge(store, invoice_id, InDoubt(reason="odd", raw="x" * 1_000_000))
    assert len(evidence_of(database, invoice_id)[0].raw) == 16_384


def test_a_row_that_is_not_there_changes_nothing(database):
    store = open_store(database)
    assert judge(store, "inv_nobody", CancelRequested(reason="x")).verdict == "missing"
    assert rows(database, AGENDA) == []
