"""The envelope: one form for webhook, stream and command line. CloudEvents 1.0 and Standard Webhooks at once."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import uuid_utils

from domain.exact_json import number, raw, write_flat
from domain.money import format_amount
from domain.network import network_id, payment_uri

_ORDER = ("id", "account", "provider", "provider_account", "order_id", "idempotency_key")
_TIMES = ("expires_at", "created_at", "updated_at")


def new_id(prefix: str) -> str:
    """``inv_``, ``evt_`` or ``ep_`` and a UUID of version 7 in hex: unique, and sorts by time of making."""
    return f"{prefix}_{uuid_utils.uuid7().hex}"


def format_time(time: datetime) -> str:
    """RFC 3339, UTC, milliseconds (cut, not rounded: a time must not be told before it is)."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"


def invoice_fields(invoice: Any) -> dict[str, Any]:
    """An invoice as ``invoices show --json`` prints it and as every event carries it.

    Amounts are strings with every digit, times RFC 3339 UTC with milliseconds, ``lifetime_minutes`` a number,
    ``metadata`` the order's own JSON, byte for byte as it was stored. Serialise with ``exact_json.write_json``.
    """
    return {
        **{name: getattr(invoice, name) for name in _ORDER},
        "status": str(invoice.status),
        "anomaly": invoice.anomaly,
        "price": _text(invoice.price),
        "currency": invoice.currency,
        "pay_amount": _text(invoice.pay_amount),
        "pay_currency": invoice.pay_currency,
        "network": invoice.network,
        "network_id": network_id(invoice.network),
        "address": invoice.address,
        "payment_uri": payment_uri(invoice.network, invoice.pay_currency, invoice.address, invoice.pay_amount),
        "payment_url": invoice.payment_url,
        "qr_code": invoice.qr_code,
        "provider_ref": invoice.provider_ref,
        "paid_amount": _text(invoice.paid_amount),
        "lifetime_minutes": None if invoice.lifetime_minutes is None else number(invoice.lifetime_minutes),
        **{name: _time(getattr(invoice, name)) for name in _TIMES},
        "sequence": invoice.sequence,
        "metadata": raw(invoice.metadata_json),
        "reason": invoice.reason,
    }


def envelope(invoice: Any, *, event_id: str, event_type: str, previous_status: str, time: datetime) -> bytes:
    """The event's bytes: written once into the outbox, and those very bytes are signed and sent."""
    moment = format_time(time)
    document = {
        "specversion": "1.0",
        "id": event_id,
        "source": f"/invoices/{invoice.account}",
        "type": event_type,
        "subject": invoice.id,
        "time": moment,
        "timestamp": moment,
        "sequence": f"{invoice.sequence:012d}",
        "datacontenttype": "application/json",
        "data": raw(write_flat({**invoice_fields(invoice), "previous_status": previous_status})),
    }
    return write_flat(document).encode()


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else format_amount(amount)


def _time(time: datetime | None) -> str | None:
    return None if time is None else format_time(time)
