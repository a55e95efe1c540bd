"""What the store's suite shares: orders, invoices on their way, threads that must end, rows as they stand."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select, text

from domain.decision import Policy, Stage
from domain.event import new_id
from domain.evidence import Created, Seen
from domain.order import Order, parse_order
from domain.status import Status
from workers.store.acts import Actor
from workers.store.agenda import Claim
from workers.store.database import Database
from workers.store.endpoints import NewEndpoint, add_endpoint
from workers.store.judging import Judgement, Outcome
from workers.store.operate import endpoints as operated
from workers.store.store import Store
from workers.store.tables import AGENDA, ATTEMPT, DELIVERY, EVENT, EVIDENCE, INVOICE

#: Who does by hand what a test does by hand.
OPERATOR = Actor("alice", "tests", "to see what happens")

ACCOUNT = "zeroxhost"  #: its provider can be asked
SILENT_ACCOUNT = "nebulox"  #: its provider can't
DEADLINE_SECONDS = 120.0
LONG_AGO = timedelta(days=1)


def policy(**fields: Any) -> Policy:
    """An account's policy, polling each half minute, watching for late payments for a day."""
    given: dict[str, Any] = {
        "lifetime_minutes": Decimal(60),
        "timeout_seconds": 10,
        "on_doubt": "retry",
        "poll_seconds": 30,
        "hold_refused_minutes": Decimal(10),
        "monitor_minutes": Decimal(1440),
        "can_be_asked": True,
    }
    return Policy(**(given | fields))


POLICIES = {ACCOUNT: policy(), SILENT_ACCOUNT: policy(can_be_asked=False, on_doubt="hold")}


class HandClock:
    """A host's clock that is moved by hand."""

    def __init__(self, time: datetime) -> None:
        self.time = time

    def now(self) -> datetime:
        return self.time


def open_store(database: Database, rung: list[tuple[Stage, str]] | None = None) -> Store:
    """A store over a database; the lanes it rings are appended to ``rung``."""
    return Store(database, POLICIES, (rung if rung is not None else []).append)


def order(order_id: str = "1001", **fields: Any) -> Order:
    """A valid order of the askable account."""
    return parse_order({"account": ACCOUNT, "order_id": order_id, "price": "10.50", "currency": "EUR"} | fields)


def take(store: Store, *orders: Order) -> list[str]:
    """The ids of newly queued invoices."""
    added = store.add_orders([(given, given.account) for given in orders])
    assert [result.outcome for result in added] == ["accepted"] * len(orders), added
    return [result.invoice_id for result in added if result.invoice_id]


def queue(store: Store, account: str = ACCOUNT, **fields: Any) -> str:
    """One queued invoice of an order nobody else has."""
    return take(store, order(new_id("order"), account=account, **fields))[0]


def created(**fields: Any) -> Created:
    """A create's answer with a reference of its own."""
    return Created(**({"provider_ref": new_id("ref")} | fields))


def pend(store: Store, count: int = 1, *, account: str = ACCOUNT, **fields: Any) -> list[str]:
    """Invoices that the provider has made; ``fields`` are the answer's."""
    ids = take(store, *(order(new_id("order"), account=account) for _ in range(count)))
    outcomes = store.judge([Judgement(invoice_id, created(**fields)) for invoice_id in ids])
    assert {outcome.status for outcome in outcomes} == {"pending"}
    return ids


def seen(word: str, **fields: Any) -> Seen:
    """What a look-up found."""
    return Seen(status=Status(word), word=word, **fields)


def judge(store: Store, invoice_id: str, evidence: Any, claim: Claim | None = None) -> Outcome:
    """One piece of evidence."""
    return store.judge([Judgement(invoice_id, evidence, claim)])[0]


def writer(database: Database, ids: list[str], seed: int, finished: list[int]) -> Callable[[], None]:
    """For a thread: it gives all these invoices one status after the other, and then its seed to ``finished``."""

    def write() -> None:
        dice, store = random.Random(seed), open_store(database)
        try:
            for word in ("confirming", "pending", "paid", "refunded"):
                for one in dice.sample(ids, len(ids)):
                    judge(store, one, seen(word))
        finally:
            finished.append(seed)

    return write


def claim_one(store: Store, stage: Stage, lane: str = ACCOUNT, lease_seconds: float = 60.0) -> Claim:
    """The only row that a lane has due."""
    (claim,) = store.claim(stage, lane, 10, lease_seconds)
    return claim


def disable_endpoint(database: Database, endpoint_id: str, reason: str = "by hand") -> None:
    """As an operator does."""
    assert operated.disable(open_store(database), OPERATOR, endpoint_id, reason)


def enable_endpoint(database: Database, endpoint_id: str) -> int | None:
    """As an operator does; how many invoices' events waited."""
    return operated.enable(open_store(database), OPERATOR, endpoint_id)


def remove_endpoint(database: Database, endpoint_id: str) -> int | None:
    """As an operator does; how many deliveries went."""
    return operated.remove(open_store(database), OPERATOR, endpoint_id)


def subscribe(database: Database, events: list[str] | None = None) -> str:
    """A webhook's receiver."""
    endpoint_id = new_id("ep")
    with database.transaction() as connection:
        new = NewEndpoint("https://shop.example/hook", "sealed", events)
        add_endpoint(connection, endpoint_id, new, database.now(connection))
    return endpoint_id


def rows(database: Database, table: Any, *conditions: Any) -> list[Any]:
    """A table's rows in the order of its primary key."""
    with database.reading() as connection:
        return list(connection.execute(select(table).where(*conditions).order_by(*table.primary_key.columns)))


def invoice_of(database: Database, invoice_id: str) -> Any:
    """An invoice as it stands."""
    return rows(database, INVOICE, INVOICE.c.id == invoice_id)[0]


def agenda_of(database: Database, subject: str) -> dict[str, Any]:
    """What is planned for an invoice, or for a pair of endpoint and invoice, by stage."""
    return {row.stage: row for row in rows(database, AGENDA, AGENDA.c.subject == subject)}


def events_of(database: Database, invoice_id: str) -> list[Any]:
    """An invoice's events by number."""
    return rows(database, EVENT, EVENT.c.invoice_id == invoice_id)


def evidence_of(database: Database, invoice_id: str) -> list[Any]:
    """What was kept of the evidence about an invoice."""
    return rows(database, EVIDENCE, EVIDENCE.c.invoice_id == invoice_id)


def deliveries_of(database: Database, invoice_id: str) -> list[Any]:
    """An invoice's deliveries."""
    return rows(database, DELIVERY, DELIVERY.c.invoice_id == invoice_id)


def attempts_of(database: Database, delivery_id: int) -> list[Any]:
    """A delivery's tries."""
    return rows(database, ATTEMPT, ATTEMPT.c.delivery_id == delivery_id)


def change(database: Database, table: Any, *conditions: Any, **values: Any) -> None:
    """Change rows behind the store's back."""
    with database.transaction() as connection:
        connection.execute(table.update().where(*conditions).values(**values))


def now(database: Database) -> datetime:
    """The database's time."""
    with database.reading() as connection:
        return database.now(connection)


def make_due(database: Database, subject: str, stage: Stage | None = None) -> None:
    """Let what is planned for a subject have been due a day ago, leases included."""
    chosen = [AGENDA.c.subject == subject] + ([AGENDA.c.stage == stage.value] if stage else [])
    with database.transaction() as connection:
        long_ago = database.now(connection) - LONG_AGO
        connection.execute(AGENDA.update().where(*chosen).values(due_at=long_ago))


def in_threads(*actions: Callable[[], Any]) -> list[Any]:
    """Run side by side, started together; returns the results, or raises what the first failing one raised."""
    start = threading.Barrier(len(actions))
    tasks = [Background(action, start) for action in actions]
    return [task.result() for task in tasks]


class Background:
    """A function under way in a thread of its own."""

    def __init__(self, action: Callable[[], Any], start: threading.Barrier | None = None) -> None:
        self._action = action
        self._start = start
        self._value: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            if self._start is not None:
                self._start.wait(DEADLINE_SECONDS)
            self._value = self._action()
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        """What it returned; raises what it raised."""
        self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive(), "still running: a deadlock?"
        if self._error is not None:
            raise self._error
        return self._value


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Polls until it holds."""
    until = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < until, f"never happened: {what}"
        time.sleep(0.01)


def wait_until_blocked(database: Database, sessions: int = 1) -> None:
    """Until so many sessions of this database wait for another one's lock.

    SQLite has no such view and one writer at a time: whoever comes second waits, so there is nothing to wait for.
    """
    if not database.is_postgresql:
        return
    waiting = text(
        "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE NOT granted AND wait_event_type = 'Lock' AND pg_stat_activity.datname = current_database()"
    )

    def blocked() -> bool:
        with database.reading() as connection:
            found: int = connection.execute(waiting).scalar_one()
            return found >= sessions

    wait_until(blocked, f"{sessions} sessions wait for a lock")


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, micro: int = 0) -> datetime:
    """An aware UTC time."""
    return datetime(year, month, day, hour, minute, second, micro, UTC)
