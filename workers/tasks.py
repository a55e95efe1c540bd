"""Celery's tasks: thin. Each waits in place while the database is away, so that messages wait in the broker.

The intake's tasks acknowledge late, and nothing but "the process is stopping" makes one of them fail: Celery would
acknowledge a failed task's message, and a retry with a countdown would fill the worker's memory during an outage.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
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


@app.task(name=CREATE, bind=True, acks_late=True)
def create(self: Any, text: str, key: str, expires: str | None) -> None:
    """One order; ``text`` is the JSON of its fields."""
    _handle(self, Letter(CREATE, text, key, _time(expires)), take_order)


@app.task(name=CREATE_MANY, bind=True, acks_late=True)
def create_many(self: Any, text: str, key: str, expires: str | None) -> None:
    """Up to 500 orders; a bad one is refused alone."""
    _handle(self, Letter(CREATE_MANY, text, key, _time(expires)), take_orders)


@app.task(name=CANCEL, bind=True, acks_late=True)
def cancel(self: Any, text: str, key: str, expires: str | None) -> None:
    """A cancellation."""
    _handle(self, Letter(CANCEL, text, key), lambda desk, letter: cancel_order(desk, letter, _stopping.wait))


@app.task(name=REJECT, bind=True, acks_late=True)
def reject(self: Any, task: str | None, reason: str, excerpt: str, complete: bool, key: str) -> None:
    """Lists a message that the guard turned away; only the guard calls this."""
    with bound_contextvars(task_id=self.request.id):
        _list(Rejection(key, task, reason, excerpt, complete))


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


def _handle(task: Any, letter: Letter, take: Callable[[Desk, Letter], None]) -> None:
    """Take a letter; a bug of ours puts it on the list of rejected messages instead of losing or repeating it."""
    with bound_contextvars(task_id=task.request.id, task=letter.task):
        try:
            _insist(lambda: take(_desk(), letter))
        except Reject:
            raise
        except Interrupted:
            raise Reject("the worker is stopping", requeue=True) from None
        except Exception as error:
            log.exception("intake.bug", traceback=True)
            _list(internal_error(letter, error))


def _list(rejection: Rejection) -> None:
    try:
        _insist(lambda: refuse(_desk().store, [rejection]))
    except Reject:
        raise
    except Exception:
        # What can't be listed is written to the log, whole: the very last place that can hold it.
        log.exception("intake.unlisted", reason=rejection.reason, excerpt=rejection.excerpt, traceback=True)


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
