"""Replays as jobs: what is to be sent once more, and how far that has come, written with the job's row locked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from domain.event import format_time, new_id
from domain.exact_json import read_json, write_json
from workers.store.acts import Actor
from workers.store.database import Database
from workers.store.job_leases import DONE, FAILED, KEPT, RUNNING, lease_end, take
from workers.store.replay import Choice
from workers.store.rows import StoredRow
from workers.store.storable import storable
from workers.store.tables import JOB
from workers.store.tables.columns import LONGEST_NAME, LONGEST_ORIGIN


@dataclass(frozen=True, slots=True)
class ReplayJob:
    """A job as it is kept. Events up to ``done_number`` are done, ``last_number`` is its last event."""

    id: str
    choice: Choice
    event_id: str | None
    actor: Actor
    state: str
    total: int
    sent: int
    done_number: int
    last_number: int
    why: str | None
    created_at: datetime
    finished_at: datetime | None

    @property
    def endpoint_id(self) -> str:
        """Where it sends to."""
        return self.choice.endpoint_id


def add_job(connection: Connection, now: datetime, job: ReplayJob) -> None:
    """Write a new job, and remove those that were finished long ago."""
    connection.execute(delete(JOB).where(JOB.c.state != RUNNING, JOB.c.finished_at < now - KEPT))
    choice = job.choice
    kept = {
        "types": list(choice.types),
        "since": None if choice.since is None else choice.since.isoformat(),
        "until": None if choice.until is None else choice.until.isoformat(),
        "dead_only": choice.dead_only,
        "missed_only": choice.missed_only,
        "newest_only": choice.newest_only,
    }
    names = ("id", "endpoint_id", "event_id", "state", "total", "sent", "done_number", "last_number", "created_at")
    actor = {"by": storable(job.actor.name)[:LONGEST_NAME], "origin": storable(job.actor.origin)[:LONGEST_ORIGIN]}
    rest = {"choice": write_json(kept), "reason": job.actor.reason, "finished_at": job.finished_at}
    connection.execute(insert(JOB).values({name: getattr(job, name) for name in names} | actor | rest))


def new_job_id() -> str:
    """``rpl_`` and a UUID."""
    return new_id("rpl")


def find_job(connection: Connection, job_id: str) -> ReplayJob | None:
    """The job with this id."""
    row = connection.execute(select(JOB).where(JOB.c.id == job_id)).one_or_none()
    return None if row is None else job_of(row)


def take_job(database: Database) -> ReplayJob | None:
    """Lease the oldest job that nobody works on."""
    row = take(database, JOB)
    return None if row is None else job_of(row)


def lock_job(connection: Connection, job_id: str) -> ReplayJob | None:
    """The job as it is now; nobody else can change it until this transaction ends."""
    row = connection.execute(select(JOB).where(JOB.c.id == job_id).with_for_update()).one_or_none()
    return None if row is None else job_of(row)


def note_progress(connection: Connection, now: datetime, job_id: str, sent: int, done_number: int) -> None:
    """Write how far it has come, and renew its lease."""
    _change(connection, job_id, {"sent": sent, "done_number": done_number, "leased_until": lease_end(now)})


def finish_job(connection: Connection, now: datetime, job_id: str, why: str | None = None) -> None:
    """End it; ``why``: where it failed."""
    _change(connection, job_id, {"state": DONE if why is None else FAILED, "why": why, "finished_at": now})


def job_fields(job: ReplayJob) -> dict[str, object]:
    """A job as JSON."""
    return {
        "id": job.id,
        "endpoint": job.endpoint_id,
        "event": job.event_id,
        "state": job.state,
        "events": job.total,
        "sent": job.sent,
        "why": job.why,
        "created_at": format_time(job.created_at),
        "finished_at": None if job.finished_at is None else format_time(job.finished_at),
    }


def _change(connection: Connection, job_id: str, values: dict[str, object]) -> None:
    connection.execute(update(JOB).where(JOB.c.id == job_id).values(values))


def job_of(row: StoredRow) -> ReplayJob:
    """A job from its row."""
    kept = read_json(row.choice)
    since, until = (None if kept[name] is None else datetime.fromisoformat(kept[name]) for name in ("since", "until"))
    # Jobs of the release before say nothing of the last two.
    only = kept["dead_only"], kept.get("missed_only", False), kept.get("newest_only", False)
    return ReplayJob(
        id=row.id,
        choice=Choice(row.endpoint_id, tuple(kept["types"]), since, until, *only),
        event_id=row.event_id,
        actor=Actor(row.by, row.origin, row.reason),
        state=row.state,
        total=row.total,
        sent=row.sent,
        done_number=row.done_number,
        last_number=row.last_number,
        why=row.why,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
