"""Celery's tasks: thin. Each waits in place while the database is away, so that messages wait in the broker.

The intake's tasks acknowledge late, and nothing but "the process is stopping" makes one of them fail: Celery would
acknowledge a failed task's message, and a retry with a countdown would fill the worker's memory during an outage.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import structlog
from celery.exceptions import Reject
from celery.signals import worker_shutting_down
from structlog.contextvars import bound_contextvars

from domain.decision import Stage
from workers import wiring
from workers.app import app
from workers.intake import Desk, Interrupted, Letter, cancel_order, internal_error, refuse, take_order, take_orders
from workers.intake_message import CANCEL, CREATE, CREATE_MANY, REJECT, RUN, SWEEP
from workers.store.database import UNAVAILABLE
from workers.store.intake import Rejection

log = structlog.get_logger()

FIRST_DELAY_SECONDS = 0.2
MAX_DELAY_SECONDS = 5.0
REMIND_SECONDS = 10.0

_stopping = threading.Event()


class NotReady(Exception):  # noqa: N818 - reads as what is the matter
    """The process could not be set up: no fault of the message, which waits like for a database that is away."""


@worker_shutting_down.connect(weak=False)
def _stop(**_: Any) -> None:
    _stopping.set()


#: A message that the guard turned away: task, reason, excerpt, complete, key, id.
Refused = tuple[str | None, str, str, bool, str, str]


@app.task(name=CREATE, acks_late=True)
def create(letters: Sequence[tuple[str, str, str | None, str]], refused: Sequence[Refused] = ()) -> None:
    """Orders that came in together, each ``[text, key, expires, id]``; ``text`` is the JSON of its fields.

    ``refused``: what came in with them and is none.
    """
    orders = [Letter(CREATE, text, key, _time(expires), number) for text, key, expires, number in letters]
    _handle(orders, take_order, _rejections(refused))


@app.task(name=CREATE_MANY, bind=True, acks_late=True)
def create_many(self: Any, text: str, key: str, expires: str | None) -> None:
    """Up to 500 orders; a bad one is refused alone."""
    _handle([Letter(CREATE_MANY, text, key, _time(expires), self.request.id)], take_orders)


@app.task(name=CANCEL, bind=True, acks_late=True)
def cancel(self: Any, text: str, key: str, expires: str | None) -> None:
    """A cancellation."""
    letter = Letter(CANCEL, text, key, task_id=self.request.id)
    _handle([letter], lambda desk, letter: cancel_order(desk, letter, _stopping.wait))


@app.task(name=REJECT, acks_late=True)
def reject(messages: Sequence[Refused]) -> None:
    """Lists messages that the guard turned away."""
    _list(_rejections(messages))


def _rejections(messages: Sequence[Refused]) -> list[Rejection]:
    return [Rejection(key, task, reason, excerpt, complete) for task, reason, excerpt, complete, key, _ in messages]


@app.task(name=RUN, acks_late=False)
def run(stage: str, lane: str) -> None:
    """A doorbell: wakes one lane of this process's pump and returns at once."""
    with bound_contextvars(stage=stage, lane=lane):
        wiring.runtime().wake(Stage(stage), lane)


@app.task(name=SWEEP, acks_late=False)
def sweep() -> None:
    """Wakes every lane that has work."""
    wiring.runtime().wake_all()


# --- insisting ----------------------------------------------------------------------------------------------------


def _handle(letters: Sequence[Letter], take: Callable[..., None], refused: Sequence[Rejection] = ()) -> None:
    """Call ``take(desk, *letters, *refused)``; a bug of ours lists a letter instead of losing or repeating it."""
    one = {"task_id": letters[0].task_id} if len(letters) == 1 else {}
    with bound_contextvars(task=letters[0].task, **one):
        try:
            _insist(lambda: take(_desk(), *letters, *refused))
        except Reject:
            raise
        except Interrupted:
            raise Reject("the worker is stopping", requeue=True) from None
        except Exception as error:
            log.exception("intake.bug", letters=len(letters), traceback=True)
            if len(letters) == 1 and not refused:
                _list([internal_error(letters[0], error)])
                return
            for letter in letters:  # one of them does it: taken alone it is listed alone
                _handle([letter], take)
            if refused:
                _list(refused)


def _list(rejections: Sequence[Rejection]) -> None:
    try:
        _insist(lambda: refuse(_desk().store, rejections))
    except Reject:
        raise
    except Exception:
        if len(rejections) > 1:
            for rejection in rejections:
                _list([rejection])
            return
        # What can't be listed is written to the log, whole: the very last place that can hold it.
        (lost,) = rejections
        log.exception("intake.unlisted", reason=lost.reason, excerpt=lost.excerpt, traceback=True)


def _insist(do: Callable[[], None]) -> None:
    """Do it again and again while the database is away. Raises Reject (back to the broker) when the worker stops."""
    delay, since, told = FIRST_DELAY_SECONDS, time.monotonic(), 0.0
    while True:
        try:
            do()
        except (NotReady, *UNAVAILABLE) as error:
            now = time.monotonic()
            if not told or now - told >= REMIND_SECONDS:
                log.warning("store.unavailable", waiting_seconds=round(now - since, 1), error=_first_line(error))
                told = now
            if _stopping.wait(delay):
                raise Reject("the worker is stopping", requeue=True) from None
            delay = min(delay * 2, MAX_DELAY_SECONDS)
        else:
            if told:
                log.info("store.available", waited_seconds=round(time.monotonic() - since, 1))
            return


def _first_line(error: BaseException) -> str:
    """The driver's own words: SQLAlchemy adds the statement and its parameters, which hold the order."""
    return (str(getattr(error, "orig", None) or error).splitlines() or [""])[0][:300]


def _desk() -> Desk:
    try:
        runtime = wiring.runtime()
    except UNAVAILABLE:
        raise
    except Exception as error:
        raise NotReady(f"{type(error).__name__}: {error}") from error
    return Desk(runtime.store, runtime.settings.accounts, runtime.providers)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
