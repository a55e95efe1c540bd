"""Acts on everything that matches a filter: begun by whoever asks, done batch by batch by whoever has the time.

A batch is one transaction: what is done, the acts that tell of it, and how far the job is. Whoever is killed has done
all of it or nothing, and whoever loses the job's lease meanwhile takes back what it did: nothing is done twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog
from sqlalchemy import Connection

from domain.decision import Stage
from domain.marks import is_contradiction
from domain.status import Status
from workers.store.acts import Act, Actor, Deed, Values, record
from workers.store.bulk_jobs import (
    CANCEL,
    CREATE_AGAIN,
    MARK,
    RECHECK,
    REPLAY,
    BulkJob,
    Deal,
    Lost,
    Tally,
    add_job,
    fail_job,
    find_job,
    let_go,
    new_job_id,
    note_batch,
    pause_job,
    resume_job,
    stop_job,
    take_job,
)
from workers.store.database import UNAVAILABLE
from workers.store.endpoints import find_endpoint
from workers.store.job_leases import RUNNING
from workers.store.operate.invoices import Done, do_to_many
from workers.store.reads.selection import COUNTED, Selection, choose, matching, rows_of
from workers.store.replay import choose_of_invoices, replay
from workers.store.store import Store

log = structlog.get_logger()

#: Invoices a transaction.
BATCH = 50
#: After so long another job has its turn.
TURN_SECONDS = 5.0
GONE = "the endpoint is gone"
#: Their acts on one invoice.
ACTS = {CANCEL: Act.CANCEL, RECHECK: Act.RECHECK, CREATE_AGAIN: Act.CREATE_AGAIN, MARK: Act.MARK}


class NothingMatches(ValueError):  # noqa: N818 - reads as what happened
    """No invoice matches the filter."""


class _Left(Exception):  # noqa: N818 - reads as what happened
    """Some of a batch have to be left out, so what was done is taken back. ``gone`` no longer match. For ``against``
    the mark would be a contradiction, and everybody would be told of it."""

    def __init__(self, gone: set[str], against: Sequence[Done]) -> None:
        super().__init__(f"{len(gone) + len(against)} invoices")
        self.gone = gone
        self.against = against


def begin(store: Store, actor: Actor, deal: Deal, selection: Selection, query: str) -> BulkJob:
    """Write down what is to be done. What comes after this moment is not in it. Raises NothingMatches."""
    database = store.database
    with database.transaction() as connection:
        now = database.now(connection)
        until = now if selection.until is None else min(selection.until, now)
        chosen = replace(selection, until=until)
        found = choose(connection, chosen, limit=COUNTED + 1)
        if not found.ids and found.looked_to is None:
            raise NothingMatches
        job = BulkJob(
            id=new_job_id(),
            deal=deal,
            selection=chosen,
            query=query,
            actor=actor,
            state=RUNNING,
            foreseen=min(len(found.ids), COUNTED),
            more=len(found.ids) > COUNTED or found.looked_to is not None,
            created_at=now,
        )
        add_job(connection, now, job)
        record(connection, database, actor, [_deed(Act.BEGIN_JOB, job)])
    return job


def stop(store: Store, actor: Actor, job_id: str) -> bool:
    """It does no more; False: it is over already."""
    database = store.database
    with database.transaction() as connection:
        changed = stop_job(connection, database.now(connection), job_id)
        return changed and _told(store, connection, actor, Act.STOP_JOB, job_id)


def pause(store: Store, actor: Actor, job_id: str) -> bool:
    """Have a job wait until it is resumed; False: it does not run."""
    with store.database.transaction() as connection:
        return pause_job(connection, job_id) and _told(store, connection, actor, Act.PAUSE_JOB, job_id)


def resume(store: Store, actor: Actor, job_id: str) -> bool:
    """Have a job go on where it was, with whoever has the time; False: it is not paused."""
    with store.database.transaction() as connection:
        return resume_job(connection, job_id) and _told(store, connection, actor, Act.RESUME_JOB, job_id)


def _told(store: Store, connection: Connection, actor: Actor, act: Act, job_id: str) -> bool:
    job = find_job(connection, job_id)
    if job is not None:
        record(connection, store.database, actor, [_deed(act, job)])
    return True


def work_on(store: Store, is_stopping: Callable[[], bool] = lambda: False) -> bool:
    """Work for a turn on the job that has waited longest; False: there is none. Raises ``UNAVAILABLE``: the job is then
    taken up again where it was left, once its lease is over."""
    job = take_job(store.database)
    if job is None:
        return False
    began = time.monotonic()
    try:
        while (following := do_batch(store, job)) is not None:
            job = following
            if is_stopping() or time.monotonic() - began > TURN_SECONDS:
                with store.database.transaction() as connection:
                    let_go(connection, job)
                break
    except Lost:
        log.info("bulk.lost", job=job.id)
    return True


def do_batch(store: Store, job: BulkJob) -> BulkJob | None:
    """Deal with the next invoices that match now. Returns the job as it is then; None: it is over. Raises Lost."""
    read = store.database.read
    chosen = read(choose, job.selection, before=job.tally.cursor, limit=BATCH)
    cursor = chosen.ids[-1] if len(chosen.ids) >= BATCH else chosen.looked_to
    batch = _Batch(store, job, cursor)
    try:
        return batch.do(chosen.ids)
    except (Lost, *UNAVAILABLE):
        raise
    except Exception:
        log.exception("bulk.bug", job=job.id, traceback=True)
    return batch.do_each(chosen.ids)


class _Batch:
    """Some invoices of a job. ``cursor``: where the job goes on after them; None: it is over then."""

    def __init__(self, store: Store, job: BulkJob, cursor: str | None) -> None:
        self._store = store
        self._database = store.database
        self._job = job
        self._cursor = cursor

    def do(self, ids: Sequence[str], cursor: str | None = None, *, is_last: bool = True) -> BulkJob | None:
        """All of them in one transaction."""
        at = self._cursor if is_last else cursor
        if self._job.deal.kind == REPLAY:
            return self._replay(ids, at)
        left, apart = list(ids), Tally()
        while True:
            try:
                return self._act(left, apart, at)
            except _Left as out:
                failed = len(out.against)
                apart = apart.plus(Tally(skipped=len(out.gone), failed=failed, failures=self._told(out.against)))
                outside = out.gone | {one.invoice_id for one in out.against}
                left = [one for one in left if one not in outside]

    def do_each(self, ids: Sequence[str]) -> BulkJob | None:
        """One by one: something about one of them can't be done at all."""
        job: BulkJob | None = self._job
        for place, one in enumerate(ids, start=1):
            is_last = place == len(ids)
            try:
                job = self.do([one], one, is_last=is_last)
            except (Lost, *UNAVAILABLE):
                raise
            except Exception as error:
                log.exception("bulk.bug", job=self._job.id, invoice=one, traceback=True)
                job = self._give_up(one, type(error).__name__, self._cursor if is_last else one)
            if job is None:
                return None
            self._job = job
        return job

    def _act(self, ids: Sequence[str], apart: Tally, cursor: str | None) -> BulkJob | None:
        job = self._job
        after: list[BulkJob | None] = []
        if not ids:
            with self._database.transaction() as connection:
                return self._note(connection, apart, cursor)

        def beside(connection: Connection, done: list[Done]) -> None:
            gone = {one.invoice_id for one in done if not _matched(job.selection, one)}
            gone |= set(ids) - {one.invoice_id for one in done}
            against = [one for one in done if one.invoice_id not in gone and _contradicts(job.deal, one)]
            if gone or against:
                raise _Left(gone, against)
            failed = [one for one in done if not one.done]
            batch = Tally(len(done) - len(failed), failed=len(failed), failures=self._told(failed, connection))
            after[:] = [self._note(connection, apart.plus(batch), cursor)]

        act, said = ACTS[job.deal.kind], {"job": job.id}
        do_to_many(self._store, job.actor, act, ids, beside, request=job.deal.mark, said=said)
        return after[0]

    def _told(self, failed: Sequence[Done], connection: Connection | None = None) -> list[tuple[str, str, str]]:
        ids = [one.invoice_id for one in failed]
        rows = rows_of(connection, ids) if connection is not None else self._database.read(rows_of, ids)
        orders = {row.id: row.order_id for row in rows}
        return [
            (one.invoice_id, orders.get(one.invoice_id, ""), one.why or f"it is {one.status_before}") for one in failed
        ]

    def _replay(self, ids: Sequence[str], cursor: str | None) -> BulkJob | None:
        job, endpoint_id = self._job, self._job.deal.endpoint_id or ""
        with self._database.transaction() as connection:
            if find_endpoint(connection, endpoint_id) is None:
                fail_job(connection, self._database.now(connection), job, GONE)
                return None
            still = matching(connection, job.selection, ids)
            newest_only = job.deal.newest_only
            events = choose_of_invoices(connection, endpoint_id, still, newest_only=newest_only) if still else []
            sent = replay(connection, self._database, endpoint_id, events) if events else 0
            if sent:
                told: Values = {"job": job.id, "events": sent, "invoices": len({one.invoice_id for one in events})}
                deed = Deed(act=Act.REPLAY, endpoint_id=endpoint_id, after=told)
                record(connection, self._database, job.actor, [deed])
            batch = Tally(done=len(still), skipped=len(ids) - len(still), events=sent)
            following = self._note(connection, batch, cursor)
        self._store.ring({(Stage.DELIVER, endpoint_id)})
        return following

    def _give_up(self, invoice_id: str, why: str, cursor: str | None) -> BulkJob | None:
        with self._database.transaction() as connection:
            orders = [row.order_id for row in rows_of(connection, [invoice_id])]
            failure = (invoice_id, "".join(orders), f"our fault: {why}")
            return self._note(connection, Tally(failed=1, failures=[failure]), cursor)

    def _note(self, connection: Connection, batch: Tally, cursor: str | None) -> BulkJob | None:
        """Write how far the job is, in the transaction. Returns it as it is then; None: it is over."""
        job, is_over = self._job, cursor is None
        tally = replace(job.tally.plus(batch), cursor=cursor)
        if is_over and not job.more:  # those that were foreseen and never came up
            missing = max(job.foreseen - tally.dealt_with, 0)
            tally = replace(tally, skipped=tally.skipped + missing)
        now, failures = self._database.now(connection), batch.failures
        note_batch(connection, now, job, tally, is_over=is_over, failures=failures)
        return None if is_over else replace(job, tally=tally)


def _matched(selection: Selection, done: Done) -> bool:
    """As it was found under its lock; nothing else of the filter changes in an invoice that is not being paid."""
    return not selection.statuses or done.status_before in selection.statuses


def _contradicts(deal: Deal, done: Done) -> bool:
    return deal.mark is not None and is_contradiction(Status(done.status_before), deal.mark.status)


def _deed(act: Act, job: BulkJob) -> Deed:
    told: Values = {
        "job": job.id,
        "kind": job.deal.kind,
        "filter": job.query,
        "invoices": job.foreseen if not job.more else f"more than {job.foreseen}",
        "marked_as": None if job.deal.mark is None else job.deal.mark.status.value,
        "newest_only": job.deal.newest_only or None,
        "done": job.tally.done or None,
    }
    after = {name: value for name, value in told.items() if value is not None}
    return Deed(act=act, endpoint_id=job.deal.endpoint_id, after=after)
