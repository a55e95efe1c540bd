"""A replay as a job: begun by one process, done batch by batch by any."""

from __future__ import annotations

from sqlalchemy import Connection

from domain.decision import Stage
from workers.store.acts import Actor, record
from workers.store.endpoints import find_endpoint
from workers.store.job_leases import DONE, RUNNING
from workers.store.operate.replay import Job, deed_of, plan, plan_one, send
from workers.store.replay import BATCH, Choice, Chosen, choose, find_event
from workers.store.replay_jobs import (
    ReplayJob,
    add_job,
    finish_job,
    lock_job,
    new_job_id,
    note_progress,
    take_job,
)
from workers.store.store import Store

GONE = "the endpoint is gone"


def begin(store: Store, actor: Actor, choice: Choice, event_id: str | None = None) -> ReplayJob:
    """Write down what is to be sent. Raises ValueError for a wrong choice, NoSuchEndpoint, NoSuchEvent, NotForEndpoint,
    TooManyEvents."""
    found = _plan(store, choice, event_id)
    numbers = [event.number for event in found.events] or [0]
    database = store.database
    with database.transaction() as connection:
        now = database.now(connection)
        job = ReplayJob(
            id=new_job_id(),
            choice=choice,
            event_id=event_id,
            actor=actor,
            state=RUNNING if found.events else DONE,
            total=len(found.events),
            sent=0,
            done_number=numbers[0] - 1,
            last_number=numbers[-1],
            why=None,
            created_at=now,
            finished_at=None if found.events else now,
        )
        add_job(connection, now, job)
    return job


def work_on(store: Store) -> bool:
    """Do the next job that nobody works on, to its end; False: there is none. May raise ``UNAVAILABLE``: then a later
    call goes on where it stopped."""
    job = take_job(store.database)
    if job is None:
        return False
    while _do_batch(store, job.id):
        pass
    return True


def _plan(store: Store, choice: Choice, event_id: str | None) -> Job:
    if event_id is None:
        return plan(store, choice)
    (job,) = plan_one(store, event_id, choice.endpoint_id, dead_only=choice.dead_only)
    return job


def _do_batch(store: Store, job_id: str) -> bool:
    """One transaction; False: the job is over."""
    database = store.database
    with database.transaction() as connection:
        job = lock_job(connection, job_id)
        if job is None or job.state != RUNNING:
            return False
        if find_endpoint(connection, job.endpoint_id) is None:
            finish_job(connection, database.now(connection), job_id, GONE)
            return False
        events = _next_events(connection, job)
        sent, aside = send(connection, database, job.choice, events) if events else (0, 0)
        if sent or aside:
            deed = deed_of(job.choice, job.event_id, job.total, events, sent, aside)
            record(connection, database, job.actor, [deed])
        now, is_over = database.now(connection), len(events) < BATCH
        done_number = job.last_number if is_over else events[-1].number
        note_progress(connection, now, job_id, job.sent + sent, done_number)
        if is_over:
            finish_job(connection, now, job_id)
    store.ring({(Stage.DELIVER, job.endpoint_id)})
    return not is_over


def _next_events(connection: Connection, job: ReplayJob) -> list[Chosen]:
    if job.event_id is not None:
        event = find_event(connection, job.event_id)
        return [] if event is None else [event]
    return choose(connection, job.choice, numbers=(job.done_number, job.last_number), limit=BATCH)
