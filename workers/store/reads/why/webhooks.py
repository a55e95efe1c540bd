"""Webhooks of one invoice that an endpoint has not taken."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from sqlalchemy import Connection, select

from domain.why.facts import Webhook
from workers.store.rows import StoredRow
from workers.store.tables import ATTEMPT, DELIVERY, ENDPOINT, EVENT

_DUE, _DEAD = "due", "dead"  # as rows have them

#: The state of endpoints' breakers; empty where Redis does not tell.
Breakers = Callable[[Sequence[str]], Mapping[str, str]]


def read_webhooks(
    connection: Connection, invoice_id: str, breakers: Breakers, sees: Collection[str] | None
) -> list[Webhook]:
    """For each endpoint in ``sees`` (None: all), the oldest that waits; if none does, the newest, if it was given
    up."""
    by_endpoint: dict[str, list[StoredRow]] = {}
    for row in _deliveries(connection, invoice_id):
        if sees is None or row.endpoint_id in sees:
            by_endpoint.setdefault(row.endpoint_id, []).append(row)
    chosen = [(one, behind) for rows in by_endpoint.values() for one, behind in _first(rows)]
    state = breakers(sorted(row.endpoint_id for row, _ in chosen if row.state == _DUE)) if chosen else {}
    return [_webhook(connection, row, behind, state.get(row.endpoint_id, "closed")) for row, behind in chosen]


def _deliveries(connection: Connection, invoice_id: str) -> Sequence[StoredRow]:
    """Oldest first. The index it uses begins with the endpoint."""
    events = select(EVENT.c.number).where(EVENT.c.invoice_id == invoice_id)
    numbers = connection.execute(events).scalars().all()
    query = (
        select(DELIVERY, EVENT.c.type, ENDPOINT.c.disabled_at, ENDPOINT.c.disabled_reason)
        .join(EVENT, EVENT.c.number == DELIVERY.c.event_number)
        .join(ENDPOINT, ENDPOINT.c.id == DELIVERY.c.endpoint_id)
        .where(DELIVERY.c.endpoint_id.in_(select(ENDPOINT.c.id)), DELIVERY.c.event_number.in_(numbers))
    )
    return connection.execute(query.order_by(DELIVERY.c.sequence)).all() if numbers else []


def _first(rows: Sequence[StoredRow]) -> list[tuple[StoredRow, int]]:
    due = [row for row in rows if row.state == _DUE]
    if due:
        return [(due[0], len(due) - 1)]
    return [(rows[-1], 0)] if rows[-1].state == _DEAD else []


def _webhook(connection: Connection, row: StoredRow, behind: int, breaker: str) -> Webhook:
    last = None
    if row.tries:
        tried = select(ATTEMPT).where(ATTEMPT.c.delivery_id == row.id).order_by(ATTEMPT.c.id.desc()).limit(1)
        last = connection.execute(tried).one_or_none()
    return Webhook(
        number=row.id,
        endpoint=row.endpoint_id,
        type=row.type,
        created_at=row.created_at,
        tries=row.tries,
        dead=row.state == _DEAD,
        next_try_at=row.next_try_at,
        behind=behind,
        error=None if last is None else last.error or last.outcome,
        tried_at=None if last is None else last.at,
        disabled_at=row.disabled_at,
        disabled_reason=row.disabled_reason,
        breaker=breaker,
    )
