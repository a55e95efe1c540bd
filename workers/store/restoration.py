"""After a restore the world is ahead of this database. What follows from that is done here, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, null, select, text, update

from domain.decision import Policy, Stage
from domain.event import RESTORED, format_time, new_id, notice
from domain.evidence import InDoubt
from domain.looks import account_of
from domain.sequence import MAX_EPOCH
from domain.status import Status
from workers.store.bulk import update_rows
from workers.store.database import Database
from workers.store.judging import Judgement, judge
from workers.store.outbox import NewEvent, add_events
from workers.store.positions import begin_epoch
from workers.store.rows import StoredRow
from workers.store.tables import AGENDA, ENDPOINT, EVENT, INVOICE, RESTORATION

#: Invoices judged at a time.
BATCH = 500
#: For the locks: those who write to invoices right now are waited for, and others queue behind.
LOCK_SECONDS = 10
#: How much longer than its account's time-out the lease of a create lasts.
LEASE_MARGIN = timedelta(seconds=10)

WATCHED = (Status.PENDING.value, Status.PARTIALLY_PAID.value, Status.CONFIRMING.value)

DOUBT = "the database was restored: the create may have been made after the backup"
#: What shops are told. Short: a person reads it once.
ADVICE = (
    "The database of invoices was restored from a backup and has forgotten what happened after known_until. What you "
    "were told since then still holds; it may be told again, with other ids and higher sequences. Send orders and "
    "cancellations of that time again, with the same idempotency keys. An order that is created again has a new "
    "address; the one it had may still be paid at the provider, and is not watched here."
)


class EpochsUsedUp(Exception):  # noqa: N818 - reads as what happened
    """No higher epoch is left."""

    def __init__(self) -> None:
        super().__init__(f"epoch {MAX_EPOCH} is the last: sequences can't rise any further")


@dataclass(frozen=True, slots=True)
class Survey:
    """What a restore leaves to be done, before anything is changed."""

    now: datetime
    known_until: datetime | None  #: the newest order or event that this database knows of
    epoch: int
    uncertain: Sequence[StoredRow]  #: invoices whose create may have been sent since the backup
    held: int  #: how many of these will wait for a person; the others are created again
    look_ups: Mapping[str, Sequence[StoredRow]]  #: by account: agenda rows (subject, due_at), the next due first
    unaskable: Mapping[str, int]  #: by account: invoices whose payment nobody can be asked about
    leases: int
    endpoints: int
    disabled: int


def survey(connection: Connection, database: Database, policy_of: Callable[[str], Policy], at_least: int = 1) -> Survey:
    """Read what is to be done; changes nothing. ``at_least``: the lowest epoch to take. Raises EpochsUsedUp."""
    epoch = max(at_least, 1 + (connection.execute(select(func.max(RESTORATION.c.epoch))).scalar_one() or 0))
    if epoch > MAX_EPOCH:
        raise EpochsUsedUp
    leased = select(func.count()).where(AGENDA.c.lease_token.is_not(None))
    endpoints = select(func.count(), func.count(ENDPOINT.c.disabled_at)).select_from(ENDPOINT)
    known, disabled = connection.execute(endpoints).one()
    now = database.now(connection)
    uncertain = _uncertain(connection, policy_of)
    return Survey(
        now=now,
        known_until=_known_until(connection),
        epoch=epoch,
        uncertain=uncertain,
        held=sum(_is_held(row, policy_of, now) for row in uncertain),
        look_ups=_look_ups(connection),
        unaskable=_unaskable(connection),
        leases=connection.execute(leased).scalar_one(),
        endpoints=known,
        disabled=disabled,
    )


def _known_until(connection: Connection) -> datetime | None:
    """Two look-ups by key: rows are numbered nearly in the order of their times."""
    newest = (
        select(INVOICE.c.created_at).order_by(INVOICE.c.id.desc()).limit(1),
        select(EVENT.c.created_at).order_by(EVENT.c.number.desc()).limit(1),
    )
    times = [time for query in newest if (time := connection.execute(query).scalar_one_or_none()) is not None]
    return max(times, default=None)


def _uncertain(connection: Connection, policy_of: Callable[[str], Policy]) -> list[StoredRow]:
    """Queued invoices, and those in doubt that may have been created again since: where doubt is held but an operator
    may have had it retried, or where a search had found nothing.

    Not parked ones: taken up again, they count as lost calls anyway.
    """
    found = (
        select(
            *(INVOICE.c.id, INVOICE.c.provider_account, INVOICE.c.status, INVOICE.c.create_before),
            *(INVOICE.c.doubts, INVOICE.c.sought),
        )
        .join(AGENDA, (AGENDA.c.stage == Stage.CREATE.value) & (AGENDA.c.subject == INVOICE.c.id))
        .where(INVOICE.c.status.in_((Status.QUEUED.value, Status.IN_DOUBT.value)), AGENDA.c.due_at.is_not(None))
        .order_by(INVOICE.c.id)
    )
    return [
        row
        for row in connection.execute(found)
        if row.status == Status.QUEUED or row.sought == row.doubts or policy_of(row.provider_account).on_doubt == "hold"
    ]


def _is_held(row: StoredRow, policy_of: Callable[[str], Policy], now: datetime) -> bool:
    """As ``lifecycle`` will judge it."""
    too_late = row.create_before is not None and row.create_before <= now
    return too_late or policy_of(row.provider_account).on_doubt == "hold"


def _look_ups(connection: Connection) -> dict[str, list[StoredRow]]:
    rows = (
        select(AGENDA.c.lane, AGENDA.c.subject, AGENDA.c.due_at)
        .where(AGENDA.c.stage == Stage.CHECK.value, AGENDA.c.due_at.is_not(None))
        .order_by(AGENDA.c.due_at, AGENDA.c.subject)
    )
    found: dict[str, list[StoredRow]] = {}
    for row in connection.execute(rows):
        found.setdefault(account_of(row.lane), []).append(row)
    return found


def _unaskable(connection: Connection) -> dict[str, int]:
    """Open invoices without a planned look-up: their provider can't be asked, or not by what is known of them."""
    planned = (AGENDA.c.stage == Stage.CHECK.value) & (AGENDA.c.subject == INVOICE.c.id)
    counted = (
        select(INVOICE.c.provider_account, func.count())
        .outerjoin(AGENDA, planned)
        .where(INVOICE.c.status.in_(WATCHED), AGENDA.c.subject.is_(None))
        .group_by(INVOICE.c.provider_account)
        .order_by(INVOICE.c.provider_account)
    )
    return dict(map(tuple, connection.execute(counted)))


def restore(
    connection: Connection,
    database: Database,
    policy_of: Callable[[str], Policy],
    pace_of: Callable[[str], float],
    at_least: int = 1,
) -> tuple[Survey, str]:
    """Do it. Returns what was found, and the id of the event that tells of it. ``pace_of`` an account: seconds between
    its look-ups, so that they don't all come at once. ``at_least``: the lowest epoch to take; a database that is gone
    may have used lower ones. Raises EpochsUsedUp.

    Harmless if repeated, and while workers run: one that holds a create's lease keeps it.
    """
    _lock(connection, database)
    found = survey(connection, database, policy_of, at_least)
    connection.execute(RESTORATION.insert().values(epoch=found.epoch, at=found.now))
    begin_epoch(connection, found.epoch)
    _end_leases(connection, found.now, policy_of)
    _doubt(connection, database, policy_of, found.uncertain)
    _look_soon(connection, found, pace_of)
    return found, _tell(connection, database, found)


def _lock(connection: Connection, database: Database) -> None:
    """Judging locks invoices first, then reads the epoch: once we have the table locked, nobody is between the two, and
    whoever waits for it will read the new epoch. Readers go on. On SQLite nobody else writes anyway."""
    if not database.is_postgresql:
        return
    for name, milliseconds in (("lock_timeout", LOCK_SECONDS * 1000), ("statement_timeout", 0)):
        connection.execute(text("SELECT set_config(:name, :value, true)"), {"name": name, "value": str(milliseconds)})
    connection.execute(text("LOCK TABLE invoice, agenda IN EXCLUSIVE MODE"))


def _end_leases(connection: Connection, now: datetime, policy_of: Callable[[str], Policy]) -> None:
    """Leases from before the restore have no holders. Only a create must not be done twice: one may be under way if a
    worker runs already, so its lease goes on, for no longer than such a lease can last from now."""
    leased = AGENDA.c.lease_token.is_not(None)
    create = AGENDA.c.stage == Stage.CREATE.value
    free = {"lease_token": null()}
    connection.execute(update(AGENDA).where(leased, ~create).values(due_at=now, claims=0, **free))
    connection.execute(update(AGENDA).where(leased, create, AGENDA.c.due_at <= now).values(**free))
    lanes = connection.execute(select(AGENDA.c.lane).where(leased, create).distinct()).scalars().all()
    for lane in sorted(lanes):
        end = now + timedelta(seconds=policy_of(account_of(lane)).timeout_seconds) + LEASE_MARGIN
        rows = leased, create, AGENDA.c.lane == lane, AGENDA.c.due_at > end
        connection.execute(update(AGENDA).where(*rows).values(due_at=end))


def _doubt(
    connection: Connection, database: Database, policy_of: Callable[[str], Policy], uncertain: Sequence[StoredRow]
) -> None:
    """A second create might bill twice: the account's policy decides, as after any lost answer."""
    for start in range(0, len(uncertain), BATCH):
        batch = [Judgement(row.id, InDoubt(reason=DOUBT)) for row in uncertain[start : start + BATCH]]
        judge(connection, database, policy_of, batch)


def _look_soon(connection: Connection, found: Survey, pace_of: Callable[[str], float]) -> None:
    """Spread each account's look-ups from now on, in their present order, none later than it was planned."""
    moved = [
        {"stage": Stage.CHECK.value, "subject": row.subject, "due_at": soon}
        for lane, rows in found.look_ups.items()
        for place, row in enumerate(rows)
        if (soon := found.now + timedelta(seconds=place * pace_of(lane))) < row.due_at
    ]
    for start in range(0, len(moved), BATCH):
        update_rows(connection, AGENDA, ("stage", "subject"), moved[start : start + BATCH])


def _tell(connection: Connection, database: Database, found: Survey) -> str:
    """Write one event, which every endpoint and the stream get."""
    event_id = new_id("evt")
    data = {
        "epoch": found.epoch,
        "at": format_time(found.now),
        "known_until": None if found.known_until is None else format_time(found.known_until),
        "advice": ADVICE,
    }
    body = notice(event_id, RESTORED, found.now, data)
    add_events(connection, [NewEvent.of_no_invoice(event_id, RESTORED, body)], found.now)
    return event_id
