"""The rows of the whole way by hand: three transactions of a few statements, arrays for what differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import psycopg
import structlog

log = structlog.get_logger()

NOW = "SELECT clock_timestamp()"
KEEP = """
INSERT INTO invoice (id, account, provider_account, provider, order_id, idempotency_key, digest, status, sequence,
    first_open, price, currency, pay_currency, network, lifetime_minutes, params, metadata_json, created_at, updated_at,
    create_tries, doubts, quiet_polls)
SELECT i, 'shop', 'shop', 'nebulox', o, o, d, 'queued', 0, 1, p, c, y, n, '60', '{}', m, %(now)s, %(now)s, 0, 0, 0
FROM unnest(%(id)s::text[], %(order_id)s::text[], %(digest)s::text[], %(price)s::text[], %(currency)s::text[],
    %(pay_currency)s::text[], %(network)s::text[], %(metadata_json)s::text[]) AS u (i, o, d, p, c, y, n, m)
"""
MAKE = """
UPDATE invoice SET status = 'pending', sequence = 1, provider_ref = r, payment_url = l, updated_at = %(now)s,
    expires_at = %(now)s + interval '1 hour'
FROM unnest(%(id)s::text[], %(provider_ref)s::text[], %(payment_url)s::text[]) AS u (i, r, l) WHERE invoice.id = i
"""
CLOCK = """
INSERT INTO agenda (stage, subject, lane, due_at, claims, pokes)
SELECT 'clock', i, 'clock', %(now)s + interval '1 hour', 0, 0 FROM unnest(%(id)s::text[]) AS i
"""
EVIDENCE = """
INSERT INTO evidence (invoice_id, at, kind, detail, raw, verdict, source)
SELECT i, %(now)s, 'Created', r, r, 'applied', 'create' FROM unnest(%(id)s::text[], %(raw)s::text[]) AS u (i, r)
"""
#: The events, which are marked as published at once, and their positions.
EVENT = """
WITH last AS (UPDATE event_log SET newest = newest + %(count)s RETURNING newest), made AS (
    INSERT INTO event (id, invoice_id, sequence, type, body, created_at, published_at, positioned)
    SELECT e, i, 1, 'invoice.pending', b, %(now)s, %(now)s, 1
    FROM unnest(%(event_id)s::text[], %(id)s::text[], %(body)s::bytea[]) AS u (e, i, b) RETURNING number, invoice_id),
placed AS (
    INSERT INTO event_position (position, event_number, account)
    SELECT last.newest - %(count)s + row_number() OVER (ORDER BY number), number, 'shop' FROM made, last),
planned AS (
    INSERT INTO delivery (endpoint_id, event_number, invoice_id, sequence, state, tries, next_try_at, created_at)
    SELECT 'ep_bench', number, invoice_id, 1, 'due', 0, %(now)s, %(now)s FROM made RETURNING id, invoice_id)
SELECT id, invoice_id FROM planned
"""
NOTE = """
UPDATE delivery SET state = 'delivered', tries = 1, next_try_at = NULL, finished_at = %(now)s
WHERE id = ANY(%(delivery_id)s)
"""
ATTEMPT = """
INSERT INTO delivery_attempt (delivery_id, at, outcome, status, latency_ms, answer)
SELECT d, %(now)s, 'delivered', 200, l, '' FROM unnest(%(delivery_id)s::bigint[], %(latency_ms)s::int[]) AS u (d, l)
"""
KEPT = ("id", "order_id", "digest", "currency", "pay_currency", "network", "metadata_json")


class Keeper:
    """One connection, used by one step."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def keep(self, orders: Sequence[SimpleNamespace]) -> None:
        """The orders' rows."""
        given = self._begin(orders, KEPT)
        given["price"] = [str(order.price) for order in orders]
        self._connection.execute(KEEP, given)
        self._connection.commit()
        for order in orders:
            order.created_at = given["now"]
            log.info("order.accepted", invoice_id=order.id, account=order.account, order_id=order.order_id)

    def make(self, orders: Sequence[SimpleNamespace], tell: Callable[[SimpleNamespace, datetime], None]) -> None:
        """What became of them. ``tell`` gives each its event."""
        given = self._begin(orders, ("id", "provider_ref", "payment_url"))
        for order in orders:
            tell(order, given["now"])
        given["raw"] = [order.raw.decode() for order in orders]
        given |= {name: [getattr(order, name) for order in orders] for name in ("event_id", "body")}
        for statement in (MAKE, CLOCK, EVIDENCE):
            self._connection.execute(statement, given)
        deliveries = {key: number for number, key in self._connection.execute(EVENT, given)}
        self._connection.commit()
        for order in orders:
            order.delivery_id = deliveries[order.id]
            log.info("invoice.pending", invoice_id=order.id, account=order.account, order_id=order.order_id)

    def note(self, orders: Sequence[SimpleNamespace]) -> None:
        """Their webhooks' answers."""
        given = self._begin(orders, ("delivery_id", "latency_ms"))
        self._connection.execute(NOTE, given)
        self._connection.execute(ATTEMPT, given)
        self._connection.commit()

    def _begin(self, orders: Sequence[SimpleNamespace], names: Sequence[str]) -> dict[str, Any]:
        """A transaction, its time, and these columns."""
        row = self._connection.execute(NOW).fetchone()
        assert row is not None
        given: dict[str, Any] = {name: [getattr(order, name) for order in orders] for name in names}
        return given | {"now": row[0], "count": len(orders)}
