"""The promises about payments that callbacks tell of, against what the stand-ins saw and the tables hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from domain.status import Status
from tests.simulation.database import moment

#: A callback that comes shortly before the watch ends may be looked into too late: it is not asked for.
MARGIN_SECONDS = 10.0
PAID = "SELECT h.at, i.order_id, i.id FROM sim_history h JOIN invoice i ON i.id = h.invoice_id WHERE h.status = 'paid'"


def unkept(world: Any) -> Iterator[str]:
    """What a web process answered 200 is kept, whoever died since; what nobody signed is not answered so."""
    kept = {digest for (digest,) in world.engine.rows("SELECT digest FROM callback")}
    for digest, told in world.caller.answered.items():
        if digest not in kept:
            yield f"{told.order_id}: {told.status} was answered 200 at {told.at:.2f}, and is not kept"
    if world.caller.taken_forged:
        yield f"{world.caller.taken_forged} forged callbacks were answered 200"
    left = world.engine.rows("SELECT order_id FROM callback WHERE state = 'new'")
    yield from (f"{order_id}: its callback was judged by nobody" for (order_id,) in left)


def unproven(world: Any) -> Iterator[str]:
    """An invoice is paid because this very invoice was paid and a callback told of it, or because somebody said so."""
    marked = _marked(world, Status.PAID)
    paid: Counter[str] = Counter()
    for at, order_id, invoice in world.engine.rows(PAID):
        if world.plan.orders[order_id] != "nebulox" or order_id in marked:
            continue
        paid[order_id] += 1
        told = [one for one in _truth(world, order_id) if one <= at]
        if not told:
            yield f"{order_id}: {invoice} was paid at {at:.2f}, and no callback had told of a payment"
        elif paid[order_id] > len(told):
            yield f"{order_id}: paid {paid[order_id]} times, of {len(told)} payments that were told"


def missed(world: Any) -> Iterator[str]:
    """A payment that was told while somebody watched is noticed, whatever happened meanwhile."""
    marked = {mark.order_id for mark in world.plan.marks.values()}
    rows = world.engine.rows(
        "SELECT order_id, status, expires_at, monitor_until FROM invoice WHERE account = 'nebulox'"
    )
    of_order: dict[str, list[Any]] = {}
    for order_id, *row in rows:
        of_order.setdefault(order_id, []).append(row)
    for told in world.caller.answered.values():
        found = of_order.get(told.order_id, [])
        if told.ref is None or told.status != "COMPLETED" or told.order_id in marked or len(found) != 1:
            continue
        ((status, expires_at, monitor_until),) = found
        end = monitor_until or expires_at
        late = end is not None and told.at > _seconds(end) - MARGIN_SECONDS
        if status not in {"paid", "cancelled"} and not late:
            yield f"{told.order_id}: its payment was told at {told.at:.2f}, and it is {status}"


def _truth(world: Any, order_id: str) -> list[float]:
    """When web processes had callbacks about the order's invoices that were paid, one of each. Those that are kept and
    whose answer was lost count: the first try's moment is not later."""
    return sorted(at for (order, _), at in world.caller.told.items() if order == order_id)


def _marked(world: Any, status: Status) -> set[str]:
    return {mark.order_id for mark in world.plan.marks.values() if mark.status is status}


def _seconds(value: str) -> float:
    return (datetime.fromisoformat(value) - moment(0.0).replace(tzinfo=None)).total_seconds()
