"""Webhooks on their way: the oldest unfinished delivery of each (endpoint, invoice), and what came of each attempt."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, Unpack

from sqlalchemy import Column, ColumnElement, Connection, Executable, func, literal_column, select, update

from domain.decision import Stage
from workers.store import agenda, places
from workers.store.agenda import Claim, Lost
from workers.store.bulk import (
    SHORT_WAIT,
    How,
    Locks,
    execute_keyed,
    execute_numbered,
    insert_rows,
    key_rows,
    keyed,
    locking,
    numbered,
    update_rows,
)
from workers.store.database import Database
from workers.store.outbox import ClaimedDelivery, held_pairs
from workers.store.pairs import pair_of, subject_of
from workers.store.patience import Patience
from workers.store.rows import BINARY, PairRow, Query
from workers.store.storable import storable
from workers.store.tables import AGENDA, ATTEMPT, DELIVERY, ENDPOINT, EVENT

#: An endpoint that took nothing for this long, and let an event use up its tries, is disabled; its events wait.
HOPELESS_AFTER = timedelta(hours=120)

#: How the reason begins where an endpoint was disabled by no person: see ``_hopeless``, and a 410.
BY_ITSELF = ("no success for ", "status: 410", "gone")

#: Written out, not bound: the planner has to see that the partial indexes of these rows will do.
DUE: ColumnElement[str] = literal_column("'due'")
DEAD: ColumnElement[str] = literal_column("'dead'")

_PAIR = ("endpoint_id", "invoice_id")
_DELIVER = Stage.DELIVER.value


class DeliveryAttempt(NamedTuple):
    """What came of one attempt. ``wait_seconds`` until the next; None with outcome failed: the tries are used up."""

    delivery: ClaimedDelivery
    outcome: Literal["delivered", "failed", "gone"]
    error: str | None = None
    status: int | None = None
    latency_ms: int = 0
    answer: bytes | None = None
    wait_seconds: float | None = None


def load(connection: Connection, claims: Sequence[Claim]) -> list[ClaimedDelivery]:
    """The oldest unfinished delivery of each claimed pair, with the event's bytes."""
    rows = execute_keyed(connection, _claimed, _PAIR, [pair_of(claim.subject) for claim in claims]).all()
    found = {
        # ``changed_at`` only if it is due as planned with its event: a replay or a re-enabled endpoint moves
        # ``due_at``.
        subject_of((endpoint, invoice)): (number, event, body, tries, sequence, None if tries or due_at != at else at)
        for number, endpoint, invoice, tries, sequence, due_at, event, body, at in rows
    }
    return [
        ClaimedDelivery(claim, *found[claim.subject]) if claim.subject in found else ClaimedDelivery(claim, None)
        for claim in claims
    ]


@functools.cache
def _claimed(dialect: str) -> Executable:
    names = ("id", "endpoint_id", "invoice_id", "tries", "sequence", "next_try_at")
    query = _oldest(dialect, *(DELIVERY.c[name] for name in names), EVENT.c.id, EVENT.c.body, EVENT.c.created_at)
    return query.join(EVENT, EVENT.c.number == DELIVERY.c.event_number).execution_options(**{BINARY: True})


@functools.cache
def _next_tries(dialect: str) -> Executable:
    return _oldest(dialect, DELIVERY.c.endpoint_id, DELIVERY.c.invoice_id, DELIVERY.c.next_try_at)


def _oldest(dialect: str, *columns: Column[object]) -> Query:
    """Columns of the oldest unfinished delivery of each pair: two look-ups in ix_delivery_next for each, however many
    events wait."""
    pair = key_rows(dialect, _PAIR)
    waiting = DELIVERY.alias("waiting")
    oldest = (
        select(func.min(waiting.c.sequence))
        .where(waiting.c.endpoint_id == pair.c.endpoint_id, waiting.c.invoice_id == pair.c.invoice_id)
        .where(waiting.c.state == DUE)
        .scalar_subquery()
    )
    of_pair = (DELIVERY.c.endpoint_id == pair.c.endpoint_id) & (DELIVERY.c.invoice_id == pair.c.invoice_id)
    first = (DELIVERY.c.state == DUE) & (DELIVERY.c.sequence == oldest)
    return select(*columns).select_from(pair.join(DELIVERY, of_pair & first))


#: How long a webhook rests whose receiver answered 410, which disables the endpoint. By then every worker knows that,
#: and sends it nothing; enabling the endpoint makes all that waits due at once.
GONE_REST = timedelta(seconds=10)


def settle(
    connection: Connection, database: Database, attempts: Sequence[DeliveryAttempt], locks: Locks = "wait"
) -> set[str]:
    """Write down what came of attempts, and point each pair at its next delivery. Returns the endpoints with work now.

    The agenda rows are locked first, and what is next is read in a second statement: so it sees an event that was
    committed during the attempt (its writer waits for this lock, or this for the writer's).
    """
    attempts = sorted(attempts, key=lambda attempt: attempt.delivery.claim.subject)
    rows = lock_pairs(connection, database, {attempt.delivery.claim.subject for attempt in attempts}, locks)
    now = database.now(connection)
    _write_attempts(connection, attempts, now, locks)
    _disable(connection, {a.delivery.claim.lane: a.error or "gone" for a in attempts if a.outcome == "gone"}, now)
    _disable(connection, _hopeless(connection, {a.delivery.claim.lane for a in attempts if _exhausted(a)}, now), now)
    claims = [attempt.delivery.claim for attempt in attempts]
    held = {one.subject: row for one in claims if (row := rows.get(one.subject)) and row.lease_token == one.token}
    return point_at_next(connection, held, now)


def free_attempts(connection: Connection, attempts: Sequence[DeliveryAttempt]) -> list[DeliveryAttempt]:
    """Those of these attempts that can be settled at once: nobody else has a lock on what they change. This transaction
    locks it, and waits only shortly for other locks."""
    connection.execute(SHORT_WAIT)
    held = held_pairs(connection, {pair_of(attempt.delivery.claim.subject) for attempt in attempts})
    attempts = [attempt for attempt in attempts if pair_of(attempt.delivery.claim.subject) not in held]
    ids = {attempt.delivery.delivery_id for attempt in attempts if attempt.delivery.delivery_id is not None}
    there = set(execute_numbered(connection, _delivery_ids, ids).scalars())
    there -= _lock_deliveries(connection, ids, "skip").keys()
    return [attempt for attempt in attempts if attempt.delivery.delivery_id not in there]


@functools.cache
def _delivery_ids(dialect: str) -> Executable:
    return select(DELIVERY.c.id).where(numbered(dialect, DELIVERY.c.id))


def lock_pairs(
    connection: Connection, database: Database, subjects: Collection[str], locks: Locks = "wait"
) -> dict[str, PairRow]:
    """Agenda rows of pairs by subject, locked in the same order by all; one that is missing is left out.

    Each has its ``lease_token``, and whether it is ``parked``.
    """
    keys = [(_DELIVER, subject) for subject in sorted(subjects)]
    found = execute_keyed(connection, locking(_locked_rows, locks), ("stage", "subject"), keys)
    return {row.subject: row for row in found.all()}


@functools.cache
def _locked_rows(dialect: str, **how: Unpack[How]) -> Executable:
    parked = AGENDA.c.due_at.is_(None).label("parked")
    rows = select(AGENDA.c.subject, AGENDA.c.lease_token, parked, places.place(dialect))
    rows = rows.where(keyed(dialect, AGENDA.c.stage, AGENDA.c.subject))
    return rows.order_by(AGENDA.c.subject).with_for_update(**how)


def _write_attempts(
    connection: Connection, attempts: Sequence[DeliveryAttempt], now: datetime, locks: Locks = "wait"
) -> None:
    """Nothing is written of deliveries that were removed, with their endpoint for example."""
    sent = [attempt for attempt in attempts if attempt.delivery.delivery_id is not None]
    if not sent:
        return
    found = _lock_deliveries(connection, {attempt.delivery.delivery_id or 0 for attempt in sent}, locks)
    rows: list[dict[str, object]] = []
    changed: dict[int, dict[str, object]] = {}
    for attempt in sorted(sent, key=lambda attempt: attempt.delivery.delivery_id or 0):
        number = attempt.delivery.delivery_id or 0
        row = found.get(number)
        if row is None or not row.is_of(attempt.delivery):
            continue
        next_try_at = _next_try_at(attempt, now)
        rows.append(_attempt_row(attempt, now, next_try_at))
        if _counts(attempt, row.state, row.tries):
            row = found[number] = _Locked(*row[:4], _state(attempt, next_try_at), row.tries + 1)
            finished_at = None if row.state == "due" else now
            changed[number] = {"id": number, "state": row.state, "tries": row.tries, "finished_at": finished_at}
            changed[number]["next_try_at"] = now + GONE_REST if attempt.outcome == "gone" else next_try_at
    insert_rows(connection, ATTEMPT, rows)
    update_rows(connection, DELIVERY, ("id",), list(changed.values()))


def _attempt_row(attempt: DeliveryAttempt, now: datetime, next_try_at: datetime | None) -> dict[str, object]:
    return {
        "delivery_id": attempt.delivery.delivery_id,
        "at": now,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "latency_ms": attempt.latency_ms,
        "answer": attempt.answer,
        "error": None if attempt.error is None else storable(attempt.error),
        "next_try_at": next_try_at,
    }


class _Locked(NamedTuple):
    """A delivery as it is under its lock."""

    id: int
    endpoint_id: str
    invoice_id: str
    sequence: int
    state: str
    tries: int

    def is_of(self, delivery: ClaimedDelivery) -> bool:
        """Whether it is the one that was claimed, not another that got its id since."""
        subject = subject_of((self.endpoint_id, self.invoice_id))
        return subject == delivery.claim.subject and self.sequence == delivery.sequence


def _lock_deliveries(connection: Connection, ids: Collection[int], locks: Locks) -> dict[int, _Locked]:
    """These deliveries, by id. The caller holds their pairs' locks; a replay's are taken here."""
    rows = execute_numbered(connection, locking(_locked_deliveries, locks), ids).all()
    return {row.id: _Locked._make(row) for row in rows}


@functools.cache
def _locked_deliveries(dialect: str, **how: Unpack[How]) -> Executable:
    columns = select(*(DELIVERY.c[name] for name in _Locked._fields))
    return columns.where(numbered(dialect, DELIVERY.c.id)).order_by(DELIVERY.c.id).with_for_update(**how)


def _counts(attempt: DeliveryAttempt, state: str, tries: int) -> bool:
    """Whether an attempt changes its delivery. A success always does, even of a dead letter or under a lost lease. A
    failure does only under the count it began with: a replay, or enabling the endpoint, gives all attempts again."""
    if state == "due" and tries == attempt.delivery.tries:
        return True
    return attempt.outcome == "delivered" and state != "delivered"


def _next_try_at(attempt: DeliveryAttempt, now: datetime) -> datetime | None:
    if attempt.outcome == "delivered" or attempt.wait_seconds is None:
        return None
    return now + timedelta(seconds=attempt.wait_seconds)


def _state(attempt: DeliveryAttempt, next_try_at: datetime | None) -> str:
    """Where the endpoint is gone, it is disabled: the event stays due until it is enabled again."""
    if attempt.outcome == "delivered":
        return "delivered"
    return "dead" if attempt.outcome == "failed" and next_try_at is None else "due"


def _exhausted(attempt: DeliveryAttempt) -> bool:
    return attempt.outcome == "failed" and attempt.wait_seconds is None


def _hopeless(connection: Connection, endpoints: set[str], now: datetime) -> dict[str, str]:
    """Of endpoints with an exhausted event, those that took none for HOPELESS_AFTER and are older than that."""
    since = now - HOPELESS_AFTER
    reason = f"no success for {HOPELESS_AFTER.total_seconds() / 3600:.0f} h, and an event whose tries are used up"
    found = {}
    for endpoint in sorted(endpoints):
        taken = select(DELIVERY.c.id).where(
            DELIVERY.c.endpoint_id == endpoint, DELIVERY.c.state == "delivered", DELIVERY.c.finished_at > since
        )
        young = select(ENDPOINT.c.id).where(ENDPOINT.c.id == endpoint, ENDPOINT.c.created_at > since)
        taken = taken.order_by(DELIVERY.c.event_number.desc())  # by the index, the likeliest one first
        if connection.execute(taken.limit(1)).first() is None and connection.execute(young).first() is None:
            found[endpoint] = reason
    return found


def _disable(connection: Connection, reasons: dict[str, str], now: datetime) -> None:
    for endpoint, reason in sorted(reasons.items()):
        connection.execute(
            update(ENDPOINT)
            .where(ENDPOINT.c.id == endpoint, ENDPOINT.c.disabled_at.is_(None))
            .values(disabled_at=now, disabled_reason=storable(reason))
        )


def point_at_next(connection: Connection, rows: Mapping[str, PairRow], now: datetime) -> set[str]:
    """Point each pair's row at its oldest unfinished delivery; without one, remove it. The caller has these rows
    locked, and nobody else has them leased.

    Returns the endpoints that have work now.
    """
    if not rows:
        return set()
    tries = execute_keyed(connection, _next_tries, _PAIR, [pair_of(subject) for subject in sorted(rows)]).all()
    due = {subject_of((one.endpoint_id, one.invoice_id)): one.next_try_at or now for one in tries}
    places.remove(connection, {(_DELIVER, subject): row for subject, row in rows.items() if subject not in due})
    stay = [{"stage": _DELIVER, "subject": subject, "due_at": time} for subject, time in sorted(due.items())]
    free = {"lease_token": None, "claims": 0, "pokes": 0}
    update_rows(connection, AGENDA, ("stage", "subject"), [row | free for row in stay])
    return {pair_of(subject)[0] for subject, time in due.items() if time <= now}


def settle_free(
    database: Database, patience: Patience, attempts: Sequence[DeliveryAttempt]
) -> tuple[set[str], list[DeliveryAttempt]]:
    """Settle attempts in a transaction of their own, except those whose rows somebody else keeps locked.

    Returns the endpoints that have work now, and the attempts that were left, to be brought again.
    """

    def settle_all(locks: Locks) -> tuple[set[str], list[DeliveryAttempt]]:
        with database.transaction() as connection:
            return settle(connection, database, attempts, locks), []

    def settle_some() -> tuple[set[str], list[DeliveryAttempt]]:
        with database.transaction() as connection:
            free = free_attempts(connection, attempts)
            endpoints = settle(connection, database, free)
        taken = {id(one) for one in free}
        return endpoints, [one for one in attempts if id(one) not in taken]

    return patience.at_once(settle_all, settle_some)


def claim(
    connection: Connection, database: Database, endpoint: str, limit: int, lease_seconds: float, lost: Lost
) -> list[ClaimedDelivery]:
    """Lease due webhooks of an endpoint, with what is to be sent."""
    claims = agenda.claim(connection, database, Stage.DELIVER, endpoint, limit, lease_seconds, lost)
    return load(connection, claims) if claims else []
