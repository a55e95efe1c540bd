"""The envelope: one form for webhook, stream and command line. CloudEvents 1.0 and Standard Webhooks at once."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from json.encoder import encode_basestring as quoted
from typing import Protocol

import uuid_utils

from domain.exact_json import number, raw, write_json
from domain.money import format_amount
from domain.network import network_id, payment_uri
from domain.status import SILENT, Status
from domain.visible import escape

_ORDER = ("id", "account", "provider", "provider_account", "order_id", "idempotency_key")
_TIMES = ("expires_at", "created_at", "updated_at")


RESTORED = "system.restored"
#: An order that came by message and was refused; for endpoints that name it.
ORDER_REJECTED = "order.rejected"
#: What every endpoint gets, whatever its filter says.
FOR_ALL = frozenset({RESTORED})
#: What an endpoint without a filter gets: every change of an invoice.
INVOICE_EVENTS = "invoice."
#: Their types. ``invoice.contradiction`` tells of evidence against a closed one.
INVOICE_TYPES = frozenset(
    {f"{INVOICE_EVENTS}{status}" for status in Status if status not in SILENT} | {f"{INVOICE_EVENTS}contradiction"}
)


class Told(Protocol):
    """What an event tells of an invoice; a row of its table has it."""

    id: str
    account: str
    provider: str
    provider_account: str
    order_id: str
    idempotency_key: str
    status: str
    anomaly: str | None
    price: Decimal | None
    currency: str | None
    pay_amount: Decimal | None
    pay_currency: str | None
    network: str | None
    address: str | None
    payment_url: str | None
    qr_code: str | None
    provider_ref: str | None
    paid_amount: Decimal | None
    lifetime_minutes: Decimal | None
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    sequence: int
    metadata_json: str  #: the order's own JSON, byte for byte
    reason: str | None


def wants(chosen: Collection[str] | None, event_type: str) -> bool:
    """Whether an endpoint that chose these types (None: it chose nothing) is sent an event of this one."""
    if event_type in FOR_ALL:
        return True
    return event_type.startswith(INVOICE_EVENTS) if chosen is None else event_type in chosen


def new_id(prefix: str) -> str:
    """``inv_``, ``evt_`` or ``ep_`` and a UUID of version 7 in hex: unique, and sorts by time of making."""
    return f"{prefix}_{uuid_utils.uuid7().hex}"


def format_time(time: datetime) -> str:
    """RFC 3339, UTC, milliseconds (cut, not rounded: a time must not be told before it is)."""
    return _utc_text(time.astimezone(UTC))


@functools.lru_cache(256)  # a batch shares the times of its changes, and of what is due at one instant
def _utc_text(time: datetime) -> str:
    return f"{time.isoformat(timespec='milliseconds')[: -len('+00:00')]}Z"


def invoice_fields(invoice: Told) -> dict[str, object]:
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


def envelope(
    invoice: Told,
    *,
    event_id: str,
    event_type: str,
    previous_status: str,
    time: datetime,
    more: Mapping[str, str] | None = None,
) -> bytes:
    """The event's bytes: written once into the outbox, and those very bytes are signed and sent.

    Written out as text, ``write_json`` takes three times as long: thousands of invoices may expire at one instant. Its
    ``data`` is what ``invoice_fields`` says, ``previous_status`` and ``more``; a test holds them together.
    """
    moment = format_time(time)
    added = "".join(f",{quoted(name)}:{quoted(value)}" for name, value in (more or {}).items())
    body = (
        f'{{"specversion":"1.0","id":{quoted(event_id)},"source":{quoted(f"/invoices/{invoice.account}")}'
        f',"type":{quoted(event_type)},"subject":{quoted(invoice.id)},"time":"{moment}","timestamp":"{moment}"'
        f',"sequence":"{invoice.sequence:012d}","datacontenttype":"application/json"'
        f',"data":{{{_order(invoice)},{_payment(invoice)},{_course(invoice)}'
        f',"previous_status":{quoted(previous_status)}{added}}}}}'
    )
    return escape(body).encode()


def notice(
    event_id: str, event_type: str, time: datetime, data: Mapping[str, object], *, subject: str | None = None
) -> bytes:
    """The bytes of an event that is no invoice's: no ``sequence``, so that it is handled once by its ``id``."""
    moment = format_time(time)
    about = {} if subject is None else {"subject": subject}
    head = {"specversion": "1.0", "id": event_id, "source": "/invoices", "type": event_type, **about}
    times = {"time": moment, "timestamp": moment, "datacontenttype": "application/json"}
    return escape(write_json({**head, **times, "data": dict(data)})).encode()


def _order(invoice: Told) -> str:
    return (
        f'"id":{quoted(invoice.id)},"account":{quoted(invoice.account)},"provider":{quoted(invoice.provider)}'
        f',"provider_account":{quoted(invoice.provider_account)},"order_id":{quoted(invoice.order_id)}'
        f',"idempotency_key":{quoted(invoice.idempotency_key)},"status":{quoted(invoice.status)}'
        f',"anomaly":{_quoted(invoice.anomaly)},"price":{_amount(invoice.price)},"currency":{_quoted(invoice.currency)}'
    )


def _payment(invoice: Told) -> str:
    network, currency, address, amount = invoice.network, invoice.pay_currency, invoice.address, invoice.pay_amount
    return (
        f'"pay_amount":{_amount(amount)},"pay_currency":{_quoted(currency)},"network":{_quoted(network)}'
        f',"network_id":{_quoted(network_id(network))},"address":{_quoted(address)}'
        f',"payment_uri":{_quoted(payment_uri(network, currency, address, amount))}'
        f',"payment_url":{_quoted(invoice.payment_url)},"qr_code":{_quoted(invoice.qr_code)}'
        f',"provider_ref":{_quoted(invoice.provider_ref)},"paid_amount":{_amount(invoice.paid_amount)}'
    )


def _course(invoice: Told) -> str:
    minutes = "null" if invoice.lifetime_minutes is None else format_amount(invoice.lifetime_minutes)
    return (
        f'"lifetime_minutes":{minutes},"expires_at":{_quoted(_time(invoice.expires_at))}'
        f',"created_at":{_quoted(_time(invoice.created_at))},"updated_at":{_quoted(_time(invoice.updated_at))}'
        f',"sequence":{invoice.sequence},"metadata":{invoice.metadata_json},"reason":{_quoted(invoice.reason)}'
    )


def _quoted(text: str | None) -> str:
    return "null" if text is None else quoted(text)


def _amount(amount: Decimal | None) -> str:
    return "null" if amount is None else f'"{format_amount(amount)}"'


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else format_amount(amount)


def _time(time: datetime | None) -> str | None:
    return None if time is None else format_time(time)
