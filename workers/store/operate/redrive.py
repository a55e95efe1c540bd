"""Retries what waits for a person: rejected messages, and parked rows, which ended whoever took them up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, case, select, update

from domain.decision import Stage
from domain.looks import account_of
from workers.store.acts import Act, Actor, Deed, record
from workers.store.database import Database
from workers.store.invoice_locks import STAGES
from workers.store.pairs import pair_of
from workers.store.queries import list_rejected, mark_redriven, rejected_by_id
from workers.store.rows import StoredRow
from workers.store.store import Store
from workers.store.tables import AGENDA

INTAKE_TASKS = ("invoices.create", "invoices.create_many", "invoices.cancel")
PARKED_BATCH = 500  #: rows per transaction

#: Sends a task's name and its message's text to the queue; returns once the broker has it.
Send = Callable[[str, str], object]


class NoSuchMessage(LookupError):  # noqa: N818 - reads as what happened
    """No rejected message has one of these numbers."""

    def __init__(self, ids: Sequence[int]) -> None:
        super().__init__(f"there is no rejected message {', '.join(map(str, ids))}")


@dataclass(frozen=True, slots=True)
class SentAgain:
    """What came of one message. ``why``: why it can't be sent."""

    message_id: int
    sent: bool
    why: str | None = None


def send_again(store: Store, actor: Actor, ids: Sequence[int] | None, send: Send) -> Iterator[SentAgain]:
    """Send rejected messages again as they were, these or all that wait. Raises NoSuchMessage before the first.

    The act is recorded first: whatever ends this process, nothing is sent without a record. A message counts as waiting
    until the broker has it, so it may be sent twice; repeats are harmless.
    """
    for row in _chosen(store.database, ids):
        why = _why_not(row)
        if why is None:
            deed = Deed(
                act=Act.SEND_AGAIN,
                message_id=row.id,
                before={"sent_again_at": row.redriven_at},
                after={"task": row.task},
            )
            with store.database.transaction() as connection:
                record(connection, store.database, actor, [deed])
            send(row.task, row.excerpt)
            with store.database.transaction() as connection:
                mark_redriven(connection, row.message_key, store.database.now(connection))
        yield SentAgain(row.id, why is None, why)


def unpark(store: Store, actor: Actor) -> int:
    """Make every parked agenda row due, a batch per transaction. Returns how many.

    A row whose holders were lost still counts as lost: a create that may have been sent must not be repeated blindly.
    """
    total = 0
    while True:
        with store.database.transaction() as connection:
            count = unpark_some(connection, store.database, actor, PARKED_BATCH)
        total += count
        if count < PARKED_BATCH:
            return total


def unpark_some(connection: Connection, database: Database, actor: Actor, limit: int) -> int:
    """One batch of ``unpark``."""
    rows = connection.execute(
        select(AGENDA.c.stage, AGENDA.c.subject, AGENDA.c.lane, AGENDA.c.claims)
        .where(AGENDA.c.due_at.is_(None))
        .order_by(AGENDA.c.stage, AGENDA.c.subject)
        .limit(limit)
        .with_for_update()
    ).all()
    now = database.now(connection)
    for stage in sorted({row.stage for row in rows}):
        subjects = [row.subject for row in rows if row.stage == stage]
        connection.execute(
            update(AGENDA)
            .where(AGENDA.c.stage == stage, AGENDA.c.subject.in_(subjects))
            .values(due_at=now, claims=case((AGENDA.c.claims > 0, 1), else_=0))
        )
    record(connection, database, actor, [_unparked(row) for row in rows])
    return len(rows)


def _unparked(row: StoredRow) -> Deed:
    """The act names what the row is about: an invoice, an endpoint's events of one, or a callback."""
    endpoint_id, delivered = pair_of(row.subject) if row.stage == Stage.DELIVER else (None, None)
    return Deed(
        act=Act.UNPARK,
        invoice_id=row.subject if row.stage in STAGES else delivered or None,
        endpoint_id=endpoint_id,
        account=account_of(row.lane) if row.stage in {Stage.CREATE, Stage.CHECK, Stage.CALLBACK} else None,
        callback_id=int(row.subject) if row.stage == Stage.CALLBACK else None,
        before={"stage": row.stage, "parked": True, "claims": row.claims},
        after={"parked": False},
    )


def _chosen(database: Database, ids: Sequence[int] | None) -> list[StoredRow]:
    if ids is None:
        # One that was sent again and rejected again is in the list as a new message.
        return list(list_rejected(database, limit=0, waiting=True))[::-1]
    rows = list(database.read(rejected_by_id, ids))
    missing = sorted(set(ids) - {row.id for row in rows})
    if missing:
        raise NoSuchMessage(missing)
    return rows


def _why_not(row: StoredRow) -> str | None:
    if not row.complete:
        return "only its beginning was kept: send the order again from where it came"
    if row.task not in INTAKE_TASKS:
        return f"it names no task of ours ({row.task})"
    return None
