"""Takes orders and cancellations: checks them, writes the good ones in one transaction, lists the others as rejected.

Plain functions with explicit parameters, called by the Celery tasks and the HTTP interface alike.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import structlog

from domain.account import Account
from domain.evidence import CancelRequested
from domain.exact_json import JsonError, read_json, write_json
from domain.fallbacks import check_fallbacks
from domain.order import (
    Cancellation,
    Order,
    OrderError,
    check_price,
    parse_cancellation,
    parse_order,
    parse_orders,
)
from domain.refused_order import RefusedOrder, read_refused
from domain.tracing import OFF, Tracer
from workers.intake.message import CREATE, turn_away
from workers.intake.telling import NO_ACCOUNT
from workers.intake.tracing import add_traced
from workers.store.database import UNAVAILABLE, may_be_its_own
from workers.store.intake import Added, Rejection
from workers.store.judging import Judgement, Outcome

log = structlog.get_logger()

#: A cancellation may overtake its create, which another process is just storing: it waits so long for the invoice.
CANCEL_PATIENCE_SECONDS, CANCEL_STEP_SECONDS = 2.0, 0.1

EVENTS = {"accepted": "order.accepted", "repeated": "order.repeated"}


class Interrupted(Exception):  # noqa: N818 - reads as what happened
    """The process is stopping and the message is not stored: it must go back to the broker."""


class Unlistable(Exception):  # noqa: N818 - reads as what is the matter
    """An order met a bug of ours, and is too long to be listed whole."""


class IntakeStore(Protocol):
    """What the intake needs of the store."""

    def add_orders(self, orders: Sequence[tuple[Order, str]], rejections: Sequence[Rejection] = ()) -> list[Added]: ...

    def reject(self, rejections: Sequence[Rejection]) -> None: ...

    def find(self, account: str, *, order_id: str | None = None, idempotency_key: str | None = None) -> str | None: ...

    def judge(self, judgements: Sequence[Judgement]) -> list[Outcome]: ...


class OrderChecker(Protocol):
    """What the intake needs of a provider."""

    def check_order(self, order: Order, account: Account) -> None: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """Where orders are taken: the store, the configured accounts, the providers by name."""

    store: IntakeStore
    accounts: Mapping[str, Account]
    providers: Mapping[str, OrderChecker]
    lists_bugs: bool = True  #: a message that meets a bug of ours is listed; otherwise the error is raised
    may_tell: Callable[[str], bool] = lambda _: True  #: whether the account's shop is told of one more refused order
    tracer: Tracer = OFF

    def told(self, order: RefusedOrder | None) -> RefusedOrder | None:
        """The order, if its shop is to be told of the refusal: at a bounded rate. All accounts that there are not have
        one bound together."""
        if order is None:
            return None
        return order if self.may_tell(order.account if order.account in self.accounts else NO_ACCOUNT) else None

    @property
    def bug_level(self) -> int:
        """A message that is tried again was logged in full the first time."""
        return logging.ERROR if self.lists_bugs else logging.DEBUG


@dataclass(frozen=True, slots=True)
class IntakeMessage:
    """An intake message. ``text``: its fields as JSON, digit for digit; ``key``: the same on every delivery."""

    task: str
    text: str
    key: str
    expires: datetime | None = None  #: the sender wants the message dropped after this
    task_id: str = ""  #: the sender's name for the message
    trace: str | None = None  #: the trace that its orders belong to (``domain/trace.py``)


def take_order(desk: Desk, *messages: IntakeMessage | Rejection) -> None:
    """``invoices.create``: each message is checked alone; all are written in one transaction, refused ones too.

    A Rejection among them is a message that was rejected before. Raises ``UNAVAILABLE``: the same messages can then
    be taken again.
    """
    _take(desk, [one if isinstance(one, Rejection) else _check(desk, _fields(one.text), one) for one in messages])


def take_orders(desk: Desk, message: IntakeMessage) -> None:
    """``invoices.create_many``: each order is checked alone; all good ones are stored in one transaction. Raises
    ``UNAVAILABLE``."""
    try:
        parts = _split(message)
    except OrderError as error:
        refuse(desk.store, [_rejection(message, str(error))])
        return
    _take(desk, [_check(desk, fields, part) for fields, part in parts])


def cancel_order(desk: Desk, message: IntakeMessage, wait: Callable[[float], bool]) -> None:
    """``invoices.cancel``. ``wait(seconds)`` returns true when the process is stopping.

    Raises ``UNAVAILABLE``, and Interrupted if the process stops while this waits for the create.
    """
    try:
        cancellation = parse_cancellation(_fields(message.text))
        if cancellation.account not in desk.accounts:
            raise OrderError(f"account: there is no account {cancellation.account!r}")
        invoice_id = _find(desk.store, cancellation, wait)
        _cancel(desk.store, cancellation, invoice_id)
    except OrderError as error:
        refuse(desk.store, [_rejection(message, str(error))])


def refuse(store: IntakeStore, rejections: Sequence[Rejection]) -> None:
    """List messages as rejected. One that can't be listed does not stop the others; its error is raised at the end.
    Raises ``UNAVAILABLE``."""
    if not rejections:
        return
    try:
        store.reject(rejections)
    except UNAVAILABLE:
        raise
    except Exception as error:  # noqa: BLE001 - perhaps one of them causes it: each is tried alone
        log.warning("message.not_listed", messages=len(rejections), error=type(error).__name__)
        _refuse_each(store, rejections)
    _tell(rejections)


def _refuse_each(store: IntakeStore, rejections: Sequence[Rejection]) -> None:
    failure = None
    for rejection in rejections:
        try:
            store.reject([rejection.reduced()])
        except UNAVAILABLE:
            raise
        except Exception as error:  # noqa: BLE001 - raised below, after the rest is listed
            failure = error
    if failure is not None:
        raise failure


def _tell(rejections: Sequence[Rejection]) -> None:
    for rejection in rejections:
        key = rejection.message_key
        log.warning("message.rejected", task=rejection.task, reason=rejection.reason, message_key=key)


def internal_error(desk: Desk, message: IntakeMessage, error: Exception) -> Rejection:
    """The rejection of a message that met a bug of ours: listed, it is neither lost nor tried for ever.

    Raises Unlistable if the list can't hold all of it: the message may be good, and only a whole one can be redriven.
    """
    if not desk.lists_bugs:
        raise error
    rejection = _rejection(message, f"internal error: {type(error).__name__}")
    if not rejection.complete:
        raise Unlistable(f"{rejection.reason}, and too long for the list") from error
    return rejection


def split(message: IntakeMessage) -> list[IntakeMessage]:
    """The orders of an ``invoices.create_many``, each a message of its own. Raises OrderError."""
    return [part for _, part in _split(message)]


def _split(message: IntakeMessage) -> list[tuple[object, IntakeMessage]]:
    return [
        (fields, replace(message, task=CREATE, text=write_json(fields), key=_part_key(message.key, place)))
        for place, fields in enumerate(parse_orders(_fields(message.text)))
    ]


# --- one order ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Good:
    order: Order
    provider: str
    message: IntakeMessage


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


def _check(desk: Desk, fields: object, message: IntakeMessage) -> _Good | Rejection:
    try:
        order, provider = check_order(desk, fields)
    except OrderError as error:
        return _rejection(message, str(error), desk.told(read_refused(fields)))
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
    _tell(rejections)
    refused, logger = [], log.bind()  # once: a logger is made anew for each line otherwise
    for one, result in zip(good, added, strict=True):
        if result.outcome == "refused":
            refused.append(_rejection(one.message, result.reason or "refused", desk.told(_conflict(one, result))))
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


# --- one cancellation ---------------------------------------------------------------------------------------------


def _find(store: IntakeStore, cancellation: Cancellation, wait: Callable[[float], bool]) -> str:
    for _ in range(int(CANCEL_PATIENCE_SECONDS / CANCEL_STEP_SECONDS) + 1):
        found = store.find(
            cancellation.account, order_id=cancellation.order_id, idempotency_key=cancellation.idempotency_key
        )
        if found is not None:
            return found
        if wait(CANCEL_STEP_SECONDS):
            raise Interrupted
    raise OrderError(f"{_named(cancellation)} of account {cancellation.account!r}: there is no such invoice")


def _cancel(store: IntakeStore, cancellation: Cancellation, invoice_id: str) -> None:
    (outcome,) = store.judge([Judgement(invoice_id, CancelRequested(reason=cancellation.reason))])
    if outcome.verdict == "missing":
        raise OrderError(f"{_named(cancellation)}: the invoice {invoice_id} is gone")
    if outcome.verdict == "contradiction":
        raise OrderError(f"{_named(cancellation)}: the invoice {invoice_id} is already {outcome.status_before}")
    log.info("order.cancelled", invoice_id=invoice_id, account=cancellation.account, verdict=outcome.verdict)


def _named(cancellation: Cancellation) -> str:
    if cancellation.order_id is not None:
        return f"order_id {cancellation.order_id!r}"
    return f"idempotency_key {cancellation.idempotency_key!r}"


# --- small things -------------------------------------------------------------------------------------------------


def _fields(text: str) -> object:
    try:
        return read_json(text)
    except JsonError:  # not after the guard, which has read this text; from any other caller it counts as no object
        return None


def _part_key(key: str, place: int) -> str:
    return hashlib.sha256(f"{key}:{place}".encode()).hexdigest()


def _conflict(one: _Good, result: Added) -> RefusedOrder:
    order = one.order
    return RefusedOrder(order.account, order.order_id, order.idempotency_key, "conflict", result.invoice_id)


def _rejection(message: IntakeMessage, reason: str, order: RefusedOrder | None = None) -> Rejection:
    away = turn_away(message.text, reason, message.key, task=message.task, fields=message.text)
    return Rejection(message.key, away.task, away.reason, away.excerpt, away.complete, order)
