"""The event's envelope, one form for webhook, stream and command line: CloudEvents 1.0 and Standard Webhooks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from json.encoder import encode_basestring as quoted
from operator import attrgetter
from typing import Any, Protocol
from urllib.parse import quote

import uuid_utils

from domain.exact_json import number, raw, write_json
from domain.money import format_amount
from domain.network import network_id, payment_uri
from domain.status import SILENT, Anomaly, Status
from domain.trace import trace_headers
from domain.visible import escape

RESTORED = "system.restored"
#: An order that came by message was refused.
ORDER_REJECTED = "order.rejected"
#: A provider's answers have something that they never had.
PROVIDER_DRIFT = "provider.drift"
#: Sent by hand to see whether a receiver answers; it is not in the event log.
TEST_TYPE = "invoices.test"
#: Every endpoint gets these, whatever it has chosen.
FOR_ALL = frozenset({RESTORED})
#: Only endpoints that name these get them.
NAMED_ONLY = frozenset({ORDER_REJECTED, PROVIDER_DRIFT})
#: How the types begin that an endpoint gets if it has chosen none: every change of an invoice.
INVOICE_EVENTS = "invoice."
#: Those types. ``invoice.contradiction`` tells of evidence that contradicts an invoice.
INVOICE_TYPES = frozenset(
    {f"{INVOICE_EVENTS}{status}" for status in Status if status not in SILENT} | {f"{INVOICE_EVENTS}contradiction"}
)


class Told(Protocol):
    """The fields of an invoice that an event tells. A row of its table has them."""

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
    trace: str | None  #: ``domain/trace.py``; told as an attribute of the event, not as a field of the invoice


def wants(chosen: Collection[str] | None, event_type: str) -> bool:
    """Whether an endpoint that has chosen these types (None: it has chosen none) is sent an event of ``event_type``."""
    if event_type in FOR_ALL:
        return True
    return event_type.startswith(INVOICE_EVENTS) if chosen is None else event_type in chosen


def new_id(prefix: str) -> str:
    """A prefix such as ``inv``, ``_`` and a UUID of version 7 in hex: unique, and sorted by the time of making."""
    return f"{prefix}_{uuid_utils.uuid7().hex}"


def format_time(time: datetime) -> str:
    """RFC 3339, UTC, milliseconds (cut, not rounded: a rounded time could lie in the future)."""
    return _utc_text(time.astimezone(UTC))


@functools.lru_cache(256)  # the events of a batch share their times
def _utc_text(time: datetime) -> str:
    return f"{time.isoformat(timespec='milliseconds')[: -len('+00:00')]}Z"


@dataclass(frozen=True, slots=True)
class Kind:
    """How a kind of value is told: as a value for ``write_json``, as JSON text, and in JSON Schema."""

    value: Callable[[Any], object]
    text: Callable[[Any], str]
    schema: Mapping[str, object]


def _amount_text(amount: Decimal) -> str:
    return f'"{format_amount(amount)}"'


def _time_text(time: datetime) -> str:
    return f'"{_utc_text(time.astimezone(UTC))}"'


TEXT = Kind(str, quoted, {"type": "string"})
AMOUNT = Kind(format_amount, _amount_text, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"})
TIME = Kind(format_time, _time_text, {"type": "string", "format": "date-time"})
NUMBER = Kind(number, format_amount, {"type": "number"})
WHOLE = Kind(int, int.__repr__, {"type": "integer", "minimum": 0})
OBJECT = Kind(raw, str, {"type": "object"})


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an invoice. ``of`` gives its value; if it ``may_be_null``, None is told as null."""

    name: str
    kind: Kind
    about: str
    may_be_null: bool
    of: Callable[[Any], Any]
    choices: Sequence[str] = ()


def _always(name: str, kind: Kind, about: str, *, stored: str = "", choices: Sequence[str] = ()) -> Field:
    return Field(name, kind, about, False, attrgetter(stored or name), choices)


def _maybe(
    name: str, kind: Kind, about: str, *, of: Callable[[Any], Any] | None = None, choices: Sequence[str] = ()
) -> Field:
    return Field(name, kind, about, True, of or attrgetter(name), choices)


def _network_id(invoice: Told) -> str | None:
    return network_id(invoice.network)


def _payment_uri(invoice: Told) -> str | None:
    return payment_uri(invoice.network, invoice.pay_currency, invoice.address, invoice.pay_amount)


#: The fields of an invoice as it is told, everywhere.
FIELDS = (
    _always("id", TEXT, "ours"),
    _always("account", TEXT, "the account that the order named"),
    _always("provider", TEXT, "of the account that makes it: the order's own, or a fallback's"),
    _always("provider_account", TEXT, "the account that makes it: the order's own, or a fallback"),
    _always("order_id", TEXT, "the order service's own id"),
    _always("idempotency_key", TEXT, "unique per account"),
    _always("status", TEXT, "where it stands", choices=tuple(Status)),
    _maybe("anomaly", TEXT, "what was unusual about the payment", choices=tuple(Anomaly)),
    _maybe("price", AMOUNT, "what the order costs, with every digit as it was sent"),
    _maybe("currency", TEXT, "the price's"),
    _maybe("pay_amount", AMOUNT, "what the payer is asked for, with every digit that the provider told"),
    _maybe("pay_currency", TEXT, "the coin"),
    _maybe("network", TEXT, "the provider's word for it"),
    _maybe("network_id", TEXT, "the network's CAIP-2 id, where it is known for sure", of=_network_id),
    _maybe("address", TEXT, "where the payer sends it"),
    _maybe("payment_uri", TEXT, "a link that wallets understand (BIP-321, ERC-681)", of=_payment_uri),
    _maybe("payment_url", TEXT, "the provider's page"),
    _maybe("qr_code", TEXT, "as the provider told it"),
    _maybe("provider_ref", TEXT, "the provider's own id"),
    _maybe("paid_amount", AMOUNT, "what has arrived, as far as the provider tells"),
    _maybe("lifetime_minutes", NUMBER, "how long the payer has"),
    _maybe("expires_at", TIME, "when its time runs out"),
    _always("created_at", TIME, "when the order was taken"),
    _always("updated_at", TIME, "when it last changed"),
    _always("sequence", WHOLE, "of its newest event; 0: there is none yet"),
    _always("metadata", OBJECT, "the order's own, byte for byte", stored="metadata_json"),
    _maybe("reason", TEXT, "why it failed, was cancelled or marked"),
)
_TEMPLATE = ",".join(f'"{field.name}":%s' for field in FIELDS)
_WRITERS = tuple((field.of, field.kind.text) for field in FIELDS)


def invoice_fields(invoice: Told) -> dict[str, object]:
    """An invoice as ``invoices show --json`` prints it and every event carries it.

    Amounts are strings with every digit, times are RFC 3339 in UTC with milliseconds, ``lifetime_minutes`` is a number,
    ``metadata`` the order's own JSON, byte for byte. Serialise it by ``exact_json.write_json``.
    """
    found = [(field.name, field.kind.value, field.of(invoice)) for field in FIELDS]
    return {name: None if value is None else tell(value) for name, tell, value in found}


def invoice_text(invoice: Told) -> str:
    """``invoice_fields`` as JSON text, in a third of the time that ``write_json`` takes."""
    return f"{{{_written(invoice)}}}"


def _written(invoice: Told) -> str:
    """The same without the braces. It has to be fast: thousands of invoices may expire at one instant."""
    return _TEMPLATE % tuple(["null" if (value := of(invoice)) is None else write(value) for of, write in _WRITERS])


def envelope(
    invoice: Told,
    *,
    event_id: str,
    event_type: str,
    previous_status: str,
    time: datetime,
    more: Mapping[str, str] | None = None,
) -> bytes:
    """The event's bytes. They are written into the outbox once, and these very bytes are signed and sent.

    ``data`` has the invoice's fields, ``previous_status`` and ``more``.
    """
    head = _head(event_id, f"/invoices/{invoice.account}", event_type, time, invoice.id, invoice.sequence)
    added = "".join(f",{quoted(name)}:{quoted(value)}" for name, value in (more or {}).items())
    body = (
        f'{{{head}{_traced(invoice.trace)},"data":{{{_written(invoice)}'
        f',"previous_status":{quoted(previous_status)}{added}}}}}'
    )
    return escape(body).encode()


def _traced(trace: str | None) -> str:
    """The extension "distributed tracing", right before ``data``: ``trace_of_event`` relies on that place."""
    return "" if trace is None else "".join(f',"{name}":{quoted(text)}' for name, text in trace_headers(trace).items())


def notice(
    event_id: str,
    event_type: str,
    time: datetime,
    data: Mapping[str, object],
    *,
    subject: str | None = None,
    account: str | None = None,
) -> bytes:
    """The bytes of an event without an invoice. It has no ``sequence``: receivers handle it once, by its ``id``."""
    source = "/invoices" if account is None else f"/invoices/{quote(account, safe='')}"
    head = _head(event_id, source, event_type, time, subject, None)
    return escape(f'{{{head},"data":{write_json(dict(data))}}}').encode()


def _head(
    event_id: str, source: str, event_type: str, time: datetime, subject: str | None, sequence: int | None
) -> str:
    """The attributes with which every event begins, as JSON text."""
    moment = format_time(time)
    about = "" if subject is None else f',"subject":{quoted(subject)}'
    numbered = "" if sequence is None else f',"sequence":"{sequence:012d}"'
    return (
        f'"specversion":"1.0","id":{quoted(event_id)},"source":{quoted(source)},"type":{quoted(event_type)}{about}'
        f',"time":"{moment}","timestamp":"{moment}"{numbered},"datacontenttype":"application/json"'
    )
