"""Messages that can't be taken are listed as rejected, with the reason."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from domain.refused_order import RefusedOrder
from workers.intake.desk import Desk, IntakeStore, OrderMessage
from workers.intake.message import turn_away
from workers.store.database import UNAVAILABLE
from workers.store.intake import Rejection

log = structlog.get_logger()


class Unlistable(Exception):  # noqa: N818 - reads as what is the matter
    """An order met a bug of ours, and is too long to be listed whole."""


def rejection_of(message: OrderMessage, reason: str, order: RefusedOrder | None = None) -> Rejection:
    """What is listed of a message; ``order``: the refused order that its shop is told of."""
    text, key = message.text, message.key
    away = turn_away(text, reason, key, task=message.task, fields=text)
    return Rejection(key, away.task, away.reason, away.excerpt, away.complete, order)


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
    log_rejected(rejections)


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


def log_rejected(rejections: Sequence[Rejection]) -> None:
    """A line for each."""
    logger = log.bind()  # once: a logger is made anew for each line otherwise
    for rejection in rejections:
        key = rejection.message_key
        logger.warning("message.rejected", task=rejection.task, reason=rejection.reason, message_key=key)


def internal_error(desk: Desk, message: OrderMessage, error: Exception) -> Rejection:
    """The rejection of a message that met a bug of ours: listed, it is neither lost nor tried for ever.

    Raises Unlistable if the list can't hold all of it: the message may be good, and only a whole one can be redriven.
    """
    if not desk.lists_bugs:
        raise error
    rejection = rejection_of(message, f"internal error: {type(error).__name__}")
    if not rejection.complete:
        raise Unlistable(f"{rejection.reason}, and too long for the list") from error
    return rejection
