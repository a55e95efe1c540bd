"""What is to be paid, what has come, and a code for the payer's wallet: only while a payment would still count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from urllib.parse import urlsplit

import segno
from markupsafe import Markup

from domain.callbacks import CLAIMS
from domain.decision import Policy
from domain.payments import Payment
from domain.status import FINAL, Status
from workers.store.reads.record import Record
from workers.store.rows import StoredRow
from workers.web.console.payment_uri import payload
from workers.web.console.pieces import Pieces, time, words

#: Of an invoice's payments, in a panel.
MOST_PAYMENTS = 50
_OPEN = frozenset({Status.PENDING, Status.PARTIALLY_PAID})


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A QR code, and what a wallet reads from it."""

    svg: Markup
    text: str
    has_amount: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentPanel:
    """``heading``: what ``amount`` is. ``page``: the provider's, where it is one that a browser may open."""

    heading: str
    amount: Decimal | None
    unit: str
    asked: Decimal | None
    received: Decimal | None
    percent: int | None
    address: str | None
    network: str | None
    page: str | None
    odd_page: str | None  #: what the provider gave for one, and is none
    code: Code | None
    note: Pieces
    payments: Sequence[Payment]
    more_payments: int


def panel_of(record: Record, policy: Policy) -> PaymentPanel:
    """Of an invoice as it stands."""
    invoice = record.invoice
    heading, amount = _heading(invoice)
    page = invoice.payment_url if _is_page(invoice.payment_url) else None
    return PaymentPanel(
        heading=heading,
        amount=amount,
        unit=invoice.pay_currency or "",
        asked=invoice.pay_amount,
        received=invoice.paid_amount,
        percent=_percent(invoice.paid_amount, invoice.pay_amount),
        address=invoice.address,
        network=invoice.network,
        page=page,
        odd_page=None if page else invoice.payment_url,
        code=code_of(invoice) if may_be_paid(invoice, record.now) else None,
        note=_note(invoice, record.now, policy),
        payments=record.payments[-MOST_PAYMENTS:],
        more_payments=max(0, len(record.payments) - MOST_PAYMENTS),
    )


def may_be_paid(invoice: StoredRow, now: datetime) -> bool:
    """Whether a payment is still to be made: its time is not over, or a late one counts, and none was seen that only
    waits to be confirmed (it would be paid twice)."""
    claimed = invoice.called_status and Status(invoice.called_status) in CLAIMS
    if claimed or not invoice.address:
        return False
    if invoice.status in _OPEN:
        return invoice.expires_at is None or now < invoice.expires_at
    return _counts_late(invoice, now) and invoice.anomaly != "late"


def missing_of(invoice: StoredRow) -> Decimal | None:
    """What has still to come; None where nobody can say."""
    asked: Decimal | None = invoice.pay_amount
    paid: Decimal | None = invoice.paid_amount
    if asked is None or paid is None:
        is_partly = invoice.status == Status.PARTIALLY_PAID or invoice.anomaly is not None
        return None if is_partly else asked
    return max(asked - paid, Decimal(0))


def code_of(invoice: StoredRow) -> Code | None:
    """For what is missing. None where nothing is."""
    missing = missing_of(invoice)
    if missing is not None and missing <= 0:
        return None
    said = payload(invoice.network, invoice.pay_currency, invoice.address, missing)
    try:
        drawn = segno.make_qr(said.text, error="m")
    except ValueError:  # more than a code can hold
        return None
    svg = drawn.svg_inline(omitsize=True, border=4, svgclass="qr", lineclass=None, dark="#000", light="#fff")
    return Code(svg=Markup(svg), text=said.text, has_amount=said.has_amount)  # noqa: S704 - shapes only, no text


def _heading(invoice: StoredRow) -> tuple[str, Decimal | None]:
    asked, paid = invoice.pay_amount, invoice.paid_amount
    if asked is None:
        return "Nothing to pay yet", None
    if invoice.status in _OPEN or (invoice.status == Status.EXPIRED and paid):
        return ("Still missing", missing_of(invoice)) if paid or invoice.status != Status.PENDING else ("To pay", asked)
    if paid is None:
        return "Asked for", asked
    if paid == asked:
        return "Received in full", paid
    return ("More than asked for", paid) if paid > asked else ("Received", paid)


def _percent(paid: Decimal | None, asked: Decimal | None) -> int | None:
    if paid is None or not asked:
        return None
    return int(min(paid / asked, Decimal(1)) * 100)


def _note(invoice: StoredRow, now: datetime, policy: Policy) -> Pieces:
    if _counts_late(invoice, now):
        text = (
            "A payment that comes now is held: it counts once somebody marks it. Watched until"
            if policy.late_payment == "hold"
            else "A payment that comes now counts, with the anomaly late. Watched until"
        )
        return [words(text), time(invoice.monitor_until)]
    if invoice.status in FINAL | {Status.EXPIRED}:
        return [words("Nothing is to be paid any more, so there is no code")]
    if invoice.status == Status.CONFIRMING or invoice.called_status:
        return [words("A payment was seen and waits to be confirmed: nothing more is to be paid")]
    if invoice.status in _OPEN and not may_be_paid(invoice, now) and invoice.address:
        return [words("The time to pay has ended")]
    return []


def _counts_late(invoice: StoredRow, now: datetime) -> bool:
    until = invoice.monitor_until
    return invoice.status == Status.EXPIRED and until is not None and now < until


def _is_page(url: str | None) -> bool:
    try:
        parts = urlsplit(url or "")
        return parts.scheme.lower() in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False
