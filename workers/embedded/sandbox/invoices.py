"""The stand-ins' invoices, in memory, and what happens to them as planned or by the control address."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any, Protocol

from workers.embedded.sandbox.coins import COINS, make_transaction_hash

OPEN, CONFIRMING, PARTIAL, PAID, EXPIRED = "open", "confirming", "partial", "paid", "expired"

#: How many invoices a stand-in remembers; with more, the oldest tenth is forgotten.
MAX_INVOICES = 200_000


@dataclass(slots=True)
class Lifetime:
    """Seconds until an unpaid invoice lapses, unless a marker says otherwise. The control address changes it."""

    seconds: int


@dataclass(slots=True)
class Invoice:
    """One invoice. Times are epoch seconds; amounts are texts, digit for digit as they were or will be sent.

    `ref` is the provider's id for it (Nebulox: `id`, 0xhost: `track_id`), `number` a second one (Nebulox: the tracking
    code), different from every ref; `subject` holds every id of the request, where markers and fault rules look;
    `word` is a status word that the control address forced.
    """

    provider: str
    ref: str
    number: int
    order_id: str
    subject: str
    request: dict[str, object]
    detail: dict[str, Any]  #: the provider's own fields
    created_at: float
    expires_at: int
    pay_amount: str
    pay_currency: str | None
    updated_at: float = 0.0
    status: str = OPEN
    word: str | None = None
    tx_hash: str | None = None
    paid_amount: str = "0.00000000"
    plan: list[tuple[float, str]] = field(default_factory=list)
    callbacks: int = 0  #: how many were made for it
    told: bool = False  #: its create was answered without a fault

    def view(self) -> dict[str, object]:
        """The invoice as the control address shows it."""
        return {
            "provider": self.provider,
            "ref": self.ref,
            "number": self.number,
            "order_id": self.order_id,
            "status": self.status,
            "word": self.word,
            "tx_hash": self.tx_hash,
            "pay_amount": self.pay_amount,
            "pay_currency": self.pay_currency,
            "paid_amount": self.paid_amount,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "expires_at": self.expires_at,
            "request": self.request,
            "detail": self.detail,
        }


class Watcher(Protocol):
    """Is told about a provider's invoices."""

    def made(self, invoice: Invoice) -> None:
        """A new one, with its plan."""

    def changed(self, invoice: Invoice) -> None:
        """What its provider says about it has changed."""


class Keeper(Protocol):
    """Keeps invoices beyond the process: see ``state.py``."""

    def keep(self, invoice: Invoice) -> None: ...
    def forget(self, invoices: Sequence[Invoice]) -> None: ...


class Invoices:
    """One provider's invoices: by reference, by order id, newest first."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._ordered: list[Invoice] = []
        self._by_ref: dict[str, Invoice] = {}
        self._newest_of_order: dict[str, Invoice] = {}
        #: How many invoices were made per order id, ever.
        self.made: Counter[str] = Counter()
        self.watcher: Watcher | None = None
        self.keeper: Keeper | None = None

    def __len__(self) -> int:
        return len(self._ordered)

    def add(self, invoice: Invoice) -> None:
        """Remember a new invoice, and plan its lapse at its expiry."""
        invoice.updated_at = invoice.created_at
        plan_step(invoice, float(invoice.expires_at), "lapse")
        self.restore(invoice)
        if len(self._ordered) > MAX_INVOICES:
            self._forget(self._ordered[: MAX_INVOICES // 10])
        if self.watcher is not None:
            self.watcher.made(invoice)
        self._keep(invoice)

    def restore(self, invoice: Invoice) -> None:
        """Put back an invoice that was made before."""
        self._ordered.append(invoice)
        self._by_ref[invoice.ref] = self._by_ref[str(invoice.number)] = invoice
        self._newest_of_order[invoice.order_id] = invoice
        self.made[invoice.order_id] += 1

    def _keep(self, invoice: Invoice) -> None:
        if self.keeper is not None:
            self.keeper.keep(invoice)

    def _forget(self, oldest: list[Invoice]) -> None:
        del self._ordered[: len(oldest)]
        if self.keeper is not None:
            self.keeper.forget(oldest)
        for invoice in oldest:
            self._by_ref.pop(invoice.ref, None)
            self._by_ref.pop(str(invoice.number), None)
            if self._newest_of_order.get(invoice.order_id) is invoice:
                del self._newest_of_order[invoice.order_id]
                del self.made[invoice.order_id]

    def find(self, ref: str, now: float) -> Invoice | None:
        """By `ref` or `number`, as it is at `now`."""
        return self._advanced(self._by_ref.get(ref), now)

    def find_order(self, order_id: str, now: float) -> Invoice | None:
        """The newest invoice of an order id."""
        return self._advanced(self._newest_of_order.get(order_id), now)

    def newest(self, start: int, count: int, now: float) -> list[Invoice]:
        """At most `count` invoices, newest first, after the first `start`."""
        end = max(len(self._ordered) - start, 0)
        page = self._ordered[max(end - count, 0) : end]
        for invoice in page:
            self._advanced(invoice, now)
        return page[::-1]

    def note_told(self, ref: str) -> None:
        """The create of this invoice was answered without a fault."""
        if (invoice := self._by_ref.get(ref)) is not None:
            invoice.told = True
            self._keep(invoice)

    def first_told(self, other_than: str | None) -> Invoice | None:
        """The oldest invoice of another order whose create was answered without a fault."""
        return next((one for one in self._ordered if one.told and one.order_id != other_than), None)

    def apply(self, invoice: Invoice, step: str, now: float, paid_amount: str | None = None) -> None:
        """Play one of STEPS now; `paid_amount` replaces the step's own."""
        before = _told(invoice)
        STEPS[step](invoice, self._random)
        if paid_amount is not None:
            invoice.paid_amount = paid_amount
        self._touch(invoice, before, now)

    def force(self, invoice: Invoice, word: str, now: float) -> None:
        """Give it any status word, until the next step."""
        before = _told(invoice)
        invoice.word = word
        self._touch(invoice, before, now)

    def _touch(self, invoice: Invoice, before: tuple[str, str | None, str], now: float) -> None:
        invoice.updated_at = now
        if self.watcher is not None and _told(invoice) != before:
            self.watcher.changed(invoice)
        self._keep(invoice)

    def advance(self, invoice: Invoice, now: float) -> None:
        """Play the steps that are due."""
        self._advanced(invoice, now)

    def _advanced(self, invoice: Invoice | None, now: float) -> Invoice | None:
        """The invoice after the steps that are due: they are played when somebody looks, or when a callback is due."""
        while invoice is not None and invoice.plan and invoice.plan[0][0] <= now:
            at, step = invoice.plan.pop(0)
            self.apply(invoice, step, at)
        return invoice


def _told(invoice: Invoice) -> tuple[str, str | None, str]:
    """What a provider can say about it."""
    return invoice.status, invoice.word, invoice.paid_amount


def plan_step(invoice: Invoice, at: float, step: str) -> None:
    """Plan one of STEPS at `at` (epoch seconds)."""
    insort(invoice.plan, (at, step))


def pay(invoice: Invoice, random: Random) -> None:
    _settle(invoice, PAID, invoice.pay_amount, random)


def confirm(invoice: Invoice, random: Random) -> None:
    _settle(invoice, CONFIRMING, invoice.pay_amount, random)


def underpay(invoice: Invoice, random: Random) -> None:
    half = Decimal(invoice.pay_amount) / 2
    _settle(invoice, PARTIAL, f"{half:.8f}", random)


def overpay(invoice: Invoice, random: Random) -> None:
    more = Decimal(invoice.pay_amount) * Decimal("1.5")
    _settle(invoice, PAID, f"{more:.8f}", random)


def expire(invoice: Invoice, random: Random) -> None:
    invoice.status, invoice.word = EXPIRED, None


def lapse(invoice: Invoice, random: Random) -> None:
    """The expiry has passed: it expires unless it is paid in full or confirming."""
    if invoice.status in (OPEN, PARTIAL):
        expire(invoice, random)


def _settle(invoice: Invoice, status: str, paid_amount: str, random: Random) -> None:
    invoice.status, invoice.word, invoice.paid_amount = status, None, paid_amount
    if invoice.tx_hash is None:
        invoice.tx_hash = make_transaction_hash(COINS.get(invoice.pay_currency or ""), random)


#: What can happen to an invoice, by name: in a marker, at the control address, or in its plan.
STEPS: dict[str, Callable[[Invoice, Random], None]] = {
    "pay": pay,
    "confirm": confirm,
    "underpay": underpay,
    "overpay": overpay,
    "expire": expire,
    "lapse": lapse,
}
