"""When a payment comes into the books, and what corrects its line."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.booking import adopt, book, corrected, counts, hand_over
from domain.payments import Payment
from domain.status import Status

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)


def payment(**fields: Any) -> Payment:
    given: dict[str, Any] = {
        "id": 17,
        "kind": "payment",
        "key": "tx:cf2e",
        "source": "look-up",
        "status": Status.PAID,
        "first_seen_at": EARLIER,
        "last_seen_at": EARLIER,
        "amount": Decimal(10),
        "amount_told": 1,
    }
    return Payment(**(given | fields))


def booked(**fields: Any) -> Payment:
    return payment(**({"booked_at": EARLIER, "booked": Decimal(10), "booked_told": 1} | fields))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"status": Status.PARTIALLY_PAID}, True),
        ({"status": Status.CONFIRMING}, False),
        ({"status": Status.CONFIRMING, "settled_status": "confirming"}, False),
        ({"status": Status.CONFIRMING, "settled_status": "paid"}, True),
        ({"source": "mark"}, True),
        ({"source": "callback"}, False),
        ({"source": "callback", "settled_status": "paid"}, True),
        ({"source": "callback", "settled_status": "partially_paid"}, True),
        ({"source": "callback", "settled_status": "confirming"}, False),
        ({"kind": "refund", "status": Status.REFUNDED}, True),
        ({"folded": 1}, False),
        ({"kind": "correction"}, False),
    ],
)
def test_what_is_certain_and_told_no_more_exactly_elsewhere_counts(fields, expected):
    row = payment(**fields)
    assert counts(row) is expected
    assert book(row, [row], NOW) is None
    assert (row.booked_at, row.booked, row.booked_told) == ((NOW, Decimal(10), 1) if expected else (None, None, 0))


def test_a_line_stays_while_its_amount_does():
    row = booked(status=Status.PAID)
    assert book(row, [row], NOW) is None
    assert row == booked()


@pytest.mark.parametrize(
    ("fields", "change"),
    [
        ({"amount": Decimal(12)}, Decimal(2)),
        ({"amount": Decimal(4)}, Decimal(-6)),
        ({"amount": None}, Decimal(-10)),
        ({"folded": 1, "amount": None}, Decimal(-10)),
        ({"booked": None}, Decimal(10)),
        ({"kind": "refund", "amount": Decimal(4)}, Decimal(6)),
        ({"kind": "refund", "amount": Decimal(12)}, Decimal(-2)),
    ],
)
def test_another_amount_is_a_correction_that_names_the_payment(fields, change):
    row = booked(**fields, asset="BTC", network="Bitcoin", tx_hash="cf2e", reference="100")
    before = replace(row)
    correction = book(row, [row], NOW)
    assert correction is not None
    assert row == before, "the line itself stays"
    assert (correction.kind, correction.key, corrected(correction)) == ("correction", "of:17:1", 17)
    assert (correction.booked_at, correction.booked, correction.booked_told) == (NOW, change, 1)
    assert (correction.amount, correction.amount_told, correction.first_seen_at) == (change, 1, NOW)
    assert (correction.asset, correction.network, correction.tx_hash, correction.reference) == (
        *("BTC", "Bitcoin", "cf2e"),
        "100",
    )
    assert (correction.last_seen_at, correction.source, correction.status) == (NOW, row.source, row.status)
    assert book(row, [row, correction], NOW + timedelta(hours=1)) is None
    assert book(correction, [row, correction], NOW) is None


def test_corrections_add_up_and_are_numbered():
    row = booked(amount=Decimal(12))
    first = book(row, [row], NOW)
    assert first is not None
    row.amount = Decimal(9)
    other = replace(first, key="of:1:1")
    second = book(row, [row, other, first], NOW + timedelta(hours=1))
    assert second is not None
    assert (second.key, second.booked) == ("of:17:2", Decimal(-3))


def test_a_correction_has_the_event_that_it_came_with():
    told = {"settled_status": "paid", "settled_sequence": 3, "settled_event": "evt_3", "settled_by": "look-up"}
    now = book(row := booked(amount=Decimal(12), settled_at=NOW, **told), [row], NOW)
    assert now is not None
    assert {name: getattr(now, name) for name in told} == told
    assert now.settled_at == NOW
    before = book(row := booked(amount=Decimal(12), settled_at=EARLIER, **told), [row], NOW)
    assert before is not None
    assert {getattr(before, name) for name in (*told, "settled_at")} == {None}


def test_what_changes_within_a_transaction_is_the_line_itself():
    for row in (booked(booked_at=NOW, amount=Decimal(12)), booked(id=None, booked_at=NOW, amount=Decimal(12))):
        assert book(row, [row], NOW) is None
        assert (row.booked_at, row.booked) == (NOW, Decimal(12))
    gone = booked(booked_at=NOW, folded=1, amount=None)
    assert book(gone, [gone], NOW) is None
    assert (gone.booked_at, gone.booked, gone.booked_told) == (None, None, 0)


def test_a_row_that_takes_the_number_takes_the_line():
    known, row = booked(), payment(key="tx:ab12", amount=Decimal(7))
    hand_over(known, row)
    assert (row.booked_at, row.booked, row.booked_told) == (EARLIER, Decimal(10), 1)
    assert (known.booked_at, known.booked, known.booked_told) == (None, None, 0)


def test_a_row_of_an_earlier_release_counts_from_when_it_was_first_seen():
    row = adopt(payment())
    assert (row.booked_at, row.booked, row.booked_told) == (EARLIER, Decimal(10), 1)
    assert adopt(payment(status=Status.CONFIRMING)).booked_at is None
    assert adopt(booked(booked_at=NOW)).booked_at == NOW


def test_amounts_are_added_up_with_every_digit():
    exact = Decimal("123456789012345678901234567890.000000000000000001")
    row = booked(amount=exact)
    correction = book(row, [row], NOW)
    assert correction is not None
    assert correction.booked == Decimal("123456789012345678901234567880.000000000000000001")
