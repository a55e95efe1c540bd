"""Nebulox's orders in the demo. Payments are told by callbacks, which may be late, odd, forged or lost."""

from __future__ import annotations

from workers.embedded.sandbox.demo import Kind


def _unpaid(minutes: str, fault: str = "", calls: int = 1) -> Kind:
    what = f"{fault.partition('=')[0]}, then expired" if fault else "expired"
    return Kind(what, "expired", f"~fault:{fault}~" if fault else "", calls, minutes)


def _paid(what: str, markers: str, calls: int = 1) -> Kind:
    return Kind(what, "paid", markers, calls, "0.5")


DEMO = (
    _unpaid("0.06"),
    _paid("paid, called back", "~pay:1~"),
    _paid("rate_limited, then paid", "~fault:rate_limited=1~pay:1~", calls=2),
    _paid("paid, with a forged callback", "~pay:2~callback:forged,twice~"),
    Kind("refused", "failed", "~fault:refused~", 1, "0.1"),
    Kind("expired, then paid late", "paid", "~pay:9~", minutes="0.05", anomaly="late"),
    _paid("paid in two parts, the last callback lost", "~underpay:1~pay:3~callback:lost=2~"),
    Kind("forged only, then expired", "expired", "~expire:1~callback:forged_only~", minutes="0.06"),
    _unpaid("0.09", "status=502", 2),
    _paid("paid, called back before it was made", "~pay:0~callback:early~"),
    Kind("underpaid, called back", "expired", "~underpay:1~", minutes="0.15", anomaly="underpaid"),
    _paid("paid, called back in disorder", "~underpay:1~pay:2~callback:reordered~"),
    _unpaid("0.05", "html", 2),
    _paid("paid, an old callback", "~pay:1~callback:old~"),
    _paid("paid, a late and oddly spelled callback", "~pay:1~callback:late=2,spelled~"),
)
