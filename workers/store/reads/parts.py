"""The parts of an invoice's record as JSON, and what is counted in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from domain.event import format_time
from domain.exact_json import read_json
from domain.money import format_amount
from workers.store.judging.records import RAW_CHARACTERS
from workers.store.reads.record import Record
from workers.store.rows import StoredRow

#: Kinds of evidence that stand for a create call. Not ``Found``: a search finds what an earlier call made.
_CALLS = frozenset(
    {"Created", "OrderRefused", "CredentialsRefused", "ProviderRefused", "Unreachable", "InDoubt", "RateLimited"}
)
_CREATE = "create"
_AMOUNTS = frozenset({"price", "pay_amount", "paid_amount"})  #: fields of evidence


def tries(record: Record) -> dict[str, int]:
    """How often something was tried. ``creates``: calls that ended; ``look_ups_without_news``: in a row."""
    row = record.invoice
    kept = sum(1 + repeats_of(one) for one in record.evidence if one.source == _CREATE and one.kind in _CALLS)
    lost = sum(1 + repeats_of(one) for one in record.evidence if one.source == _CREATE and one.kind == "InDoubt")
    return {
        "creates": max(kept, row.doubts + abs(row.create_tries)),
        "lost_answers": max(lost, row.doubts),
        "searches": row.searches or 0,
        "look_ups_without_news": row.quiet_polls,
        "webhooks": sum(len(made) for _, made in record.deliveries),
    }


def tries_in_words(record: Record) -> str | None:
    """The same in a line; None where nothing was tried."""
    counted = tries(record)
    lost = f" ({counted['lost_answers']} without an answer)" if counted["lost_answers"] else ""
    named = (
        (f"creates{lost}", counted["creates"]),
        ("searches", counted["searches"]),
        ("look-ups in a row without news", counted["look_ups_without_news"]),
        ("tries of webhooks", counted["webhooks"]),
    )
    return ", ".join(f"{number} {name}" for name, number in named if number) or None


def repeats_of(row: StoredRow) -> int:
    """How often the same was said again."""
    return int(row.repeats or 0)


def transaction_of(record: Record) -> str | None:
    """The transaction that paid it; otherwise the last that was seen."""
    seen = [one for one in record.payments if one.tx_hash and one.kind == "payment"]
    settling = [one for one in seen if one.settled_status is not None]
    return (settling or seen)[-1].tx_hash if seen else None


def event_fields(row: StoredRow) -> dict[str, object]:
    """An event without its envelope, which ``invoices events`` prints."""
    told = {"at": _time(row.created_at), "published_at": _time(row.published_at)}
    return {"id": row.id, "type": row.type, "sequence": row.sequence, **told}


def evidence_fields(row: StoredRow) -> dict[str, object]:
    """A kept piece of evidence. ``raw``: the source's own words, only their beginning if ``raw_is_cut``."""
    return {
        "at": _time(row.at),
        "source": row.source,
        "kind": row.kind,
        "verdict": row.verdict,
        "note": row.note,
        "repeats": repeats_of(row),
        "last_at": _time(row.last_at),
        "detail": _with_texts(read_json(row.detail)),
        "raw": row.raw,
        "raw_is_cut": row.raw is not None and len(row.raw) >= RAW_CHARACTERS,
    }


def _with_texts(detail: object) -> object:
    """What was kept has amounts as JSON numbers; what is told has them as texts, as everywhere."""
    if isinstance(detail, list):
        return [_with_texts(one) for one in detail]
    if not isinstance(detail, dict):
        return detail
    return {
        name: format_amount(Decimal(value))
        if name in _AMOUNTS and isinstance(value, (int, Decimal))
        else _with_texts(value)
        for name, value in detail.items()
    }


def delivery_fields(row: StoredRow, made: Sequence[StoredRow]) -> dict[str, object]:
    """A delivery: what it carries, its state, and every attempt. ``invoice_id`` None: its event is of no invoice."""
    return {
        "id": row.id,
        "endpoint_id": row.endpoint_id,
        "invoice_id": row.invoice_id if row.sequence else None,
        "event_id": row.event_id,
        "type": row.type,
        "sequence": row.sequence or None,
        "state": row.shown_state,
        "tries": row.tries,
        "next_try_at": _time(row.next_try_at),
        "created_at": _time(row.created_at),
        "finished_at": _time(row.finished_at),
        "attempts": [attempt_fields(attempt) for attempt in made],
    }


def attempt_fields(row: StoredRow) -> dict[str, object]:
    """One attempt at a delivery, with the beginning of the receiver's answer."""
    answer = None if row.answer is None else bytes(row.answer).decode("utf-8", "replace")
    return {
        "at": _time(row.at),
        "outcome": row.outcome,
        "status": row.status,
        "latency_ms": row.latency_ms,
        "answer": answer,
        "error": row.error,
        "next_try_at": _time(row.next_try_at),
    }


def sibling_fields(row: StoredRow) -> dict[str, object]:
    """Another invoice of the same order."""
    names = ("id", "account", "idempotency_key", "status", "anomaly")
    return {name: getattr(row, name) for name in names} | {"created_at": _time(row.created_at)}


def _time(time: datetime | None) -> str | None:
    return None if time is None else format_time(time)
