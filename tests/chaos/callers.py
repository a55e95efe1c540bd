"""The provider's callbacks in a campaign: some Nebulox orders are paid, each payment is told until it is answered."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.acceptance.system import System
from tests.callbacks import nebulox_callback, post
from tests.chaos.planned import Payment

#: Between two tries of what the provider has to tell.
AGAIN_SECONDS = 0.5
#: An order that the provider has no invoice of is not paid: it was cancelled, or its create was lost for too long.
PATIENCE_SECONDS = 20.0
FORGED = "0" * 64


@dataclass(slots=True)
class Told:
    """What providers were answered. Times are epoch seconds."""

    paid: dict[str, float] = field(default_factory=dict)  #: order id -> when a callback about it was answered 200
    lies: dict[str, float] = field(default_factory=dict)  #: the same where nobody had paid
    digests: dict[str, float] = field(default_factory=dict)  #: of their bodies, and when
    answers: dict[int, int] = field(default_factory=dict)  #: how often each status was answered
    forged_taken: int = 0  #: callbacks without a right signature that were answered 200


class Callers:
    """Pays and tells, in a thread of its own."""

    def __init__(self, system: System, payments: list[Payment], url: str) -> None:
        self._system = system
        self._payments = payments
        self._url = f"{url}/callbacks/nebulox"
        self._stopping = threading.Event()
        self.told = Told()

    def run(self, began: float) -> None:
        """Until all is told, or it is stopped. ``began``: the monotonic start of the run."""
        waiting = sorted(self._payments, key=lambda one: one.at)
        telling: list[_Telling] = []
        while (waiting or telling) and not self._stopping.is_set():
            now = time.monotonic() - began
            for one in [one for one in waiting if one.at <= now]:
                found = self._invoice_of(one)
                if found is not None:
                    telling.append(_telling(one, found))
                if found is not None or now - one.at > PATIENCE_SECONDS:
                    waiting.remove(one)
            telling = [left for one in telling if (left := self._tell(one))]
            self._stopping.wait(AGAIN_SECONDS if telling or not waiting else 0.05)

    def stop(self) -> None:
        """Tell nothing more."""
        self._stopping.set()

    def _invoice_of(self, payment: Payment) -> Mapping[str, Any] | None:
        """The provider's invoice, which is paid now, or said to be."""
        if payment.kind == "lying":
            there = self._system.control("invoices?limit=0")["invoices"]
            of_order = (one for one in there if one["provider"] == "nebulox" and one["order_id"] == payment.order_id)
            return next(of_order, None)
        with contextlib.suppress(AssertionError):  # the provider has no such invoice yet
            found: Mapping[str, Any] = self._system.control(
                "pay", {"provider": "nebulox", "order_id": payment.order_id}
            )
            return found
        return None

    def _tell(self, one: _Telling) -> _Telling | None:
        """What is left to be told of it."""
        body = one.bodies[0]
        with contextlib.suppress(OSError, http.client.HTTPException):  # killed amid it, or not started again yet
            if post(self._url, body.replace(b"COMPLETED", b"FORGED"), [("X-Hash", FORGED)])[0] == 200:
                self.told.forged_taken += 1
            status, _ = post(self._url, body)
            self.told.answers[status] = self.told.answers.get(status, 0) + 1
            if status == 200:
                (self.told.lies if one.is_lie else self.told.paid).setdefault(one.order_id, time.time())
                self.told.digests[hashlib.sha256(body).hexdigest()] = time.time()
                return _Telling(one.order_id, one.bodies[1:], one.is_lie) if one.bodies[1:] else None
        return one


@dataclass(frozen=True, slots=True)
class _Telling:
    """Bodies that the provider has still to send, one after the other."""

    order_id: str
    bodies: tuple[bytes, ...]
    is_lie: bool


def _telling(payment: Payment, invoice: Mapping[str, Any]) -> _Telling:
    said = {"trackingCode": invoice["number"], "amount": invoice["pay_amount"]}
    paid = nebulox_callback(payment.order_id, **said)
    more = {"twice": (paid,), "reordered": (nebulox_callback(payment.order_id, "PENDING", **said),)}
    return _Telling(payment.order_id, (paid, *more.get(payment.kind, ())), payment.kind == "lying")


def unkept(system: System, told: Told, excused: list[tuple[float, float]]) -> Iterator[str]:
    """Callbacks that were answered 200 and are nowhere. ``excused``: between these times the answer may have been lost
    with the broker that kept it, or with the database that was put back."""
    kept = {row["digest"] for row in system.rows("SELECT digest FROM callback")}
    for digest, at in sorted(told.digests.items()):
        if digest not in kept and not any(begin <= at <= end for begin, end in excused):
            yield f"{digest[:12]}: answered 200 at {at:.1f}, and not kept"
    if told.forged_taken:
        yield f"{told.forged_taken} forged callbacks were answered 200"


def unpaid(
    system: System, told: Told, excused: list[tuple[float, float]], monitor_seconds: float, gone: set[str]
) -> Iterator[str]:
    """Orders whose payment was told in time, and that are not paid; and paid ones that nobody told of."""
    rows = {order: row for order, row in system.invoices().items() if row["provider_account"] == "nebulox"}
    for order, at in sorted(told.paid.items()):
        row = rows.get(order)
        if row is None or row["status"] == "paid" or any(begin <= at <= end for begin, end in excused):
            continue
        if order in gone:
            continue
        if row["status"] == "cancelled" or (row["status"] == "expired" and _too_late(row, at, monitor_seconds)):
            continue
        yield f"{order}: its payment was told at {at:.1f}, and it is {row['status']}"
    yield from (
        f"{order}: paid, and nobody told of a payment"
        for order, row in sorted(rows.items())
        if row["status"] == "paid"
        and order not in told.paid
        # A signed lie may decide where no look-up was to be had for the whole grace: that is the rule.
        and not (order in told.lies and "stood alone" in (row["reason"] or ""))
    )


def _too_late(row: Mapping[str, Any], at: float, monitor_seconds: float) -> bool:
    """The callback came when nobody watched any more, or so late that judging it was."""
    from tests.chaos.audit import as_time

    return row["expires_at"] is None or at > as_time(row["expires_at"]).timestamp() + monitor_seconds - 5
