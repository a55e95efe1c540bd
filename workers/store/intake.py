"""Orders in: the queued invoice and its first agenda rows in one transaction, once per (account, idempotency_key)."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any, Literal, cast

from sqlalchemy import Connection, Executable, select

from domain.decision import Stage
from domain.event import ORDER_REJECTED, Told, new_id
from domain.exact_json import write_json
from domain.fallbacks import write_fallbacks
from domain.order import Order
from domain.refused_order import RefusedOrder
from domain.status import Status
from workers.store.agenda import CLOCK_LANE, PUBLISH_LANE, Lane
from workers.store.bulk import execute_keyed, insert_rows, keyed
from workers.store.outbox import NewEvent, add_events
from workers.store.rows import KeyedInvoice
from workers.store.storable import storable
from workers.store.tables import AGENDA, INVOICE, REJECTED

EXCERPT_CHARACTERS = 2048


@dataclass(frozen=True, slots=True)
class Added:
    """What became of one order: accepted, repeated (it came before, with the same content) or refused with a reason."""

    order_id: str
    outcome: Literal["accepted", "repeated", "refused"]
    invoice_id: str | None = None  #: of a refused one: the invoice in its way
    reason: str | None = None
    conflict: Literal["key", "order"] | None = None  #: refused for what it has in common with that invoice
    queued: Mapping[str, object] | None = None  #: of an accepted one: the row that was written

    def invoice(self) -> Told | None:
        """An accepted order's invoice as it stands in the table, made of what was written: nothing is read."""
        return None if self.queued is None else cast("Told", SimpleNamespace(**{**_EMPTY, **self.queued}))


#: Columns that an order does not fill.
_EMPTY = dict.fromkeys(INVOICE.c.keys())


@dataclass(frozen=True, slots=True)
class Rejection:
    """A rejected message. ``message_key`` makes a redelivery of the same message a no-op."""

    message_key: str
    task: str | None
    reason: str
    excerpt: str
    complete: bool
    order: RefusedOrder | None = None  #: the shop is told of it

    def reduced(self) -> Rejection:
        """The same in plain ASCII, which any database takes. JSON stays the same JSON."""
        excerpt = _escaped(self.excerpt)
        return Rejection(
            _escaped(self.message_key)[:64],
            None if self.task is None else _escaped(self.task),
            _escaped(self.reason),
            excerpt,
            self.complete and len(excerpt) <= EXCERPT_CHARACTERS,
            self.order,
        )


def _escaped(text: str) -> str:
    """Escapes whatever is not printable ASCII, as JSON does."""
    return "".join(c if " " <= c <= "~" else json.dumps(c)[1:-1] for c in text)


def add_orders(connection: Connection, now: datetime, orders: Sequence[tuple[Order, str]]) -> list[Added]:
    """Write queued invoices for (order, provider name) pairs; repeated orders are recognised."""
    # Sorted: two lists with the same keys in different orders would deadlock.
    rows = [_row(order, provider, now) for order, provider in sorted(orders, key=lambda pair: _key(pair[0]))]
    made = {row.id for row in insert_rows(connection, INVOICE, rows, conflict="skip", returning=("id",))}
    insert_rows(connection, AGENDA, [line for row in rows if row["id"] in made for line in _agenda(row, now)])
    ours = {(row["account"], row["idempotency_key"]): row for row in rows if row["id"] in made}
    known = {} if len(made) == len(rows) else _known(connection, [order for order, _ in orders])
    results = []
    for order, _ in orders:
        mine = ours.pop(_key(order), None)  # of several with one key, the first was written
        results.append(_accepted(mine) if mine else _compare_repeat(connection, order, known))
    return results


def _accepted(row: Mapping[str, Any]) -> Added:
    return Added(row["order_id"], "accepted", row["id"], queued=row)


def reject(connection: Connection, now: datetime, rejections: Sequence[Rejection]) -> set[Lane]:
    """Keep messages that were rejected, each once, and tell shops of the orders among them.

    Returns the lanes that have work now.
    """
    rows = [
        {
            "message_key": r.message_key,
            "at": now,
            "task": storable(r.task)[:255] if r.task else None,
            "reason": storable(r.reason)[:1000],
            "excerpt": storable(r.excerpt)[:EXCERPT_CHARACTERS],
            "complete": r.complete and storable(r.excerpt)[:EXCERPT_CHARACTERS] == r.excerpt,
        }
        for r in sorted(rejections, key=lambda rejection: rejection.message_key)
    ]
    orders = {r.message_key: (r.order, r.reason) for r in rejections if r.order is not None}
    if not orders:
        insert_rows(connection, REJECTED, rows, conflict="skip")
        return set()
    new = insert_rows(connection, REJECTED, rows, conflict="skip", returning=("message_key",))
    told = [_notice(*orders[row.message_key], now) for row in new if row.message_key in orders]
    endpoints, _ = add_events(connection, told, now)
    return {(Stage.DELIVER, endpoint) for endpoint in endpoints} | ({(Stage.PUBLISH, PUBLISH_LANE)} if told else set())


def _notice(order: RefusedOrder, reason: str, now: datetime) -> NewEvent:
    event_id = new_id("evt")
    body = order.told(event_id, storable(reason)[:1000], now)
    return NewEvent.of_no_invoice(event_id, ORDER_REJECTED, body, order.account)


def find(
    connection: Connection, account: str, order_id: str | None = None, idempotency_key: str | None = None
) -> str | None:
    """The id of the account's newest invoice with this order id, this key, or both."""
    statement = select(INVOICE.c.id).where(INVOICE.c.account == account).order_by(INVOICE.c.id.desc()).limit(1)
    if order_id is not None:
        statement = statement.where(INVOICE.c.order_id == order_id)
    if idempotency_key is not None:
        statement = statement.where(INVOICE.c.idempotency_key == idempotency_key)
    return connection.execute(statement).scalar_one_or_none()


def _key(order: Order) -> tuple[str, str]:
    return order.account, order.idempotency_key


def _row(order: Order, provider: str, now: datetime) -> dict[str, Any]:
    return {
        "id": new_id("inv"),
        "account": order.account,
        "provider_account": order.account,
        "provider": provider,
        "order_id": order.order_id,
        "idempotency_key": order.idempotency_key,
        "digest": order.digest(),
        "status": Status.QUEUED.value,
        "sequence": 0,
        "first_open": 1,
        "price": order.price,
        "currency": order.currency,
        "pay_currency": order.pay_currency,
        "network": order.network,
        "lifetime_minutes": order.lifetime_minutes,
        "params": write_json(order.params),
        "metadata_json": write_json(order.metadata),
        "create_before": order.create_before,
        "created_at": now,
        "updated_at": now,
        "create_tries": 0,
        "doubts": 0,
        "quiet_polls": 0,
        "fallbacks": write_fallbacks(order),
        "trace": order.trace,
    }


def _agenda(row: dict[str, object], now: datetime) -> list[dict[str, object]]:
    line = {"subject": row["id"], "claims": 0, "pokes": 0}
    lines = [line | {"stage": Stage.CREATE.value, "lane": row["provider_account"], "due_at": now}]
    if row["create_before"] is not None:
        lines.append(line | {"stage": Stage.CLOCK.value, "lane": CLOCK_LANE, "due_at": row["create_before"]})
    return lines


def _known(connection: Connection, orders: Sequence[Order]) -> dict[tuple[str, str], KeyedInvoice]:
    return {(row.account, row.idempotency_key): row for row in with_keys(connection, map(_key, orders))}


def with_keys(connection: Connection, keys: Iterable[tuple[str, str]]) -> Sequence[KeyedInvoice]:
    """Id, account, idempotency key and digest of the invoices with these accounts and keys."""
    return execute_keyed(connection, _with_keys, ("account", "idempotency_key"), sorted(set(keys))).all()


@functools.cache
def _with_keys(dialect: str) -> Executable:
    key = INVOICE.c.account, INVOICE.c.idempotency_key
    return select(INVOICE.c.id, *key, INVOICE.c.digest).where(keyed(dialect, *key))


def _compare_repeat(connection: Connection, order: Order, known: dict[tuple[str, str], KeyedInvoice]) -> Added:
    before = known.get(_key(order))
    if before is not None and before.digest == order.digest():
        return Added(order.order_id, "repeated", before.id)
    if before is not None:
        reason = f"idempotency_key: {order.idempotency_key!r} was used by invoice {before.id} with other content"
        return Added(order.order_id, "refused", before.id, reason, "key")
    other = connection.execute(
        select(INVOICE.c.id).where(
            INVOICE.c.account == order.account, INVOICE.c.order_id == order.order_id, INVOICE.c.first_open == 1
        )
    ).scalar_one_or_none()
    place = f"invoice {other} of this order is still open" if other else "another invoice of this order was open"
    return Added(order.order_id, "refused", other, f"order_id: {place}", "order")


def take_in(
    connection: Connection, now: datetime, items: Sequence[tuple[Order, str] | Rejection]
) -> tuple[list[Added | None], set[Lane]]:
    """Write orders and rejections; what came of each order, and the lanes that have work now."""
    orders = [item for item in items if not isinstance(item, Rejection)]
    added = add_orders(connection, now, orders)
    lanes = reject(connection, now, [item for item in items if isinstance(item, Rejection)])
    for (order, _), one in zip(orders, added, strict=True):
        if one.outcome == "accepted":
            lanes = lanes | {(Stage.CREATE, order.account)}
    results = iter(added)
    return [None if isinstance(item, Rejection) else next(results) for item in items], lanes
