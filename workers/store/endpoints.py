"""Endpoints, and the deliveries planned for them. What operators do with them: ``operate/endpoints.py``. Which are
disabled without an operator, because they took nothing for days: ``deliveries.py``.

Secrets and headers come and go sealed: the caller has the key, the store never does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypedDict

from sqlalchemy import Connection, Executable, case, delete, func, insert, select, update

from domain.decision import Stage
from domain.event import FOR_ALL, INVOICE_TYPES, NAMED_ONLY, wants
from domain.exact_json import read_json, write_json
from workers.store.agenda import lanes_of
from workers.store.bulk import execute_keyed, keyed
from workers.store.database import Database
from workers.store.deliveries import DUE
from workers.store.outbox import accounts_of
from workers.store.pairs import pair_of, subject_of
from workers.store.rows import StoredRow
from workers.store.tables import AGENDA, ATTEMPT, DELIVERY, ENDPOINT

#: What an endpoint can ask for. It gets ``FOR_ALL`` in any case.
EVENT_TYPES = FOR_ALL | INVOICE_TYPES | NAMED_ONLY
#: All of an invoice's types: what an endpoint gets that names none.
ALL_OF_INVOICES = "invoice.*"

#: Deliveries to one endpoint at a time, from each worker process: as many as calls of an account.
MAX_IN_FLIGHT = 100

#: Deliveries that one transaction deletes while an endpoint is removed: others wait no longer than that takes.
REMOVAL_BATCH = 500

DELIVER = Stage.DELIVER.value


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where webhooks are sent. ``sealed_secrets``: newest first, the older ones sign until ``rotated_until``.
    ``events`` None: all; ``accounts`` None: every account's. ``max_in_flight``: deliveries at a time from each worker
    process. A disabled endpoint keeps what is due."""

    id: str
    url: str
    sealed_secrets: tuple[str, ...] = field(repr=False)
    events: frozenset[str] | None
    accounts: frozenset[str] | None
    sealed_headers: str | None = field(repr=False)  #: JSON: names, and their values encrypted
    clear_headers: str = field(repr=False)  #: JSON, as the release before stored them
    max_in_flight: int
    rotated_until: datetime | None
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None

    @property
    def header_names(self) -> list[str]:
        """The names of its own headers; their values may authorise."""
        return sorted({*read_json(self.clear_headers), *read_json(self.sealed_headers or "{}")})

    def is_within(self, accounts: Collection[str] | None) -> bool:
        """Whether whoever sees only these accounts (None: all) sees the endpoint."""
        return accounts is None or (self.accounts is not None and self.accounts <= set(accounts))

    def signing(self, now: datetime) -> tuple[str, ...]:
        """The sealed secrets that sign now, the newest first."""
        rotating = self.rotated_until is not None and self.rotated_until > now
        return self.sealed_secrets if rotating else self.sealed_secrets[:1]

    def wants(self, event_type: str) -> bool:
        """Whether it gets events of this type."""
        return wants(self.events, event_type)


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint to be added. Secret and headers are sealed already; ``events`` None: all; ``accounts`` empty:
    every account's."""

    url: str
    sealed_secret: str = field(repr=False)
    events: Sequence[str] | None = None
    sealed_headers: str | None = field(default=None, repr=False)
    max_in_flight: int = MAX_IN_FLIGHT
    accounts: Collection[str] = ()


class EndpointChanges(TypedDict, total=False):
    """What is to be different at an endpoint; the rest stays. As in ``NewEndpoint``."""

    url: str
    events: Sequence[str] | None
    sealed_headers: str | None
    max_in_flight: int
    accounts: Collection[str]


def add_endpoint(connection: Connection, endpoint_id: str, new: NewEndpoint, now: datetime) -> None:
    """Add an endpoint. Raises ValueError for an unknown event type.

    It gets every event that is written after the caller has committed this and ``writers.wait_for_writers`` has
    returned.
    """
    connection.execute(
        insert(ENDPOINT).values(
            id=endpoint_id,
            url=new.url,
            secrets=new.sealed_secret,
            events=_kept_events(new.events),
            accounts=_kept_accounts(new.accounts),
            headers="{}",  # values in the clear are still read, no longer written
            sealed_headers=new.sealed_headers,
            max_in_flight=new.max_in_flight,
            created_at=now,
        )
    )


def change_endpoint(connection: Connection, endpoint_id: str, changes: EndpointChanges) -> None:
    """Change an endpoint. Raises ValueError for an unknown event type. It gets other events as a new one does."""
    values: dict[str, object] = {**changes}
    if "events" in changes:
        values["events"] = _kept_events(changes["events"])
    if "accounts" in changes:
        values["accounts"] = _kept_accounts(changes["accounts"])
    if "sealed_headers" in changes:
        values["headers"] = "{}"
    connection.execute(update(ENDPOINT).where(ENDPOINT.c.id == endpoint_id).values(values))


def _kept_events(types: Sequence[str] | None) -> str | None:
    return ",".join(sorted(_known(set(types)))) if types else None


def _kept_accounts(accounts: Collection[str]) -> str | None:
    return write_json(sorted(set(accounts))) if accounts else None


def _known(types: set[str]) -> set[str]:
    if ALL_OF_INVOICES in types:
        types = (types - {ALL_OF_INVOICES}) | INVOICE_TYPES
    unknown = sorted(types - EVENT_TYPES)
    if unknown:
        there = ", ".join([ALL_OF_INVOICES, *sorted(EVENT_TYPES)])
        raise ValueError(f"events: there is no {', '.join(unknown)}; there are {there}")
    return types


def list_endpoints(connection: Connection) -> list[Endpoint]:
    """Every endpoint, enabled or not, oldest first."""
    return [_endpoint(row) for row in connection.execute(select(ENDPOINT).order_by(ENDPOINT.c.id))]


def find_endpoint(connection: Connection, endpoint_id: str) -> Endpoint | None:
    """The endpoint with this id."""
    row = connection.execute(select(ENDPOINT).where(ENDPOINT.c.id == endpoint_id)).one_or_none()
    return None if row is None else _endpoint(row)


def disable_endpoint(connection: Connection, endpoint_id: str, reason: str, now: datetime) -> bool:
    """Let its deliveries wait. One that is disabled already keeps its reason. False: there is no such endpoint."""
    changed = connection.execute(
        update(ENDPOINT)
        .where(ENDPOINT.c.id == endpoint_id)
        .values(
            disabled_at=func.coalesce(ENDPOINT.c.disabled_at, now),
            disabled_reason=case((ENDPOINT.c.disabled_at.is_(None), reason), else_=ENDPOINT.c.disabled_reason),
        )
    )
    return changed.rowcount > 0


def remove_leftovers(database: Database) -> int:
    """Remove deliveries planned for endpoints that are gone: nobody would ever make them. Returns how many."""
    with database.reading() as connection:
        lanes = set(lanes_of(connection, DELIVER))
        lanes -= set(connection.execute(select(ENDPOINT.c.id).where(ENDPOINT.c.id.in_(lanes))).scalars())
    return sum(remove_deliveries(database, lane) for lane in sorted(lanes))


def make_deliveries_due(connection: Connection, subjects: Iterable[str], now: datetime) -> None:
    """Make what waits for these (endpoint, invoice) pairs due, with all its tries. The caller has the pairs locked."""

    def due_at_once(dialect: str) -> Executable:
        of_pairs = keyed(dialect, DELIVERY.c.endpoint_id, DELIVERY.c.invoice_id)
        return update(DELIVERY).where(of_pairs, DELIVERY.c.state == DUE).values(tries=0, next_try_at=now)

    execute_keyed(connection, due_at_once, ("endpoint_id", "invoice_id"), list(map(pair_of, subjects)))


def remove_deliveries(database: Database, endpoint_id: str) -> int:
    """Remove all deliveries planned for an endpoint, in small transactions. Returns how many."""
    removed = 0
    while True:
        with database.transaction() as connection:
            batch = _remove_batch(connection, endpoint_id)
        removed += batch
        if batch < REMOVAL_BATCH:
            return removed


def _remove_batch(connection: Connection, endpoint_id: str) -> int:
    """Deletes the oldest deliveries, with their attempts and agenda rows."""
    deliveries = connection.execute(
        select(DELIVERY.c.id, DELIVERY.c.invoice_id)
        .where(DELIVERY.c.endpoint_id == endpoint_id)
        .order_by(DELIVERY.c.id)
        .limit(REMOVAL_BATCH)
    ).all()
    if not deliveries:
        return 0
    ids = [row.id for row in deliveries]
    subjects = sorted({subject_of((endpoint_id, row.invoice_id)) for row in deliveries})
    # The agenda first: completing a delivery locks its agenda row before anything else.
    connection.execute(delete(AGENDA).where(AGENDA.c.stage == DELIVER, AGENDA.c.subject.in_(subjects)))
    # The deliveries next: this waits for an attempt that is being written down, which is then removed as well.
    connection.execute(select(DELIVERY.c.id).where(DELIVERY.c.id.in_(ids)).order_by(DELIVERY.c.id).with_for_update())
    connection.execute(delete(ATTEMPT).where(ATTEMPT.c.delivery_id.in_(ids)))
    connection.execute(delete(DELIVERY).where(DELIVERY.c.id.in_(ids)))
    return len(deliveries)


def _endpoint(row: StoredRow) -> Endpoint:
    return Endpoint(
        id=row.id,
        url=row.url,
        sealed_secrets=tuple(row.secrets.split(",")),
        events=None if row.events is None else frozenset(row.events.split(",")),
        accounts=accounts_of(row.accounts),
        sealed_headers=row.sealed_headers,
        clear_headers=row.headers,
        max_in_flight=row.max_in_flight,
        rotated_until=row.rotated_until,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        disabled_reason=row.disabled_reason,
    )
