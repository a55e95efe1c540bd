"""Takes orders: checks them, writes the good ones in one transaction, lists the others as rejected.

Plain functions with explicit parameters, called by the Celery tasks and the HTTP interface alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from domain.exact_json import write_json
from domain.fallbacks import check_fallbacks
from domain.order import Order, OrderError, check_price, parse_order, parse_orders
from domain.refused_order import RefusedOrder, read_refused
from workers.intake.desk import Desk, IntakeMessage, OrderMessage
from workers.intake.message import CREATE
from workers.intake.rejecting import internal_error, log_rejected, refuse, rejection_of
from workers.intake.tracing import add_traced
from workers.store.database import UNAVAILABLE, may_be_its_own
from workers.store.intake import Added, Rejection

log = structlog.get_logger()

EVENTS = {"accepted": "order.accepted", "repeated": "order.repeated"}


def take_order(desk: Desk, *messages: OrderMessage | Rejection) -> None:
    """``invoices.create``: each message is checked alone; all are written in one transaction, refused ones too.

    A Rejection among them is a message that was rejected before. Raises ``UNAVAILABLE``: the same messages can then
    be taken again.
    """
    _take(desk, [one if isinstance(one, Rejection) else _check(desk, one.fields, one) for one in messages])


def take_orders(desk: Desk, message: IntakeMessage) -> None:
    """``invoices.create_many``: each order is checked alone; all good ones are stored in one transaction. Raises
    ``UNAVAILABLE``."""
    try:
        parts = _split(message)
    except OrderError as error:
        refuse(desk.store, [rejection_of(message, str(error))])
        return
    _take(desk, [_check(desk, fields, part) for fields, part in parts])


def split(message: IntakeMessage) -> list[IntakeMessage]:
    """The orders of an ``invoices.create_many``, each a message of its own. Raises OrderError."""
    return [part for _, part in _split(message)]


def _split(message: IntakeMessage) -> list[tuple[object, IntakeMessage]]:
    return [
        (fields, replace(message, task=CREATE, text=write_json(fields), key=_part_key(message.key, place)))
        for place, fields in enumerate(parse_orders(message.fields))
    ]


# --- one order ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Good:
    order: Order
    provider: str
    message: OrderMessage


def check_order(desk: Desk, fields: object) -> tuple[Order, str]:
    """The order in these fields, and the name of its provider. Raises OrderError."""
    order = parse_order(fields)
    account = desk.accounts.get(order.account)
    if account is None:
        raise OrderError(f"account: there is no account {order.account!r}")
    check_price(order, account)
    desk.providers[account.provider].check_order(order, account)
    check_fallbacks(order, desk.accounts, lambda one, at: desk.providers[at.provider].check_order(one, at))
    return order, account.provider


def _check(desk: Desk, fields: object, message: OrderMessage) -> _Good | Rejection:
    try:
        order, provider = check_order(desk, fields)
    except OrderError as error:
        return rejection_of(message, str(error), desk.told(read_refused(fields)))
    except Exception as error:
        log.log(desk.bug_level, "intake.bug", exc_info=True, traceback=True)
        return internal_error(desk, message, error)
    return _Good(_hurried(order, message.expires).traced(message.trace), provider, message)


def _hurried(order: Order, expires: datetime | None) -> Order:
    """The order with the earlier of the message's ``expires`` and its own ``create_before``: they mean the same."""
    if expires is None or (order.create_before is not None and order.create_before <= expires):
        return order
    return order.model_copy(update={"create_before": expires})


def _take(desk: Desk, checked: Sequence[_Good | Rejection]) -> None:
    good = [one for one in checked if isinstance(one, _Good)]
    rejections = [one for one in checked if isinstance(one, Rejection)]
    if good:
        rejections = _add(desk, good, rejections)
    refuse(desk.store, rejections)


def _add(desk: Desk, good: Sequence[_Good], rejections: Sequence[Rejection] = ()) -> list[Rejection]:
    """Store orders and list ``rejections`` in one transaction. Returns what is still to be listed.

    If that takes too long or fails for an unknown reason, each order is stored alone, to find the one that causes it.
    """
    alone = len(good) == 1 and not rejections
    try:
        orders = [(one.order, one.provider) for one in good]
        added = add_traced(desk.tracer, lambda them: desk.store.add_orders(them, rejections), orders, "message")
    except UNAVAILABLE as error:
        if alone or not may_be_its_own(error):
            raise
        return _add_each(desk, good, rejections)
    except Exception as error:
        log.log(
            desk.bug_level, "intake.bug", orders=len(good), rejections=len(rejections), exc_info=True, traceback=True
        )
        return [internal_error(desk, good[0].message, error)] if alone else _add_each(desk, good, rejections)
    log_rejected(rejections)
    refused, logger = [], log.bind()  # once: a logger is made anew for each line otherwise
    for one, result in zip(good, added, strict=True):
        if result.outcome == "refused":
            refused.append(rejection_of(one.message, result.reason or "refused", desk.told(_conflict(one, result))))
        else:
            order = {"order_id": one.order.order_id, "account": one.order.account}
            logger.info(EVENTS[result.outcome], **order, invoice_id=result.invoice_id, task_id=one.message.task_id)
    return refused


def _add_each(desk: Desk, good: Sequence[_Good], rejections: Sequence[Rejection]) -> list[Rejection]:
    """Store one order per transaction. Returns what is still to be listed.

    The error of an order that takes too long is raised at the end, so that it holds up no other. The error of a second
    one is raised at once: the orders are not the reason then, and the rest would take as long.
    """
    left, late = list(rejections), None
    for one in good:
        try:
            left += _add(desk, [one])
        except UNAVAILABLE as error:
            if late is not None or not may_be_its_own(error):
                raise
            late = error
    if late is not None:
        refuse(desk.store, left)
        raise late
    return left


def _part_key(key: str, place: int) -> str:
    return hashlib.sha256(f"{key}:{place}".encode()).hexdigest()


def _conflict(one: _Good, result: Added) -> RefusedOrder:
    order = one.order
    return RefusedOrder(order.account, order.order_id, order.idempotency_key, "conflict", result.invoice_id)
