"""When a payment comes into the books, and how they are corrected. Pure.

A line of the books never changes, so that a period that is over stays as it was reported:

- A payment is booked when it first counts: once a look-up says that it came (as a part or as a whole), once an operator
  says so, or once a callback has decided alone. While it waits for confirmations it does not count.
- What its amount changes by after that is a line of its own, a *correction*: a row of the kind ``correction``, whose
  key names the payment. The amounts of a payment and of its corrections add up to what is known of it now.

A line's time is that of the judging transaction, by the database's clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from domain.money import less, negated, total
from domain.payments import Payment
from domain.status import Status

#: Statuses that say that money came, or went back. In SQL: ``workers/store/tables/conditions.py``, UNBOOKED.
CERTAIN = frozenset({Status.PARTIALLY_PAID, Status.PAID, Status.REFUNDED})
_OF = "of"  #: how the key of a correction begins
_NOTHING = Decimal(0)


def counts(row: Payment) -> bool:
    """Whether the row's payment is certain, and no other row tells of it more exactly."""
    if row.folded or row.kind == "correction":
        return False
    settled = row.settled_status is not None and row.settled_status in CERTAIN
    return settled or (row.source != "callback" and row.status in CERTAIN)


def adopt(row: Payment) -> Payment:
    """A row that an earlier release wrote: it counted when it was first seen. Returns the row."""
    if row.booked_at is None and counts(row):
        _write(row, row.first_seen_at)
    return row


def hand_over(known: Payment, row: Payment) -> None:
    """The line goes to the row that takes the payment's number."""
    row.booked_at, row.booked, row.booked_told = known.booked_at, known.booked, known.booked_told
    _unwrite(known)


def book(row: Payment, rows: Iterable[Payment], now: datetime) -> Payment | None:
    """Book the row if it has come to count. Returns a correction if it is booked with another amount; ``rows``: all of
    its invoice."""
    if row.kind == "correction":
        return None
    if row.booked_at is None:
        if counts(row):
            _write(row, now)
        return None
    if row.booked_at == now or row.id is None:  # of this very transaction: nobody has seen the line
        _write(row, now) if counts(row) else _unwrite(row)
        return None
    earlier = [one for one in rows if one.kind == "correction" and corrected(one) == row.id]
    known = _NOTHING if row.folded else signed(row, row.amount)
    change = less(known, total([signed(row, row.booked), *(one.booked for one in earlier)]))
    return None if change == 0 else _correction(row, len(earlier) + 1, change, now)


def corrected(row: Payment) -> int | None:
    """The number of the payment that a correction is of; None: it is no correction."""
    return int(row.key.split(":")[1]) if row.kind == "correction" else None


def signed(row: Payment, amount: Decimal | None) -> Decimal:
    """What it adds to a sum: of a refund less than nothing."""
    found = amount or _NOTHING
    return negated(found) if row.kind == "refund" else found


def _write(row: Payment, at: datetime) -> None:
    row.booked_at, row.booked, row.booked_told = at, row.amount, row.amount_told


def _unwrite(row: Payment) -> None:
    row.booked_at, row.booked, row.booked_told = None, None, 0


def _correction(row: Payment, number: int, change: Decimal, now: datetime) -> Payment:
    """``change``: what the books' sum changes by; a refund that grows makes it less."""
    is_news = row.settled_at == now
    return Payment(
        kind="correction",
        key=f"{_OF}:{row.id}:{number}",
        source=row.source,
        status=row.status,
        asset=row.asset,
        network=row.network,
        tx_hash=row.tx_hash,
        reference=row.reference,
        first_seen_at=now,
        last_seen_at=now,
        amount=change,
        amount_told=row.amount_told,
        settled_status=row.settled_status if is_news else None,
        settled_sequence=row.settled_sequence if is_news else None,
        settled_event=row.settled_event if is_news else None,
        settled_by=row.settled_by if is_news else None,
        settled_at=now if is_news else None,
        booked_at=now,
        booked=change,
        booked_told=row.amount_told,
    )
