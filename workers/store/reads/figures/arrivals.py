"""How many orders came, minute by minute."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from workers.store.queries import earliest_id
from workers.store.tables import INVOICE

SPAN = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
#: How many of the newest orders are counted.
ORDERS = 10_000
#: The first eight digits of an id's time, which is in milliseconds and hexadecimal: spans of a good minute.
DIGITS, DIGIT_MILLISECONDS = 8, 16**4
SLOT = timedelta(milliseconds=DIGIT_MILLISECONDS)


class Came(NamedTuple):
    """Orders of an account in the span of SLOT that began at ``at``."""

    account: str
    at: datetime
    orders: int


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Since ``since``; ``last_minute``: up to now, by account."""

    since: datetime
    came: Sequence[Came]
    last_minute: Sequence[tuple[str, int]]

    def within(self, accounts: Collection[str]) -> Arrivals:
        """Of these accounts only."""
        came = [one for one in self.came if one.account in accounts]
        return replace(self, came=came, last_minute=[one for one in self.last_minute if one[0] in accounts])

    def now_a_minute(self) -> int:
        """How many came in the last one."""
        return sum(orders for _, orders in self.last_minute)

    def over_time(self, until: datetime) -> list[float]:
        """Orders a minute, span by span; of the spans that are over."""
        spans = max(0, int((until - self.since) / SLOT))
        found = [0] * spans
        for one in self.came:
            place = round((one.at - self.since) / SLOT)
            if 0 <= place < spans:
                found[place] += one.orders
        return [orders * (MINUTE / SLOT) for orders in found]


def read_arrivals(connection: Connection, now: datetime) -> Arrivals:
    """By the times in invoices' ids, those of the hosts that took them in."""
    first = _slot_of(now - SPAN) + 1
    came = _count(connection, _begin(first))
    total = sum(orders for _, _, orders in came)
    oldest = min((slot for _, slot, _ in came), default=first)
    since = oldest + 1 if total >= ORDERS else first  # of the oldest some may be left out
    return Arrivals(
        _begin(since),
        [Came(account, _begin(slot), orders) for account, slot, orders in came],
        _last_minute(connection, now),
    )


def _count(connection: Connection, since: datetime) -> list[tuple[str, int, int]]:
    newest = select(INVOICE.c.account, INVOICE.c.id).where(INVOICE.c.id >= earliest_id(since))
    found = newest.order_by(INVOICE.c.id.desc()).limit(ORDERS).subquery()
    slot = func.substr(found.c.id, 5, DIGITS)
    rows = connection.execute(select(found.c.account, slot, func.count()).group_by(found.c.account, slot))
    return [(account, int(digits, 16), orders) for account, digits, orders in rows]


def _last_minute(connection: Connection, now: datetime) -> list[tuple[str, int]]:
    newest = select(INVOICE.c.account).where(INVOICE.c.id >= earliest_id(now - MINUTE))
    found = newest.order_by(INVOICE.c.id.desc()).limit(ORDERS).subquery()
    rows = connection.execute(select(found.c.account, func.count()).group_by(found.c.account))
    return [(account, orders) for account, orders in rows]


def _slot_of(time: datetime) -> int:
    return int(time.timestamp() * 1000) // DIGIT_MILLISECONDS


def _begin(slot: int) -> datetime:
    return datetime.fromtimestamp(slot * DIGIT_MILLISECONDS / 1000, UTC)
