"""Sightings: what look-ups, callbacks and marks tell of payments. And a payment's row.

The key of a payment, and of its row, is its transaction; without one what its provider is asked by (a tracking code);
without that its invoice. ``domain/ledger.py`` puts sightings together.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol

from domain.callbacks import CLAIMS, Asked, mismatch
from domain.decision import Decision
from domain.event import format_time
from domain.evidence import CalledBack, Evidence, Marked, Seen
from domain.money import format_amount
from domain.status import Anomaly, Status

#: A correction changes the amount of a payment or a refund that is in the books already.
Kind = Literal["payment", "refund", "correction"]
Source = Literal["look-up", "callback", "mark"]

#: The kinds of ``domain.callbacks.mismatch`` with which an answer is not about this invoice.
NOT_OURS = frozenset({"reference", "order", "price", "currency"})
MAX_KEY = 140  #: characters; a key keeps the hash of a longer text
_HEX = re.compile(r"(0x)?[0-9a-f]+", re.IGNORECASE)


class Payable(Asked, Protocol):
    """The fields of an invoice that its payments are compared with."""

    called_status: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One source's word about one payment."""

    source: Source
    status: Status  #: how far the payment has come, as this source says
    at: datetime
    total: Decimal | None = None  #: paid so far, under this reference
    asset: str | None = None
    tx_hash: str | None = None
    network: str | None = None
    reference: str | None = None

    @property
    def kind(self) -> Kind:
        return "refund" if self.status is Status.REFUNDED else "payment"

    @property
    def key(self) -> str:
        """Identifies the payment within its invoice."""
        if self.tx_hash is not None:
            return transaction_key(self.tx_hash)
        return _short("mark:", "") if self.source == "mark" else reference_key(self.reference)


@dataclass(slots=True, kw_only=True)
class Payment:
    """A payment's row. ``amount``, ``amount_told`` and ``folded`` are computed from all rows of the invoice."""

    id: int | None = None
    kind: Kind
    key: str
    source: Source
    status: Status
    total: Decimal | None = None
    asset: str | None = None
    tx_hash: str | None = None
    network: str | None = None
    reference: str | None = None
    first_seen_at: datetime
    last_seen_at: datetime
    amount: Decimal | None = None
    amount_told: int = 0  #: 0: nobody told an amount; ``amount`` is what was asked for
    folded: int = 0  #: 1: other rows tell of the same payment more exactly
    settled_status: str | None = None  #: what the invoice became by this payment
    settled_sequence: int | None = None  #: of the event that told that
    settled_event: str | None = None
    settled_by: str | None = None
    settled_at: datetime | None = None
    # The line of the books: see ``domain/booking.py``. Once written it never changes.
    booked_at: datetime | None = None
    booked: Decimal | None = None
    booked_told: int = 0

    @property
    def is_provider_word(self) -> bool:
        return self.source != "mark"


def transaction_key(transaction: str) -> str:
    """The key of a transaction. For hexadecimal ones neither case nor ``0x`` makes a difference."""
    text = transaction.strip()
    return _short("tx:", text.lower().removeprefix("0x") if _HEX.fullmatch(text) else text)


def reference_key(reference: str | None) -> str:
    """The key of a payment without a transaction."""
    return _short("ref:", reference or "")


def _short(prefix: str, text: str) -> str:
    return prefix + (text if len(text) <= MAX_KEY else f"#{hashlib.sha256(text.encode()).hexdigest()}")


def may_tell_of_payments(invoice: Payable, evidence: Evidence) -> bool:
    """Whether the invoice's payments are needed to judge this. Cheap: it is asked for every piece of evidence."""
    if isinstance(evidence, Marked):
        return evidence.status in {Status.PAID, Status.REFUNDED}
    if isinstance(evidence, (Seen, CalledBack)) and _word(evidence) is not None:
        return True
    called = invoice.called_status  # any evidence may be the one by which a callback comes to decide alone
    return (called is not None and Status(called) in CLAIMS) or (isinstance(evidence, Seen) and bool(evidence.others))


def sightings(invoice: Payable, evidence: Evidence, decision: Decision, now: datetime) -> list[Sighting]:
    """The payments that judged evidence tells of; none if it is not about this invoice."""
    at = min(evidence.asked_at or now, now)
    match evidence:
        case Seen():
            ours = [one for one in (evidence, *evidence.others) if _is_ours(invoice, one)]
            return [_sighted(one, word, at) for one in ours if (word := _word(one)) is not None]
        case CalledBack(only=True) if (word := _word(evidence)) is not None:
            return [_sighted(evidence, word, at)]
        case Marked() if decision.verdict == "applied" and evidence.status in {Status.PAID, Status.REFUNDED}:
            return [Sighting(source="mark", status=evidence.status, at=at, total=evidence.paid_amount)]
    return []


def _is_ours(invoice: Payable, seen: Seen) -> bool:
    why = mismatch(invoice, seen)
    return why is None or why.partition(":")[0] not in NOT_OURS


def _sighted(evidence: Seen | CalledBack, word: Status, at: datetime) -> Sighting:
    return Sighting(
        source="look-up" if isinstance(evidence, Seen) else "callback",
        status=word,
        at=at,
        total=None if word is Status.REFUNDED else evidence.paid_amount,
        asset=evidence.pay_currency,
        network=evidence.network,
        tx_hash=evidence.tx_hash,
        reference=evidence.reference,
    )


def _word(evidence: Seen | CalledBack) -> Status | None:
    """How far a payment has come, as evidence says; None: it tells of no payment."""
    status, paid = evidence.status, evidence.paid_amount
    if status in {Status.PAID, Status.REFUNDED}:
        return status
    if status in CLAIMS:
        return None if paid == 0 else status
    if not isinstance(evidence, Seen) or status not in {Status.PENDING, Status.EXPIRED}:
        return None
    return Status.PARTIALLY_PAID if (paid or 0) > 0 or evidence.anomaly is Anomaly.UNDERPAID else None


def payment_fields(payment: Payment, asset: str | None, network: str | None) -> dict[str, object]:
    """A payment as it is printed. ``asset`` and ``network``: the invoice's, where no source has told them."""
    return {
        "id": payment.id,
        "kind": payment.kind,
        "amount": None if payment.amount is None else format_amount(payment.amount),
        "amount_told": bool(payment.amount_told),
        "asset": payment.asset or asset,
        "network": payment.network or network,
        "transaction": payment.tx_hash,
        "reference": payment.reference,
        "source": payment.source,
        "status": str(payment.status),
        "first_seen_at": format_time(payment.first_seen_at),
        "last_seen_at": format_time(payment.last_seen_at),
        "settled_status": payment.settled_status,
        "settled_event": payment.settled_event,
        "settled_sequence": payment.settled_sequence,
        "settled_by": payment.settled_by,
        "settled_at": None if payment.settled_at is None else format_time(payment.settled_at),
    }
