"""Orders whose sender waits for the answer. They are checked and stored like those that come by message, but one that
is refused is only answered: it is not listed, and no event tells of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import structlog

from domain.event import Told
from domain.order import Order
from workers.intake.desk import Desk
from workers.intake.orders import EVENTS
from workers.intake.tracing import add_traced
from workers.store.database import UNAVAILABLE, may_be_its_own
from workers.store.intake import Added

log = structlog.get_logger()

#: The invoices with these ids.
Find = Callable[[Sequence[str]], Mapping[str, Told]]


class Stored(NamedTuple):
    """What became of an order, and its invoice as it is then; None for an order that was refused."""

    added: Added
    invoice: Told | None


def store_orders(desk: Desk, find: Find, orders: Sequence[tuple[Order, str]]) -> list[Stored | Exception]:
    """Store checked orders in one transaction; once this returns, nothing loses them. An error that one order alone
    causes is that order's result.

    Raises ``UNAVAILABLE``: then none is known to be stored, though the transaction may have been committed.
    """
    added = _add(desk, orders)
    repeated = [str(one.invoice_id) for one in added if isinstance(one, Added) and one.outcome == "repeated"]
    logger = log.bind()  # once: binding takes a third of a line's time
    for (order, _), one in zip(orders, added, strict=True):
        if isinstance(one, Added) and one.outcome != "refused":
            named = {"order_id": order.order_id, "account": order.account}
            logger.info(EVENTS[one.outcome], **named, invoice_id=one.invoice_id, way="http")
    invoices = find(repeated) if repeated else {}
    return [one if isinstance(one, Exception) else _stored(one, invoices) for one in added]


def _stored(added: Added, invoices: Mapping[str, Told]) -> Stored:
    return Stored(added, invoices[str(added.invoice_id)] if added.outcome == "repeated" else added.invoice())


def _add(desk: Desk, orders: Sequence[tuple[Order, str]]) -> list[Added | Exception]:
    try:
        return list(add_traced(desk.tracer, desk.store.add_orders, orders, "http"))
    except UNAVAILABLE as error:
        if len(orders) == 1 or not may_be_its_own(error):
            raise
    except Exception:
        log.exception("intake.bug", orders=len(orders), traceback=True)
        if len(orders) == 1:
            raise
    return [_add_alone(desk, one) for one in orders]


def _add_alone(desk: Desk, order: tuple[Order, str]) -> Added | Exception:
    try:
        return add_traced(desk.tracer, desk.store.add_orders, [order], "http")[0]
    except Exception as error:  # noqa: BLE001 - it becomes the answer to this order's sender
        return error
