"""The demo's orders: what each asks of the sandbox, and how it has to end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

#: The account whose provider calls back when somebody pays.
CALLED_BACK = "nebulox"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of order. ``markers`` go into the id the sandbox reads (its README); ``calls``: creates it needs."""

    what: str
    account: str
    ends: str
    markers: str = ""
    calls: int = 1
    minutes: str | None = None  #: its lifetime at Nebulox, which gives no expiry of its own
    prefix: str = "d"
    anomaly: str | None = None  #: what has to be odd about its end; None: anything may be


_PAID = "~lifetime:12~pay:{}~"


def _paid(seconds: str) -> Kind:
    return Kind("paid", "zeroxhost", "paid", _PAID.format(seconds))


def _faulty(fault: str, calls: int = 2) -> Kind:
    return Kind(f"{fault.partition('=')[0]}, then paid", "zeroxhost", "paid", f"~fault:{fault}{_PAID.format(2)}", calls)


def _unpaid(minutes: str, fault: str = "", calls: int = 1) -> Kind:
    what = f"{fault.partition('=')[0]}, then expired" if fault else "expired"
    return Kind(what, "nebulox", "expired", f"~fault:{fault}~" if fault else "", calls, minutes)


def _called(what: str, markers: str, minutes: str = "0.5", calls: int = 1) -> Kind:
    """Paid at Nebulox, which tells of it by callbacks."""
    return Kind(what, CALLED_BACK, "paid", markers, calls, minutes)


#: One round; longer demos repeat it.
ROUND: tuple[Kind, ...] = (
    _paid("1"),
    _unpaid("0.06"),
    _paid("2"),
    Kind("expired", "zeroxhost", "expired", "~lifetime:4~"),
    Kind("refused", "zeroxhost", "failed", prefix="refuse"),
    _called("paid, called back", "~pay:1~"),
    Kind("confirmed, then paid", "zeroxhost", "paid", "~lifetime:15~confirm:1~pay:4~"),
    _faulty("status=503"),
    _called("rate_limited, then paid", "~fault:rate_limited=1~pay:1~", calls=2),
    _called("paid, with a forged callback", "~pay:2~callback:forged,twice~"),
    _paid("3"),
    _faulty("accept_then_timeout=20"),
    Kind("refused", "nebulox", "failed", "~fault:refused~", 1, "0.1"),
    _paid("1.5"),
    _faulty("truncated"),
    Kind("expired, then paid late", CALLED_BACK, "paid", "~pay:6~", minutes="0.05", anomaly="late"),
    _called("paid in two parts, the last callback lost", "~underpay:1~pay:3~callback:lost=2~"),
    Kind("underpaid", "zeroxhost", "expired", "~lifetime:6~underpay:1~"),
    _faulty("html"),
    Kind("forged only, then expired", CALLED_BACK, "expired", "~expire:1~callback:forged_only~", minutes="0.06"),
    _paid("2.5"),
    _unpaid("0.09", "status=502", 2),
    _faulty("reset"),
    _paid("4"),
    _called("paid, called back before it was made", "~pay:0~callback:early~"),
    Kind("underpaid, called back", CALLED_BACK, "expired", "~underpay:1~", minutes="0.15", anomaly="underpaid"),
    Kind("expired", "zeroxhost", "expired", "~lifetime:7~"),
    _faulty("duplicate"),
    _called("paid, called back in disorder", "~underpay:1~pay:2~callback:reordered~"),
    _faulty("delay=1", 1),
    _paid("1"),
    _faulty("garbage"),
    _unpaid("0.05", "html", 2),
    _paid("3.5"),
    _called("paid, an old callback", "~pay:1~callback:old~"),
    _called("paid, a late and oddly spelled callback", "~pay:1~callback:late=2,spelled~"),
    _faulty("rate_limited=1"),
)


@dataclass(frozen=True, slots=True)
class DemoOrder:
    """An order's fields as they are queued, and its kind."""

    fields: dict[str, Any]
    kind: Kind

    @property
    def sandbox_id(self) -> str:
        """What the sandbox knows the order by."""
        user_id = self.fields.get("params", {}).get("user_id")
        return str(user_id or self.fields["order_id"])


def make_orders(count: int) -> Iterator[DemoOrder]:
    """So many orders of all kinds."""
    for number, kind in enumerate(islice(cycle(ROUND), count), start=1):
        name = f"{kind.prefix}-{number:04d}"
        if kind.account == "zeroxhost":
            fields: dict[str, Any] = {"order_id": name, "params": {"user_id": name + kind.markers, "server_id": "demo"}}
        else:
            price = f"{5 + number % 90}.{number % 100:02d}"
            fields = {"order_id": name + kind.markers, "price": price, "currency": "EUR"}
            fields |= {"lifetime_minutes": kind.minutes}
        yield DemoOrder({"account": kind.account, "metadata": {"demo": kind.what}} | fields, kind)
