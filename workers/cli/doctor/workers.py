"""Intake, workers and beat: which answer, what each reads, and whether the intake's queue is read at all."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from config.celeryconfig import INTAKE_QUEUE, WORK_QUEUE
from workers.cli.doctor.broker import Watched, watch_queue
from workers.cli.doctor.finding import Finding, counted
from workers.cli.doctor.redis_server import embedded_runs

if TYPE_CHECKING:
    from celery import Celery

    from config.settings import Settings

ANSWER_SECONDS = 2.0
#: Beat sends a sweep every 5 s, as long as the one before it is taken.
BEAT_SECONDS = 8.0
SWEEP = "invoices.sweep"
START = "invoices up"


def check_workers(config: Settings) -> Iterator[Finding]:
    """Processes may run elsewhere, or not yet: that none answers is a note, unless something waits for them."""
    if config.embedded_broker and not embedded_runs(config):
        yield Finding("workers", "note", "none answers, the embedded Valkey is not running", "no_worker", command=START)
        return
    from celery import Celery

    from config.celeryconfig import celery_settings

    if config.remote_control == "off":
        detail = "can't be asked, INVOICES_REMOTE_CONTROL is off: only what waits for them shows how they do"
        yield Finding("workers", "note", detail, "not_asked")
        yield from _tell_queue(replace(watch_queue(config, INTAKE_QUEUE), in_hand=0), {})
        return
    app = Celery(config_source=celery_settings(config), set_as_current=False)
    try:
        reads = _ask_what_they_read(app) or _ask_what_they_read(app)  # a busy one may be late
        sweeps, began = _count_sweeps(app, reads), time.monotonic()
        intake = watch_queue(config, INTAKE_QUEUE)
        found = [*_tell_idle(reads), *_tell_queue(intake, reads), *_tell_missing(reads)]
        yield from found
        if not found:
            yield Finding("workers", "ok", ", ".join(sorted(reads)))
        yield from _tell_beat(app, reads, sweeps, began)
    finally:
        app.close()


def _ask_what_they_read(app: Celery) -> Mapping[str, Sequence[str]]:
    """The queues of each process that answers in time."""
    replies: Mapping[str, Any] = app.control.inspect(timeout=ANSWER_SECONDS).active_queues() or {}
    return {node: [queue["name"] for queue in queues or ()] for node, queues in replies.items() if _is_list(queues)}


def _is_list(answer: object) -> bool:
    """An error comes as something else."""
    return answer is None or isinstance(answer, list)


def _tell_idle(reads: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    idle = sorted(node for node, queues in reads.items() if not queues)
    if idle:
        detail = (
            f"{', '.join(idle)} answers and reads no queue: somebody has told it to (cancel_consumer), or it is just "
            "starting; restart it"
        )
        yield Finding("workers", "wrong", detail, "reads_nothing", count=len(idle))


def _tell_queue(intake: Watched, reads: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    readers = sorted(node for node, queues in reads.items() if INTAKE_QUEUE in queues)
    waiting = counted(intake.waiting, "message waits", "messages wait")
    if intake.waiting and intake.is_taken is False:
        why = (
            f"{', '.join(readers)} should read it and takes none: does it wait for the database? see its log"
            if readers
            else "no process that answers reads it"
        )
        detail = f"{waiting} in {INTAKE_QUEUE} and nobody takes them: {why}"
        yield Finding("queue", "wrong", detail, "unread", count=intake.waiting, command=None if readers else START)
    elif intake.waiting and intake.is_taken is None:
        yield Finding("queue", "note", f"{waiting} in {INTAKE_QUEUE}", "backlog", count=intake.waiting)
    if intake.in_hand and not reads:
        detail = f"{counted(intake.in_hand, 'message is', 'messages are')} in the hands of processes that don't answer"
        yield Finding("queue", "wrong", f"{detail}: start one, it takes them over", "unread", count=intake.in_hand)


def _tell_missing(reads: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Processes that are missing while nothing waits for them yet."""
    if not reads:
        yield Finding("workers", "note", "no process answers: start them", "no_worker", command=START)
        return
    read = {queue for queues in reads.values() for queue in queues}
    names = ", ".join(sorted(reads))
    if not all(reads.values()):  # `_tell_idle` has reported it
        return
    if INTAKE_QUEUE not in read:
        detail = f"no intake answers ({names} do): orders would wait in the broker"
        yield Finding("workers", "note", detail, "no_intake", command=START)
    if WORK_QUEUE not in read:
        detail = f"no worker answers ({names} do): orders would be taken in and not made"
        yield Finding("workers", "note", detail, "no_worker", command=START)


def _count_sweeps(app: Celery, reads: Mapping[str, Sequence[str]]) -> int | None:
    """The sweeps that workers have had so far; None where no worker says."""
    workers = [node for node, queues in reads.items() if WORK_QUEUE in queues]
    if not workers:
        return None
    inspect = app.control.inspect(destination=workers, timeout=ANSWER_SECONDS, limit=len(workers))
    replies: Mapping[str, object] = inspect.stats() or {}
    totals = [reply.get("total") for reply in replies.values() if isinstance(reply, dict)]
    told = [total for total in totals if isinstance(total, dict)]  # empty before its first task
    return sum(int(total.get(SWEEP, 0)) for total in told) if told else None


def _tell_beat(app: Celery, reads: Mapping[str, Sequence[str]], sweeps: int | None, began: float) -> Iterator[Finding]:
    while sweeps is not None:
        now = _count_sweeps(app, reads)
        if now is None or now != sweeps:
            return
        if time.monotonic() - began > BEAT_SECONDS:
            detail = (
                f"no sweep came within {BEAT_SECONDS:.0f} s: no beat runs, and what a lost doorbell told is found later"
            )
            yield Finding("workers", "note", detail, "no_beat", command=START)
            return
        time.sleep(0.5)
