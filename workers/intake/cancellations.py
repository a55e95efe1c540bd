"""Takes cancellations: the shop gives an order up."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from domain.evidence import CancelRequested
from domain.order import Cancellation, OrderError, parse_cancellation
from workers.intake.desk import Desk, IntakeMessage, IntakeStore
from workers.intake.rejecting import refuse, rejection_of
from workers.store.judging import Judgement

log = structlog.get_logger()

#: A cancellation may overtake its create, which another process is just storing: it waits so long for the invoice.
CANCEL_PATIENCE_SECONDS, CANCEL_STEP_SECONDS = 2.0, 0.1


class Interrupted(Exception):  # noqa: N818 - reads as what happened
    """The process is stopping and the message is not stored: it must go back to the broker."""


def cancel_order(desk: Desk, message: IntakeMessage, wait: Callable[[float], bool]) -> None:
    """``invoices.cancel``. ``wait(seconds)`` returns true when the process is stopping.

    Raises ``UNAVAILABLE``, and Interrupted if the process stops while this waits for the create.
    """
    try:
        cancellation = parse_cancellation(message.fields)
        if cancellation.account not in desk.accounts:
            raise OrderError(f"account: there is no account {cancellation.account!r}")
        invoice_id = _find(desk.store, cancellation, wait)
        _cancel(desk.store, cancellation, invoice_id)
    except OrderError as error:
        refuse(desk.store, [rejection_of(message, str(error))])


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
