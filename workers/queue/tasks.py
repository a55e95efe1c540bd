"""Celery's tasks: thin. Each waits in place while the database is away, so that messages wait in the broker.

The intake's tasks acknowledge late, and only what is stored, listed, or kept in the queue of the unstored. They fail
only when the process is stopping: retries with a countdown would fill the worker's memory during an outage. If a bug
makes one fail all the same, its bundle sets its messages aside (``workers.queue.batches``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import structlog
from celery.exceptions import Reject
from celery.signals import worker_ready, worker_shutting_down
from structlog.contextvars import bound_contextvars

from domain.decision import Stage
from domain.order import OrderError
from domain.refused_order import RefusedOrder
from workers import bootstrap
from workers.app import app
from workers.intake.cancellations import Interrupted, cancel_order
from workers.intake.desk import Desk, IntakeMessage, OrderMessage
from workers.intake.message import (
    CANCEL,
    CREATE,
    CREATE_MANY,
    INTAKE_TASKS,
    REJECT,
    RUN,
    SWEEP,
    Accepted,
    AcceptedOrder,
)
from workers.intake.orders import split, take_order, take_orders
from workers.intake.rejecting import internal_error, refuse
from workers.intake.telling import Telling
from workers.intake.unstored import RAW, NotReady, describe, unwrap
from workers.store.database import UNAVAILABLE, first_line, may_be_its_own
from workers.store.intake import Rejection

if TYPE_CHECKING:
    from celery import Task
    from celery.worker import WorkController

log = structlog.get_logger()

FIRST_DELAY_SECONDS = 0.2
MAX_DELAY_SECONDS = 5.0
REMIND_SECONDS = 10.0
#: Messages that may themselves be the reason why the database takes too long are tried in place for this long; then
#: they make room for others.
PATIENCE_SECONDS = 60.0

_stopping = bootstrap.stopping()
_telling = Telling()

#: For tasks whose messages must not be lost: a failed one goes to its bundle's ``reject`` and is not acknowledged.
LATE: dict[str, bool] = {"acks_late": True, "acks_on_failure": False, "acks_on_timeout": False}


@worker_shutting_down.connect(weak=False)
def _stop(**_: object) -> None:
    _stopping.set()


@worker_ready.connect(weak=False)
def _look_after_the_unstored(sender: WorkController, **_: object) -> None:
    """A process that reads the intake queue also tries the unstored messages again."""
    if app.conf.task_default_queue in sender.app.amqp.queues.consume_from:
        run = bootstrap.unstored().run
        threading.Thread(target=run, args=(try_again, _stopping), name="unstored", daemon=True).start()


@app.task(name=CREATE, **LATE)
def create(messages: Sequence[Accepted], refused: Sequence[Accepted] = ()) -> None:
    """Orders that came in together, and messages that came in with them and were turned away."""
    _handle([*messages, *refused])


@app.task(name=CREATE_MANY, bind=True, **LATE)
def create_many(self: Task, text: str, key: str, expires: str | None, trace: str | None = None) -> None:
    """Up to 500 orders; a bad one is refused alone."""
    _handle([Accepted(CREATE_MANY, self.request.id, [text, key, expires, *([trace] if trace else [])])])


@app.task(name=CANCEL, bind=True, **LATE)
def cancel(self: Task, text: str, key: str, expires: str | None) -> None:
    """A cancellation."""
    _handle([Accepted(CANCEL, self.request.id, [text, key, expires])])


@app.task(name=REJECT, **LATE)
def reject(messages: Sequence[Accepted]) -> None:
    """Lists messages that the guard rejected."""
    _handle(messages)


@app.task(name=RUN, acks_late=False)
def run(stage: str, lane: str) -> None:
    """A doorbell: wakes one lane of this process's pump and returns at once."""
    with bound_contextvars(stage=stage, lane=lane):
        bootstrap.runtime().wake(Stage(stage), lane)


@app.task(name=SWEEP, acks_late=False)
def sweep() -> None:
    """Wakes every lane that has work."""
    bootstrap.runtime().wake_all()


# --- taking -------------------------------------------------------------------------------------------------------


def _handle(calls: Sequence[Accepted]) -> None:
    """Store, list or keep all; if that fails, each alone. Raises Reject when the worker stops."""
    one = {"task_id": calls[0].id} if len(calls) == 1 else {}
    with bound_contextvars(task=calls[0].task, **one):
        try:
            if len(calls) > 1:
                _insist(lambda: _take(_desk(), calls), PATIENCE_SECONDS)
            else:
                _insist(lambda: store_or_list(calls[0]), PATIENCE_SECONDS)
        except Reject:
            raise
        except Exception as error:
            log.exception("intake.bug", messages=len(calls), traceback=True)
            parts = calls if len(calls) > 1 else _parts(calls[0])
            if len(parts) > 1:
                for call in parts:  # one of them is the reason: only that one will be kept
                    _handle_alone(call)
            else:
                _keep(calls[0], error)


def _handle_alone(call: Accepted) -> None:
    try:
        _insist(lambda: store_or_list(call))
    except Reject:
        raise
    except Exception as error:  # noqa: BLE001 - logged where it is kept
        _keep(call, error)


def _keep(call: Accepted, error: Exception) -> None:
    if not bootstrap.unstored().insist_on_keeping([call], describe(error), _stopping.wait):
        raise Reject("the worker is stopping", requeue=True)


def store_or_list(call: Accepted) -> None:
    """Try once to store a message, or to list it with its reason. Raises the error that stops both."""
    try:
        _take(_desk(), [call])
    except (Reject, NotReady, *UNAVAILABLE):
        raise
    except Exception as error:
        log.exception("intake.bug", traceback=True)
        if call.task not in INTAKE_TASKS:
            raise
        desk = _desk()
        refuse(desk.store, [internal_error(desk, _intake_message(call), error)])


def try_again(call: Accepted) -> None:
    """Try once more to store a kept message, or to list it because it can't be used. Raises the error that stops both.

    Each order of a ``create_many`` is tried, and the last failure is raised. An order that meets a bug again is not
    listed for it: the bug may be fixed tomorrow.
    """
    call = unwrap(call) if call.task == RAW else call
    if call.task in {RUN, SWEEP}:  # a doorbell: the work is found without it
        return
    desk, failure = replace(_desk(), lists_bugs=False), None
    for part in _parts(call):
        try:
            _take(desk, [part])
        except (NotReady, *UNAVAILABLE):
            raise
        except Exception as error:  # noqa: BLE001 - raised below, when those after it are stored
            failure = error
    if failure is not None:
        raise failure


def _parts(call: Accepted) -> list[Accepted]:
    if call.task != CREATE_MANY:
        return [call]
    try:
        messages = split(_intake_message(call))
    except OrderError:  # it is listed as a whole
        return [call]
    return [Accepted(CREATE, call.id, [part.text, part.key, *call.arguments[2:]]) for part in messages]


def _take(desk: Desk, calls: Sequence[Accepted]) -> None:
    """Try once: one call, or several of the tasks that share bundles. Raises Reject when the worker stops."""
    first = calls[0]
    if first.task == CREATE_MANY:
        take_orders(desk, _intake_message(first))
    elif first.task == CANCEL:
        try:
            cancel_order(desk, _intake_message(first), _stopping.wait)
        except Interrupted:
            raise Reject("the worker is stopping", requeue=True) from None
    else:
        take_order(desk, *[_rejection(desk, call) if call.task == REJECT else _order(call) for call in calls])


def _order(call: Accepted) -> OrderMessage:
    return call if isinstance(call, AcceptedOrder) else _intake_message(call)


def _intake_message(call: Accepted) -> IntakeMessage:
    text, key, expires, *trace = call.arguments
    return IntakeMessage(call.task, text, key, _time(expires), call.id, trace[0] if trace else None)


def _rejection(desk: Desk, call: Accepted) -> Rejection:
    task, reason, excerpt, complete, key, *more = call.arguments  # messages kept by an earlier release name no order
    order = RefusedOrder(*more[0]) if more and more[0] else None
    return Rejection(key, task, reason, excerpt, complete, desk.told(order))


# --- insisting ----------------------------------------------------------------------------------------------------


def _insist(do: Callable[[], None], patience_seconds: float = 0.0) -> None:
    """Repeat it while the database is away. Raises Reject (back to the broker) when the worker stops.

    An error that the message itself may cause (``may_be_its_own``) is raised after ``patience_seconds``.
    """
    delay, since, told = FIRST_DELAY_SECONDS, time.monotonic(), 0.0
    while True:
        try:
            do()
        except (NotReady, *UNAVAILABLE) as error:
            now = time.monotonic()
            if may_be_its_own(error) and now - since >= patience_seconds:
                raise
            if not told or now - told >= REMIND_SECONDS:
                log.warning("store.unavailable", waiting_seconds=round(now - since, 1), error=first_line(error))
                told = now
            if _stopping.wait(delay):
                raise Reject("the worker is stopping", requeue=True) from None
            delay = min(delay * 2, MAX_DELAY_SECONDS)
        else:
            if told:
                log.info("store.available", waited_seconds=round(time.monotonic() - since, 1))
            return


def _desk() -> Desk:
    try:
        runtime = bootstrap.runtime()
    except UNAVAILABLE:
        raise
    except Exception as error:
        raise NotReady(f"{type(error).__name__}: {error}") from error
    return Desk(
        runtime.store,
        runtime.settings.accounts,
        runtime.providers,
        may_tell=_telling.may_tell,
        tracer=runtime.traces.tracer,
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
