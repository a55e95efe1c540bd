"""How long invoices have been open: buckets, and totals of each. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal

from domain.books import local_time
from domain.event import format_time
from domain.money import total

COLUMNS = (
    "at", "age", "account", "provider_account", "order_id", "invoice", "status", "currency", "price", "asset",
    "network", "asked_amount", "paid_amount", "address", "provider_ref", "created", "created_utc", "expires_utc",
)  # fmt: skip
TOTAL_COLUMNS = ("age", "unit", "what", "invoices", "amount")
_OVER = "over 7 d"
#: Below which age an invoice is in which bucket.
BUCKETS = ((timedelta(hours=1), "0-1 h"), (timedelta(days=1), "1-24 h"), (timedelta(days=7), "1-7 d"))
_ORDER = {name: number for number, name in enumerate([*(name for _, name in BUCKETS), _OVER])}


def bucket(age: timedelta) -> str:
    """Of an invoice of this age: each bucket begins with its first number and ends before its second."""
    return next((name for end, name in BUCKETS if age < end), _OVER)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenInvoice:
    """An invoice that was open ``at`` a time. ``paid_amount``: what had come by then, as far as that is known."""

    at: datetime
    account: str
    provider_account: str
    order_id: str
    invoice: str
    status: str
    currency: str | None
    price: Decimal | None
    asset: str | None
    network: str | None
    asked_amount: Decimal | None
    paid_amount: Decimal | None
    address: str | None
    provider_ref: str | None
    created: datetime
    expires: datetime | None

    @property
    def age(self) -> str:
        return bucket(self.at - self.created)

    def values(self, zone: tzinfo) -> dict[str, object]:
        """By column."""
        times = {
            "at": local_time(self.at, zone),
            "created": local_time(self.created, zone),
            "created_utc": format_time(self.created),
            "expires_utc": None if self.expires is None else format_time(self.expires),
        }
        return {name: times[name] if name in times else getattr(self, name) for name in COLUMNS}


@dataclass(slots=True)
class OpenTotals:
    """By bucket and unit: how many invoices, what they cost, what they ask for, what has come."""

    sums: defaultdict[tuple[str, str, str], tuple[int, Decimal]] = field(
        default_factory=lambda: defaultdict(lambda: (0, Decimal(0)))
    )

    def add(self, one: OpenInvoice) -> None:
        self._add(one, one.currency, "price", one.price)
        self._add(one, one.asset, "asked_amount", one.asked_amount)
        self._add(one, one.asset, "paid_amount", one.paid_amount)

    def _add(self, one: OpenInvoice, unit: str | None, what: str, amount: Decimal | None) -> None:
        if amount is not None:
            count, found = self.sums[one.age, unit or "", what]
            self.sums[one.age, unit or "", what] = count + 1, total((found, amount))

    def rows(self) -> Iterator[Mapping[str, object]]:
        """By column: the youngest bucket first."""
        for (age, unit, what), (count, amount) in sorted(self.sums.items(), key=lambda one: (_ORDER[one[0][0]], one)):
            yield dict(zip(TOTAL_COLUMNS, (age, unit or None, what, count, amount), strict=True))
