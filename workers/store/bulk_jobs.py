"""Acts on everything that matches a filter, as jobs: their rows, and how far each is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from domain.event import new_id
from domain.exact_json import read_json, write_json
from domain.money import format_amount
from domain.status import Status
from workers.store.acts import LONGEST_REASON, Actor
from workers.store.database import Database
from workers.store.job_leases import DONE, FAILED, KEPT, PAUSED, RUNNING, STOPPED, lease_end, take
from workers.store.operate.invoices import Mark
from workers.store.reads.selection import Selection
from workers.store.rows import StoredRow
from workers.store.storable import storable
from workers.store.tables import BULK, BULK_FAILURE
from workers.store.tables.columns import LONGEST_NAME, LONGEST_ORIGIN

CANCEL, RECHECK, CREATE_AGAIN, MARK, REPLAY = "cancel", "recheck", "create_again", "mark", "replay"
KINDS = (CANCEL, RECHECK, CREATE_AGAIN, MARK, REPLAY)
#: The first failures stand in the job's own row, at most this many; all of them in rows of their own.
MOST_FAILURES = 50


class Lost(Exception):  # noqa: N818 - reads as what happened
    """The job was stopped, or somebody else works on it: what was done in this transaction is taken back."""


@dataclass(frozen=True, slots=True)
class Deal:
    """What is to be done; for a mark: as what, for a replay: to whom."""

    kind: str
    mark: Mark | None = None
    endpoint_id: str | None = None
    newest_only: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """How far a job is. ``failures``: the first ones, each with its invoice, order and reason."""

    done: int = 0
    skipped: int = 0
    failed: int = 0
    events: int = 0
    cursor: str | None = None
    failures: Sequence[tuple[str, str, str]] = ()

    @property
    def dealt_with(self) -> int:
        return self.done + self.skipped + self.failed

    def plus(self, other: Tally) -> Tally:
        """With a batch's."""
        return Tally(
            self.done + other.done,
            self.skipped + other.skipped,
            self.failed + other.failed,
            self.events + other.events,
            other.cursor,
            [*self.failures, *other.failures][:MOST_FAILURES],
        )


@dataclass(frozen=True, slots=True)
class BulkJob:
    """A job as it is kept. ``more``: there were more invoices than ``foreseen`` counted."""

    id: str
    deal: Deal
    selection: Selection
    query: str
    actor: Actor
    state: str
    foreseen: int
    more: bool
    created_at: datetime
    tally: Tally = field(default_factory=Tally)
    why: str | None = None
    finished_at: datetime | None = None
    lease_token: str | None = None

    def is_within(self, accounts: Collection[str] | None) -> bool:
        """Whether whoever sees only these accounts (None: all) sees the job."""
        return accounts is None or (self.selection.accounts is not None and self.selection.accounts <= set(accounts))


def new_job_id() -> str:
    """``job_`` and what follows."""
    return new_id("job")


def add_job(connection: Connection, now: datetime, job: BulkJob) -> None:
    """Write a new job; those that were finished long ago go."""
    _remove_old(connection, now)
    reason = job.actor.reason
    values = {
        "id": job.id,
        "kind": job.deal.kind,
        "selection": write_json(_selection_fields(job.selection)),
        "query": storable(job.query),
        "options": write_json(_option_fields(job.deal)),
        "by": storable(job.actor.name)[:LONGEST_NAME],
        "origin": storable(job.actor.origin)[:LONGEST_ORIGIN],
        "reason": None if reason is None else storable(reason)[:LONGEST_REASON],
        "state": job.state,
        "foreseen": job.foreseen,
        "more": int(job.more),
        "created_at": job.created_at,
        "worked_at": job.created_at,
        "finished_at": job.finished_at,
    }
    connection.execute(insert(BULK).values(values | _tally_fields(job.tally)))


def find_job(connection: Connection, job_id: str) -> BulkJob | None:
    """The job with this id."""
    row = connection.execute(select(BULK).where(BULK.c.id == job_id)).one_or_none()
    return None if row is None else job_of(row)


def take_job(database: Database) -> BulkJob | None:
    """The job that has waited longest among those that nobody works on. It is ours for a while."""
    token = new_id("job")[4:]
    row = take(database, BULK, "worked_at", lease_token=token)
    return None if row is None else replace(job_of(row), lease_token=token)


def _remove_old(connection: Connection, now: datetime) -> None:
    old = select(BULK.c.id).where(BULK.c.state != RUNNING, BULK.c.finished_at < now - KEPT)
    connection.execute(delete(BULK_FAILURE).where(BULK_FAILURE.c.job_id.in_(old)))
    connection.execute(delete(BULK).where(BULK.c.id.in_(old)))


def note_batch(
    connection: Connection,
    now: datetime,
    job: BulkJob,
    tally: Tally,
    *,
    is_over: bool,
    failures: Sequence[tuple[str, str, str]] = (),
) -> None:
    """Write how far the job is, and keep it for a while longer, in the transaction of what was done. ``failures``: this
    batch's. Raises Lost."""
    values = _tally_fields(tally) | {"worked_at": now, "leased_until": lease_end(now)}
    if is_over:
        values |= {"state": DONE, "finished_at": now, "leased_until": None}
    _change_ours(connection, job, values)
    first = job.tally.failed + 1
    rows = [
        {"job_id": job.id, "number": number, "invoice_id": invoice_id, "order_id": order_id, "why": storable(why)}
        for number, (invoice_id, order_id, why) in enumerate(failures, first)
    ]
    if rows:
        connection.execute(insert(BULK_FAILURE), rows)


def failures_of(connection: Connection, job_id: str, after: int, limit: int) -> Sequence[StoredRow]:
    """A job's failures after this number, in their order."""
    behind = select(BULK_FAILURE).where(BULK_FAILURE.c.job_id == job_id, BULK_FAILURE.c.number > after)
    return connection.execute(behind.order_by(BULK_FAILURE.c.number).limit(limit)).all()


def fail_job(connection: Connection, now: datetime, job: BulkJob, why: str) -> None:
    """End a job that can't go on. Raises Lost."""
    _change_ours(connection, job, {"state": FAILED, "why": why, "finished_at": now, "leased_until": None})


def let_go(connection: Connection, job: BulkJob) -> None:
    """Leave a job to whoever comes next. Raises Lost."""
    _change_ours(connection, job, {"leased_until": None, "lease_token": None})


def stop_job(connection: Connection, now: datetime, job_id: str) -> bool:
    """End a job for good; False: it is over already. A batch under way is taken back."""
    return _change_state(connection, job_id, (RUNNING, PAUSED), state=STOPPED, finished_at=now, leased_until=None)


def pause_job(connection: Connection, job_id: str) -> bool:
    """Have a job wait until it is resumed; False: it does not run. A batch under way is taken back."""
    return _change_state(connection, job_id, (RUNNING,), state=PAUSED, leased_until=None, lease_token=None)


def resume_job(connection: Connection, job_id: str) -> bool:
    """Have a job go on where it was; False: it is not paused."""
    return _change_state(connection, job_id, (PAUSED,), state=RUNNING)


def _change_state(connection: Connection, job_id: str, states: Sequence[str], **values: object) -> bool:
    of_state = BULK.c.id == job_id, BULK.c.state.in_(states)
    return bool(connection.execute(update(BULK).where(*of_state).values(values)).rowcount)


def _change_ours(connection: Connection, job: BulkJob, values: Mapping[str, object]) -> None:
    ours = BULK.c.id == job.id, BULK.c.state == RUNNING, BULK.c.lease_token == job.lease_token
    if connection.execute(update(BULK).where(*ours).values(dict(values))).rowcount != 1:
        raise Lost(job.id)


def job_of(row: StoredRow) -> BulkJob:
    """A job from its row."""
    options, failures = read_json(row.options), read_json(row.failures)
    status, amount = options["status"], options["amount"]
    marked = None if status is None else Mark(Status(status), None if amount is None else Decimal(amount))
    tally = Tally(row.done, row.skipped, row.failed, row.events, row.cursor, [tuple(one) for one in failures])
    return BulkJob(
        id=row.id,
        deal=Deal(row.kind, marked, options["endpoint"], options["newest_only"]),
        selection=_selection(read_json(row.selection)),
        query=row.query,
        actor=Actor(row.by, row.origin, row.reason),
        state=row.state,
        foreseen=row.foreseen,
        more=bool(row.more),
        created_at=row.created_at,
        tally=tally,
        why=row.why,
        finished_at=row.finished_at,
        lease_token=row.lease_token,
    )


def _option_fields(deal: Deal) -> dict[str, object]:
    amount = None if deal.mark is None or deal.mark.amount is None else format_amount(deal.mark.amount)
    return {
        "status": None if deal.mark is None else deal.mark.status.value,
        "amount": amount,
        "endpoint": deal.endpoint_id,
        "newest_only": deal.newest_only,
    }


def _tally_fields(tally: Tally) -> dict[str, object]:
    counts = {name: getattr(tally, name) for name in ("done", "skipped", "failed", "events", "cursor")}
    return counts | {"failures": write_json([list(one) for one in tally.failures])}


def _selection_fields(chosen: Selection) -> dict[str, object]:
    return {
        "statuses": list(chosen.statuses),
        "anomalies": list(chosen.anomalies),
        "accounts": None if chosen.accounts is None else sorted(chosen.accounts),
        "assets": list(chosen.assets),
        "name": chosen.name,
        "since": None if chosen.since is None else chosen.since.isoformat(),
        "until": None if chosen.until is None else chosen.until.isoformat(),
        "needs_person": chosen.needs_person,
    }


def _selection(fields: Mapping[str, Any]) -> Selection:
    times = [None if fields[name] is None else datetime.fromisoformat(fields[name]) for name in ("since", "until")]
    return Selection(
        statuses=tuple(fields["statuses"]),
        anomalies=tuple(fields["anomalies"]),
        accounts=None if fields["accounts"] is None else frozenset(fields["accounts"]),
        assets=tuple(fields["assets"]),
        name=fields["name"],
        since=times[0],
        until=times[1],
        needs_person=fields["needs_person"],
    )
