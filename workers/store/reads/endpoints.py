"""Endpoints and their deliveries for services: a service sees those endpoints that are limited to its accounts."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from domain.event import format_time
from workers.store.database import Database
from workers.store.endpoints import Endpoint, find_endpoint, list_endpoints
from workers.store.health import Health, health_of
from workers.store.queries import page_of_deliveries
from workers.store.reads.record import Record, read_record
from workers.store.reads.timeline import Entry, timeline
from workers.store.reads.tries import Doing, read_doing
from workers.store.rows import StoredRow

#: A page of deliveries, each with its attempts.
Page = list[tuple[StoredRow, Sequence[StoredRow]]]


def is_within(endpoint: Endpoint, accounts: Collection[str] | None) -> bool:
    """Whether a caller that sees only these accounts (None: all) sees the endpoint."""
    return endpoint.is_within(accounts)


def endpoints_within(database: Database, accounts: Collection[str] | None) -> list[tuple[Endpoint, Health]]:
    """The visible endpoints, oldest first, and how they are doing."""
    found = [one for one in database.read(list_endpoints) if is_within(one, accounts)]
    return [(one, database.read(health_of, one.id)) for one in found]


def endpoint_within(
    database: Database, endpoint_id: str, accounts: Collection[str] | None
) -> tuple[Endpoint, Health] | None:
    """One of them; None: no visible one has this id."""
    found = database.read(find_endpoint, endpoint_id)
    if found is None or not is_within(found, accounts):
        return None
    return found, database.read(health_of, endpoint_id)


def page_of_endpoints(
    database: Database, accounts: Collection[str] | None, after: str | None, limit: int, look: int
) -> tuple[list[Doing], str | None]:
    """How the endpoints that the caller sees do, oldest first, after the id ``after``; and the id to ask for the next
    page with."""
    seen = [one for one in database.read(list_endpoints) if is_within(one, accounts) and (after or "") < one.id]
    page = [database.read(read_doing, database, one, look) for one in seen[:limit]]
    return page, seen[limit - 1].id if len(seen) > limit else None


def doing_within(database: Database, endpoint_id: str, accounts: Collection[str] | None, look: int) -> Doing | None:
    """How one of them does; None: there is none with this id, or the caller does not see it."""
    found = database.read(find_endpoint, endpoint_id)
    if found is None or not is_within(found, accounts):
        return None
    return database.read(read_doing, database, found, look)


def seen_endpoints(database: Database, accounts: Collection[str] | None) -> list[Endpoint]:
    """Those that are seen, oldest first."""
    return [one for one in database.read(list_endpoints) if is_within(one, accounts)]


def deliveries_within(
    database: Database,
    accounts: Collection[str] | None,
    *,
    endpoint: str | None,
    state: str | None,
    invoice: str | None,
    before: int | None,
    limit: int,
) -> Page:
    """Deliveries to visible endpoints, newest first."""

    def read(connection: Connection) -> Page:
        seen = None if accounts is None else [one.id for one in list_endpoints(connection) if is_within(one, accounts)]
        chosen = seen if endpoint is None else [endpoint] if seen is None or endpoint in seen else []
        return page_of_deliveries(
            connection, endpoints=chosen, state=state, invoice=invoice, before=before, limit=limit
        )

    return database.read(read)


def timeline_within(database: Database, invoice_id: str, accounts: Collection[str] | None) -> list[Entry]:
    """What happened to an invoice, as a caller that sees only these accounts (None: all) sees it."""
    record = database.read(read_record, database, invoice_id)
    if record is None:
        return []
    if accounts is not None:
        seen = {one.id for one in database.read(list_endpoints) if is_within(one, accounts)}
        record = limited(record, seen)
    return timeline(record)


def limited(record: Record, seen: Collection[str]) -> Record:
    """What a caller limited to accounts sees of it: attempts at its own endpoints (``seen``), no unmatched callbacks
    (they may be about another shop's order at the same provider), and not where operators acted from.
    """
    deliveries = [one for one in record.deliveries if one[0].endpoint_id in seen]
    callbacks = [one for one in record.callbacks if one.invoice_id is not None]
    return dataclasses.replace(record, deliveries=deliveries, callbacks=callbacks, shows_origins=False)


def endpoint_fields(endpoint: Endpoint, health: Health) -> dict[str, object]:
    """An endpoint as JSON. Without its secret, and only the names of headers: their values may authorise."""
    last = health.last_success_at
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": None if endpoint.events is None else sorted(endpoint.events),
        "accounts": None if endpoint.accounts is None else sorted(endpoint.accounts),
        "headers": endpoint.header_names,
        "max_in_flight": endpoint.max_in_flight,
        "created_at": format_time(endpoint.created_at),
        "disabled_at": None if endpoint.disabled_at is None else format_time(endpoint.disabled_at),
        "disabled_reason": endpoint.disabled_reason,
        "waiting": health.waiting,
        "dead": health.dead,
        "last_success_at": None if last is None else format_time(last),
    }
