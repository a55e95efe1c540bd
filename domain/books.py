"""The lines of the books: one for each payment, refund, mark and correction, never for an invoice. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from decimal import Decimal

from domain.event import format_time
from domain.exact_json import read_json, write_json
from domain.money import total

#: The columns in their order. ``metadata.KEY`` follow, as many as are asked for.
COLUMNS = (
    "time", "time_utc", "line", "account", "provider_account", "order_id", "invoice", "payment", "kind", "said_by",
    "asset", "network", "amount", "assumed_amount", "transaction", "address", "currency", "price", "fee", "net",
    "status", "anomaly", "settled_by", "by", "reason", "reference", "provider_ref", "event",
)  # fmt: skip
TOTAL_COLUMNS = ("account", "kind", "said_by", "unit", "lines", "amount", "assumed_amount")
#: Who says it: a provider, or a person by a mark.
PROVIDER, PERSON = "provider", "person"
PRICE = "price"  #: the kind of the totals of prices


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line. Amounts may be summed, those of one asset: a refund's is below zero. ``amount``: as it was told;
    ``assumed_amount``: where nobody told it, what was asked for (of a refund: what was paid).

    ``price`` is the invoice's, on the one line that it was paid by: prices may be summed too.
    """

    at: datetime
    line: int
    account: str
    provider_account: str
    order_id: str
    invoice: str
    payment: int
    kind: str  #: payment, refund, mark, correction
    said_by: str
    asset: str | None
    network: str | None
    amount: Decimal | None
    assumed_amount: Decimal | None
    transaction: str | None
    address: str | None
    currency: str | None
    price: Decimal | None
    fee: Decimal | None = None  #: no provider tells it yet
    net: Decimal | None = None
    status: str
    anomaly: str | None
    settled_by: str | None
    by: str | None
    reason: str | None
    reference: str | None
    provider_ref: str | None
    event: str | None
    metadata: str = "{}"  #: JSON text

    def values(self, zone: tzinfo, keys: Sequence[str] = ()) -> dict[str, object]:
        """By column; ``keys``: those of the order's metadata that are told too."""
        times = {"time": local_time(self.at, zone), "time_utc": format_time(self.at)}
        told = {name: times[name] if name in times else getattr(self, name) for name in COLUMNS}
        return told | (told_metadata(self.metadata, keys) if keys else {})


def local_time(at: datetime, zone: tzinfo) -> str:
    """RFC 3339 with the zone's offset, cut to milliseconds."""
    return at.astimezone(zone).isoformat(timespec="milliseconds")


def told_metadata(text: str, keys: Sequence[str]) -> dict[str, object]:
    """By column. A text is told as it is, anything else as JSON; None: the order has no such key."""
    found = read_json(text)
    return {f"metadata.{key}": _plain(found.get(key)) for key in keys}


def _plain(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else write_json(value)


@dataclass(slots=True)
class _Sum:
    lines: int = 0
    amount: Decimal | None = None
    assumed: Decimal | None = None

    def add(self, amount: Decimal | None, assumed: Decimal | None = None) -> None:
        self.lines += 1
        self.amount = _added(self.amount, amount)
        self.assumed = _added(self.assumed, assumed)


def _added(amount: Decimal | None, more: Decimal | None) -> Decimal | None:
    return amount if more is None else total((amount, more))


@dataclass(slots=True)
class Totals:
    """Exact sums, never over unlike units. What people said is apart from what providers did."""

    sums: defaultdict[tuple[str, str, str, str], _Sum] = field(default_factory=lambda: defaultdict(_Sum))

    def add(self, line: Line) -> None:
        found = self.sums[line.account, line.kind, line.said_by, line.asset or ""]
        if line.asset:
            found.add(line.amount, line.assumed_amount)
        else:
            found.add(None)  # of what coin, nobody told: it may be of several
        if line.price is not None:
            self.sums[line.account, PRICE, line.said_by, line.currency or ""].add(line.price)

    def rows(self) -> Iterator[Mapping[str, object]]:
        """By column, sorted."""
        for (account, kind, said_by, unit), found in sorted(self.sums.items()):
            values = account, kind, said_by, unit or None, found.lines, found.amount, found.assumed
            yield dict(zip(TOTAL_COLUMNS, values, strict=True))
