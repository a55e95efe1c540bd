"""Takes orders and cancellations: validated, written in one transaction, or listed with the reason.

Plain functions over explicit parameters: the Celery tasks call them, and so can any other way in.
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
from workers.intake.tracing import add_traced
from workers.store.database import UNAVAILABLE, may_be_its_own
from workers.store.intake import Added, Rejection
from workers.store.judging import Judgement, Outcome

log = structlog.get_logger()

#: A cancellation may overtake the create that a neighbour is storing right now.
CANCEL_PATIENCE_SECONDS, CANCEL_STEP_SECONDS = 2.0, 0.1

EVENTS = {"accepted": "order.accepted", "repeated": "order.repeated"}


class Interrupted(Exception):  # noqa: N818 - reads as what happened
    """The process is stopping and the message is not stored: it must go back to the broker."""


class Unlistable(Exception):  # noqa: N818 - reads as what is the matter
    """An order met a bug of ours, and the list would hold only a part of it."""


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
    lists_bugs: bool = True  #: what meets a bug of ours is listed; else it raises, as it did before
    may_tell: Callable[[str], bool] = lambda _: True  #: whether one more refused order of an account is told its shop
    tracer: Tracer = OFF

    def told(self, order: RefusedOrder | None) -> RefusedOrder | None:
        """The order, if its shop is told that it was refused: those of configured accounts, at a bounded rate."""
        if order is None or order.account not in self.accounts or not self.may_tell(order.account):
            return None
        return order

    @property
    def bug_level(self) -> int:
        """What is tried again was told, whole, when it was new."""
        return logging.ERROR if self.lists_bugs else logging.DEBUG


@dataclass(frozen=True, slots=True)
class IntakeMessage:
    """An intake message. ``text``: the JSON of its fields, digit for digit; ``key``: the same on every delivery."""

    task: str
    text: str
    key: str
    expires: datetime | None = None  #: the sender's wish that the message be dropped after it
    task_id: str = ""  #: the sender's name for the message
    trace: str | None = None  #: that its orders belong to: ``domain/trace.py``


def take_order(desk: Desk, *messages: IntakeMessage | Rejection) -> None:
    """``invoices.create``: each message is judged alone, all are written in one transaction, the bad ones too.

    What came in with them and was turned away already is among the latter. Raises ``UNAVAILABLE``: then nothing is lost
    by taking the same messages again.
    """
    _take(desk, [one if isinstance(one, Rejection) else _judge(desk, _fields(one.text), one) for one in messages])


def take_orders(desk: Desk, message: IntakeMessage) -> None:
    """``invoices.create_many``: each order judged alone, all good ones in one transaction. Raises ``UNAVAILABLE``."""
    try:
        parts = _split(message)
    except OrderError as error:
        refuse(desk.store, [_rejection(message, str(error))])
        return
    _take(desk, [_judge(desk, fields, part) for fields, part in parts])


def cancel_order(desk: Desk, message: IntakeMessage, wait: Callable[[float], bool]) -> None:
    """``invoices.cancel``. ``wait(seconds)`` is true when the process is stopping.

    Raises ``UNAVAILABLE``, and Interrupted when it was stopped while it waited for the create.
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
    """List messages as rejected, each that can be. Raises ``UNAVAILABLE``, and what is in the way of one that can't."""
    if not rejections:
        return
    try:
        store.reject(rejections)
    except UNAVAILABLE:
        raise
    except Exception as error:  # noqa: BLE001 - of one of them, perhaps, or of how it is written
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
        except Exception as error:  # noqa: BLE001 - raised below, when those after it are listed
            failure = error
    if failure is not None:
        raise failure


def _tell(rejections: Sequence[Rejection]) -> None:
    for rejection in rejections:
        key = rejection.message_key
        log.warning("message.rejected", task=rejection.task, reason=rejection.reason, message_key=key)


def internal_error(desk: Desk, message: IntakeMessage, error: Exception) -> Rejection:
    """A message that met a bug of ours is listed, so it is neither lost nor tried for ever.

    Raises Unlistable where the list does not hold all of it: it was good, perhaps, and can be redriven from there only
    as a whole.
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
    """The order in these fields, and its provider's name. Raises OrderError."""
    order = parse_order(fields)
    account = desk.accounts.get(order.account)
    if account is None:
        raise OrderError(f"account: there is no account {order.account!r}")
    check_price(order, account)
    desk.providers[account.provider].check_order(order, account)
    check_fallbacks(order, desk.accounts, lambda one, at: desk.providers[at.provider].check_order(one, at))
    return order, account.provider


def _judge(desk: Desk, fields: object, message: IntakeMessage) -> _Good | Rejection:
    try:
        order, provider = check_order(desk, fields)
    except OrderError as error:
        return _rejection(message, str(error), desk.told(read_refused(fields)))
    except Exception as error:
        log.log(desk.bug_level, "intake.bug", exc_info=True, traceback=True)
        return internal_error(desk, message, error)
    return _Good(_hurried(order, message.expires).traced(message.trace), provider, message)


def _hurried(order: Order, expires: datetime | None) -> Order:
    """The sender's ``expires`` and the order's ``create_before`` mean the same; the earlier one counts."""
    if expires is None or (order.create_before is not None and order.create_before <= expires):
        return order
    return order.model_copy(update={"create_before": expires})


def _take(desk: Desk, judged: Sequence[_Good | Rejection]) -> None:
    good = [one for one in judged if isinstance(one, _Good)]
    rejections = [one for one in judged if isinstance(one, Rejection)]
    if good:
        rejections = _add(desk, good, rejections)
    refuse(desk.store, rejections)


def _add(desk: Desk, good: Sequence[_Good], rejections: Sequence[Rejection] = ()) -> list[Rejection]:
    """Store orders and list ``rejections`` in one transaction; what is left to be listed.

    When that fails for no known reason, or takes too long, one order after the other, to find the one that does it.
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
    refused = []
    for one, result in zip(good, added, strict=True):
        if result.outcome == "refused":
            refused.append(_rejection(one.message, result.reason or "refused", desk.told(_conflict(one, result))))
        else:
            order = {"order_id": one.order.order_id, "account": one.order.account}
            log.info(EVENTS[result.outcome], **order, invoice_id=result.invoice_id, task_id=one.message.task_id)
    return refused


def _add_each(desk: Desk, good: Sequence[_Good], rejections: Sequence[Rejection]) -> list[Rejection]:
    """One order a transaction; what is left to be listed. One that takes too long holds up no other: it raises last.

    Two of them: it is not the order's fault, and the rest would take as long.
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
    except JsonError:  # the guard read this very text; whoever else calls gets the same answer as for no object
        return None


def _part_key(key: str, place: int) -> str:
    return hashlib.sha256(f"{key}:{place}".encode()).hexdigest()


def _conflict(one: _Good, result: Added) -> RefusedOrder:
    order = one.order
    return RefusedOrder(order.account, order.order_id, order.idempotency_key, "conflict", result.invoice_id)


def _rejection(message: IntakeMessage, reason: str, order: RefusedOrder | None = None) -> Rejection:
    turned_away = turn_away(message.text, reason, message.key, task=message.task, fields=message.text)
    return Rejection(
        message.key, turned_away.task, turned_away.reason, turned_away.excerpt, turned_away.complete, order
    )
