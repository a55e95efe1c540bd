"""Reads the answer to a create."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

import structlog

from domain.drift import Told
from domain.echo import echoes
from domain.evidence import CreateAnswer, Created
from workers.providers.answer import Answer, doubt, read_message
from workers.providers.fields import (
    MAX_ADDRESS,
    MAX_REF,
    MAX_URL,
    MAX_WORD,
    read_amount,
    read_currency,
    read_epoch,
    read_single,
    read_text,
)
from workers.providers.refusal import refuse_order
from workers.providers.zeroxhost.refusals import denies

MAX_LIFETIME_MINUTES = Decimal(525_600)
#: If ``expired_at`` and ``lifetime`` differ by more, the log says so.
TOLERANCE = timedelta(minutes=1)

_log = structlog.get_logger(__name__)


def read_made(answer: Answer, invoice_id: str, sent: str | None) -> CreateAnswer:
    """Read a 2xx. Only ``success: false`` (or PHP's 0) is a refusal; an invoice has a track id, address, coin and
    amount.

    ``sent``: the order id that the request named. None: it named none, and one in the answer is 0xhost's own.
    """
    payload = answer.json()
    if not isinstance(payload, dict):
        return doubt(answer, "the answer is no JSON object")
    told = Told("create", payload)
    transaction = payload.get("transaction")
    if denies(payload.get("success")) or (isinstance(transaction, dict) and denies(transaction.get("success"))):
        return refuse_order(answer, payload)
    data = read_single(payload.get("data"))
    if data is None:
        return doubt(answer, "the answer holds no invoice", read_message(payload), told=told)
    unusable = name_unusable(data)
    if unusable:
        return doubt(answer, f"the answer's invoice has no usable {unusable}", told=told)
    return build_created(answer, data, invoice_id, sent, told)


def name_unusable(data: Mapping[str, object]) -> str:
    """The names of the required fields that this invoice lacks, or has in a form that can't be used."""
    needed = {
        "track_id": read_text(data.get("track_id"), MAX_REF),
        "address": read_text(data.get("address"), MAX_ADDRESS),
        "pay_amount": read_amount(data.get("pay_amount")),
        "pay_currency": read_currency(data.get("pay_currency"), MAX_WORD),
    }
    return ", ".join(name for name, value in needed.items() if value is None)


def build_created(answer: Answer, data: Mapping[str, object], invoice_id: str, sent: str | None, told: Told) -> Created:
    """Build the evidence from usable ``data``: an answer's, or a row of the list."""
    order_id = read_text(data.get("order_id"), MAX_REF)
    expires_at, lifetime_minutes = _read_expiry(data, answer.asked_at, invoice_id)
    return Created(
        raw=answer.raw(),
        told=told,
        provider_ref=read_text(data.get("track_id"), MAX_REF) or "",
        price=read_amount(data.get("amount")),
        currency=read_currency(data.get("currency")),
        pay_amount=read_amount(data.get("pay_amount")),
        pay_currency=read_currency(data.get("pay_currency"), MAX_WORD),
        network=read_text(data.get("network"), MAX_WORD),
        address=read_text(data.get("address"), MAX_ADDRESS),
        qr_code=read_text(data.get("qr_code"), MAX_URL),
        lifetime_minutes=lifetime_minutes,
        expires_at=expires_at,
        made_at=read_epoch(data.get("date")),
        order_id=None if sent is None or echoes(sent, order_id) else order_id,
    )


def _read_expiry(
    data: Mapping[str, object], asked_at: datetime, invoice_id: str
) -> tuple[datetime | None, Decimal | None]:
    """(expires_at, lifetime in minutes). ``expired_at`` counts; without it ``lifetime``, from ``date`` on.

    If that can't be had either, expires_at is None, and the account's policy gives the expiry: an invoice that was made
    must not be lost for that.
    """
    expired_at, made_at = read_epoch(data.get("expired_at")), read_epoch(data.get("date"))
    minutes = read_amount(data.get("lifetime"))
    lifetime = minutes if minutes is not None and minutes <= MAX_LIFETIME_MINUTES else None
    span = None if lifetime is None else timedelta(seconds=float(lifetime * 60))
    if expired_at is None:
        _log.warning("provider.expiry_unreadable", provider="zeroxhost", invoice_id=invoice_id)
        expired_at = None if span is None or made_at is None else made_at + span
    elif span is not None and abs(expired_at - (made_at or asked_at) - span) > TOLERANCE:
        _log.warning(
            "provider.expiry_disagrees",
            provider="zeroxhost",
            invoice_id=invoice_id,
            expired_at=expired_at.isoformat(),
            lifetime_minutes=str(lifetime),
        )
    return expired_at, lifetime or _minutes_between(made_at, expired_at)


def _minutes_between(made_at: datetime | None, expired_at: datetime | None) -> Decimal | None:
    """The lifetime that the two times tell: the account's own, shown in its place, would be wrong for this invoice."""
    if made_at is None or expired_at is None:
        return None
    seconds = int((expired_at - made_at).total_seconds())
    minutes = Decimal(seconds // 60) if seconds % 60 == 0 else round(Decimal(seconds) / 60, 3)
    return minutes if 0 < minutes <= MAX_LIFETIME_MINUTES else None
