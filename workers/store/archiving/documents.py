"""An invoice with everything that belongs to it, as one line of JSON: columns by their names, as they are stored."""

from __future__ import annotations

import base64
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, Table, and_, exists, or_, select

from domain.decision import Stage
from domain.status import FINAL, Status
from workers.store.moving.reading import as_stored
from workers.store.queries import earliest_id
from workers.store.reads.contradictions import AGAINST, settled
from workers.store.rows import Query
from workers.store.tables import (
    ACT,
    AGENDA,
    ATTEMPT,
    CALLBACK,
    DELIVERY,
    DRIFT_INVOICE,
    ENDPOINT,
    EVENT,
    EVIDENCE,
    INVOICE,
    PAYMENT,
    POSITION,
)

#: After these only a refund or a late payment may come. An invoice that is still watched for one is on the agenda.
ENDED = sorted(status.value for status in FINAL | {Status.EXPIRED})
_STAGES = [stage.value for stage in Stage]

_WRITER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_ID = re.compile(rb'\{"invoice":\{"id":"([^"\\]+)"')

Row = dict[str, object]
Grouped = dict[object, list[Row]]  #: by invoice


@dataclass(frozen=True, slots=True)
class Document:
    """An invoice's line. ``waits``: some of it does, so it is not archived yet."""

    line: bytes
    waits: bool
    events: Sequence[int]  #: their numbers
    callbacks: Sequence[int]
    deliveries: Sequence[int]


def ended(after: str, before: datetime, until: str) -> Query:
    """Ids of invoices in their order, from ``after`` on and below ``until``: those that last changed before ``before``,
    that nothing is planned for, and that have no open contradiction."""
    within = INVOICE.c.id >= after, INVOICE.c.id < until, INVOICE.c.updated_at < before
    return select(INVOICE.c.id).where(*within, is_ended()).order_by(INVOICE.c.id)


def is_ended() -> ColumnElement[bool]:
    """The condition that nothing is planned for it, and nobody has to decide."""
    planned = exists().where(AGENDA.c.stage.in_(_STAGES), AGENDA.c.subject == INVOICE.c.id)
    against = exists().where(EVIDENCE.c.invoice_id == INVOICE.c.id, EVIDENCE.c.verdict == AGAINST, ~settled())
    return and_(INVOICE.c.status.in_(ENDED), ~planned, ~against)


def day_of(invoice_id: str) -> datetime:
    """The day in UTC that it was taken on, by its id."""
    made = datetime.fromtimestamp(int(invoice_id[4:16], 16) / 1000, UTC)
    return made.replace(hour=0, minute=0, second=0, microsecond=0)


def first_id(day: datetime) -> str:
    """Below every id of that day, and above those of the days before."""
    return earliest_id(day)


def id_of(line: bytes) -> str:
    """Whose line it is, without reading all of it: the id is its first value. Empty for a line that is none of ours."""
    found = _ID.match(line)
    return found[1].decode() if found else ""


def read_documents(connection: Connection, ids: Sequence[str]) -> dict[str, Document]:
    """Those that are there, by their ids."""
    found = {str(row["id"]): row for row in _rows(connection, INVOICE, INVOICE.c.id.in_(ids))}
    parts = {
        name: _by(_rows(connection, table, table.c.invoice_id.in_(list(found))), "invoice_id")
        for name, table in (("evidence", EVIDENCE), ("events", EVENT), ("payments", PAYMENT), ("acts", ACT))
    }
    parts["drift"] = _by(_rows(connection, DRIFT_INVOICE, DRIFT_INVOICE.c.invoice_id.in_(list(found))), "invoice_id")
    parts["callbacks"] = _by(_callbacks(connection, found), "invoice_id")
    _add_deliveries(connection, parts)
    return {one: _document(row, {name: rows[one] for name, rows in parts.items()}) for one, row in found.items()}


def _document(invoice: Row, parts: Mapping[str, list[Row]]) -> Document:
    # Not `write_json`: there are no decimals, amounts are text, and it takes several times as long.
    line = _WRITER.encode({"invoice": invoice, **parts}).encode() + b"\n"
    waits = any(event["published_at"] is None for event in parts["events"])
    waits = waits or any(one["state"] == "due" for one in parts["deliveries"])
    return Document(
        line,
        waits,
        _numbers(parts["events"], "number"),
        _numbers(parts["callbacks"], "id"),
        _numbers(parts["deliveries"], "id"),
    )


def _add_deliveries(connection: Connection, parts: dict[str, Grouped]) -> None:
    """With their attempts; and each event's position."""
    events = {event["number"]: event for rows in parts["events"].values() for event in rows}
    for place in _rows(connection, POSITION, POSITION.c.event_number.in_(list(events))):
        events[place["event_number"]]["position"] = place["position"]
    # By way of the endpoints, which are few: the deliveries' unique index begins with them.
    ours = DELIVERY.c.endpoint_id.in_(select(ENDPOINT.c.id)), DELIVERY.c.event_number.in_(list(events))
    deliveries = _rows(connection, DELIVERY, *ours)
    attempts = _by(
        _rows(connection, ATTEMPT, ATTEMPT.c.delivery_id.in_([one["id"] for one in deliveries])), "delivery_id"
    )
    for one in deliveries:
        one["attempts"] = attempts[one["id"]]
    parts["deliveries"] = _by(deliveries, "invoice_id")


def _callbacks(connection: Connection, invoices: Mapping[str, Row]) -> list[Row]:
    """Found by their order or reference, by index. One that was linked by hand may have neither: its row stays, what it
    said is among the evidence."""
    accounts, orders, references = (
        sorted({str(row[name]) for row in invoices.values() if row[name] is not None})
        for name in ("provider_account", "order_id", "provider_ref")
    )
    about = or_(CALLBACK.c.order_id.in_(orders), CALLBACK.c.reference.in_(references))
    mine = CALLBACK.c.account.in_(accounts), about, CALLBACK.c.invoice_id.in_(list(invoices))
    return _rows(connection, CALLBACK, *mine)


def _rows(connection: Connection, table: Table, *conditions: ColumnElement[bool]) -> list[Row]:
    query = select(*(as_stored(column).label(column.name) for column in table.columns)).where(*conditions)
    names = table.columns.keys()
    return [
        {name: _plain(value) for name, value in zip(names, row, strict=True)}
        for row in connection.execute(query.order_by(*table.primary_key.columns))
    ]


def _by(rows: Sequence[Row], name: str) -> Grouped:
    found: Grouped = defaultdict(list)
    for row in rows:
        found[row[name]].append(row)
    return found


def _numbers(rows: Sequence[Row], name: str) -> list[int]:
    return [number for row in rows if isinstance(number := row[name], int)]


def _plain(value: object) -> object:
    """Times in RFC 3339 with microseconds; bytes as the text they are, or in base64."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, bytes):
        return _text(value)
    return value


def _text(content: bytes) -> object:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}
