"""An invoice's timeline: order, calls and answers, callbacks, decisions, events, delivery attempts, operators' acts.

``timeline`` is pure: the command line, HTTP and the console show what it returns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal

from domain.event import format_time
from domain.exact_json import read_json
from domain.money import format_amount
from workers.store.callbacks import MATCHED, UNMATCHED
from workers.store.reads.acts import act_fields
from workers.store.reads.evidence_words import in_words
from workers.store.reads.record import Record
from workers.store.rows import StoredRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Something that happened. ``what``: a kind of evidence, a type of event, an act. ``ref``: where to look closer."""

    at: datetime
    source: str  #: order, create, look-up, search, callback, shop, operator, clock, event, webhook
    what: str
    text: str  #: one line
    outcome: str | None = None  #: the verdict on evidence, the outcome of an attempt, the state of a callback
    ref: str | None = None
    repeats: int = 0  #: how often the same came again
    last_at: datetime | None = None  #: the last of them
    raw: str | None = None  #: the source's own words, bounded


def timeline(record: Record) -> list[Entry]:
    """All of it, oldest first."""
    ranked = [
        (entry.at, rank, place, entry) for rank, part in enumerate(_PARTS) for place, entry in enumerate(part(record))
    ]
    return [entry for *_, entry in sorted(ranked, key=lambda item: item[:3])]


def entry_fields(entry: Entry) -> dict[str, object]:
    """An entry as JSON."""
    fields = asdict(entry)
    times = {name: format_time(time) for name in ("at", "last_at") if (time := fields[name]) is not None}
    return fields | times


def _order(record: Record) -> Iterator[Entry]:
    invoice = record.invoice
    price = " ".join(part for part in (_amount(invoice.price), invoice.currency) if part)
    text = f"order {invoice.order_id} for {invoice.account}" + (f", {price}" if price else "")
    yield Entry(at=invoice.created_at, source="order", what="order", text=text, ref=invoice.id)


def _callbacks(record: Record) -> Iterator[Entry]:
    for row in record.callbacks:
        amount = f", amount {_amount(row.amount)}" if row.amount is not None else ""
        reference = f", reference {row.reference}" if row.reference else ""
        why = f": {row.reason}" if row.reason else ""
        state = "" if row.state == MATCHED else f" ({row.state}{why})"
        yield Entry(
            at=row.at,
            source="callback",
            what="callback",
            text=f"came: {row.word or 'no word'}{amount}{reference}{state}",
            outcome=row.state,
            ref=f"callback {row.id}" if row.state == UNMATCHED else None,
            raw=bytes(row.body).decode("utf-8", "replace"),
        )


def _acts(record: Record) -> Iterator[Entry]:
    for row in record.acts:
        fields = act_fields(row)
        why = f": {row.reason}" if row.reason else ""
        by = f"{row.by} ({row.origin})" if record.shows_origins else row.by
        text = f"{by}: {fields['act']}{why}"
        yield Entry(at=row.at, source="operator", what=str(fields["act"]), text=text, ref=f"act {row.id}")


def _evidence(record: Record) -> Iterator[Entry]:
    for row in record.evidence:
        told = read_json(row.detail)
        told = told if isinstance(told, dict) else {"detail": told}
        account = f"{told.pop('account')}: " if "account" in told else ""
        note = f" [{row.note}]" if row.note else ""
        yield Entry(
            at=row.at,
            source=row.source or "evidence",
            what=row.kind,
            text=f"{account}{in_words(row.kind, told)}{note}",
            outcome=row.verdict,
            repeats=row.repeats or 0,
            last_at=row.last_at,
            raw=row.raw,
        )


def _events(record: Record) -> Iterator[Entry]:
    for row in record.events:
        late = None if row.published_at is None else (row.published_at - row.created_at).total_seconds()
        told = "not on the stream yet" if late is None else f"on the stream after {max(late, 0):.1f} s"
        text = f"{row.type}, sequence {row.sequence}, {told}"
        yield Entry(at=row.created_at, source="event", what=row.type, text=text, ref=row.id)


def _tries(record: Record) -> Iterator[Entry]:
    for delivery, tries in record.deliveries:
        for number, row in enumerate(tries, start=1):
            yield Entry(
                at=row.at,
                source="webhook",
                what=delivery.type,
                text=f"{delivery.type} to {delivery.endpoint_id}: {_answer(row)}, try {number}",
                outcome=row.outcome,
                ref=f"delivery {delivery.id}",
                raw=None if row.answer is None else bytes(row.answer).decode("utf-8", "replace"),
            )


_PARTS = (_order, _callbacks, _acts, _evidence, _events, _tries)


def _answer(row: StoredRow) -> str:
    status = "" if row.status is None else f" {row.status}"
    error = "" if row.error is None else f", {row.error}"
    return f"{row.outcome}{status} in {row.latency_ms} ms{error}"


def _amount(value: Decimal | None) -> str | None:
    return None if value is None else format_amount(value)
