"""Endpoints: added, changed, disabled, enabled, removed."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select, update

from domain.event import new_id
from workers.store.acts import MASK, Act, Actor, Deed, Values, bare_url, record
from workers.store.database import Database
from workers.store.deliveries import lock_pairs, point_at_next
from workers.store.endpoints import (
    DELIVER,
    Endpoint,
    EndpointChanges,
    NewEndpoint,
    add_endpoint,
    change_endpoint,
    disable_endpoint,
    find_endpoint,
    make_deliveries_due,
    remove_deliveries,
)
from workers.store.store import Store
from workers.store.tables import AGENDA, ENDPOINT
from workers.store.writers import wait_for_writers

ENABLING_BATCH = 200  #: pairs per transaction: others wait no longer than that takes

REMOVING = "is being removed"


def add(store: Store, actor: Actor, request: NewEndpoint) -> str:
    """Add an endpoint; returns its id. Raises ValueError for an unknown event type.

    It gets every event that is written after ``wait_until_known`` has returned.
    """
    endpoint_id = new_id("ep")
    with store.database.transaction() as connection:
        add_endpoint(connection, endpoint_id, request, store.database.now(connection))
        after = _values(find_endpoint(connection, endpoint_id))
        deed = Deed(act=Act.ADD_ENDPOINT, endpoint_id=endpoint_id, after=after)
        record(connection, store.database, actor, [deed])
    return endpoint_id


def change(store: Store, actor: Actor, endpoint_id: str, changes: EndpointChanges) -> bool:
    """Change an endpoint's settings; what waits for it is sent by the new ones. False: there is no such endpoint.

    Raises ValueError for an unknown event type. It gets other events as ``add`` says.
    """
    with store.database.transaction() as connection:
        before = _locked(connection, endpoint_id)
        if before is None:
            return False
        if not changes:
            return True
        change_endpoint(connection, endpoint_id, changes)
        shown = _values(before), _values(find_endpoint(connection, endpoint_id))
        deed = Deed(act=Act.CHANGE_ENDPOINT, endpoint_id=endpoint_id, before=shown[0], after=shown[1])
        record(connection, store.database, actor, [deed])
    return True


def wait_until_known(store: Store) -> bool:
    """Wait until every transaction that may have missed the newest endpoint, or its newest settings, has ended; False
    if one takes too long."""
    return wait_for_writers(store.database)


def disable(store: Store, actor: Actor, endpoint_id: str, reason: str) -> bool:
    """Let its deliveries wait. One that is disabled already keeps its reason. False: there is no such endpoint."""
    with store.database.transaction() as connection:
        return _disable(connection, store.database, actor, endpoint_id, Act.DISABLE_ENDPOINT, reason)


def enable(store: Store, actor: Actor, endpoint_id: str) -> int | None:
    """Deliver again: what waited is due at once, with all its tries, each invoice's oldest event first.

    Returns how many invoices had events waiting (0 where it was enabled already); None: no such endpoint. What waited
    is made due in small batches, before anybody delivers. If this is cut short, it can simply be repeated.
    """
    database = store.database
    endpoint = database.read(find_endpoint, endpoint_id)
    if endpoint is None or endpoint.disabled_at is None:
        return None if endpoint is None else 0
    waited, last = 0, f"{endpoint_id}/"
    while True:
        with database.transaction() as connection:
            subjects = _waiting(connection, endpoint_id, last)
            _make_due(connection, database, subjects)
        waited += len(subjects)
        if len(subjects) < ENABLING_BATCH:
            break
        last = subjects[-1]
    with database.transaction() as connection:
        _enable(connection, database, actor, endpoint_id, waited)
    return waited


def remove(store: Store, actor: Actor, endpoint_id: str) -> int | None:
    """Remove an endpoint with all its deliveries. Returns how many; None: no such endpoint.

    In small batches, disabled meanwhile. If this is cut short, it can simply be repeated.
    """
    database = store.database
    with database.transaction() as connection:
        known = _disable(connection, database, actor, endpoint_id, Act.REMOVE_ENDPOINT, REMOVING)
    removed = remove_deliveries(database, endpoint_id)
    if not known:  # whatever a removal that was cut short left behind is gone now
        return removed or None
    with database.transaction() as connection:
        _remove(connection, database, actor, endpoint_id, removed)
    # Once more: a transaction that had read the endpoint just before may have added an event for it. One that takes
    # even longer is cleaned up after by ``remove_leftovers``.
    wait_for_writers(database)
    return removed + remove_deliveries(database, endpoint_id)


def _disable(connection: Connection, database: Database, actor: Actor, endpoint_id: str, act: Act, reason: str) -> bool:
    before = _locked(connection, endpoint_id)
    if before is None:
        return False
    if before.disabled_at is not None and act is Act.DISABLE_ENDPOINT:
        return True
    disable_endpoint(connection, endpoint_id, reason, database.now(connection))
    after = find_endpoint(connection, endpoint_id)
    deed = Deed(act=act, endpoint_id=endpoint_id, before=_values(before), after=_state(after))
    record(connection, database, actor, [deed])
    return True


def _enable(connection: Connection, database: Database, actor: Actor, endpoint_id: str, waited: int) -> None:
    before = _locked(connection, endpoint_id)
    if before is None or before.disabled_at is None:
        return  # somebody else was first
    enabled = {"disabled_at": None, "disabled_reason": None}
    connection.execute(update(ENDPOINT).where(ENDPOINT.c.id == endpoint_id).values(enabled))
    after: Values = {"enabled": True, "invoices_waiting": waited}
    deed = Deed(act=Act.ENABLE_ENDPOINT, endpoint_id=endpoint_id, before=_state(before), after=after)
    record(connection, database, actor, [deed])


def _remove(connection: Connection, database: Database, actor: Actor, endpoint_id: str, removed: int) -> None:
    before = _locked(connection, endpoint_id)
    if before is None:
        return  # somebody else removed it meanwhile
    connection.execute(delete(ENDPOINT).where(ENDPOINT.c.id == endpoint_id))
    after: Values = {"removed": True, "deliveries": removed}
    deed = Deed(act=Act.ENDPOINT_REMOVED, endpoint_id=endpoint_id, before=_values(before), after=after)
    record(connection, database, actor, [deed])


def _locked(connection: Connection, endpoint_id: str) -> Endpoint | None:
    """The endpoint, locked against changes until this transaction ends. Not FOR UPDATE: replays share the row."""
    row = select(ENDPOINT.c.id).where(ENDPOINT.c.id == endpoint_id).with_for_update(key_share=True)
    return None if connection.execute(row).one_or_none() is None else find_endpoint(connection, endpoint_id)


def _values(endpoint: Endpoint | None) -> Values | None:
    """An endpoint as an act shows it: no secrets, and headers without their values."""
    if endpoint is None:
        return None
    shown: Values = {
        "url": bare_url(endpoint.url),
        "events": None if endpoint.events is None else sorted(endpoint.events),
        "accounts": None if endpoint.accounts is None else sorted(endpoint.accounts),
        "headers": [f"{name}: {MASK}" for name in endpoint.header_names],
        "max_in_flight": endpoint.max_in_flight,
    }
    return {**shown, **_state(endpoint)}


def _state(endpoint: Endpoint | None) -> Values:
    if endpoint is None or endpoint.disabled_at is None:
        return {"enabled": True}
    return {"enabled": False, "disabled_at": endpoint.disabled_at, "disabled_reason": endpoint.disabled_reason}


def _waiting(connection: Connection, endpoint_id: str, after: str) -> list[str]:
    """Pairs of an endpoint that nobody has leased, by key."""
    pairs = select(AGENDA.c.subject).where(
        AGENDA.c.stage == DELIVER, AGENDA.c.lane == endpoint_id, AGENDA.c.subject > after
    )
    idle = pairs.where(AGENDA.c.lease_token.is_(None), AGENDA.c.due_at.is_not(None))
    return list(connection.execute(idle.order_by(AGENDA.c.subject).limit(ENABLING_BATCH)).scalars())


def _make_due(connection: Connection, database: Database, subjects: Sequence[str]) -> None:
    rows = lock_pairs(connection, database, subjects)
    idle = {subject: row for subject, row in rows.items() if row.lease_token is None and not row.parked}
    if not idle:
        return
    now = database.now(connection)
    make_deliveries_due(connection, idle, now)
    point_at_next(connection, idle, now)
