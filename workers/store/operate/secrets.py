"""Changing endpoints' secrets: a new one signs at once, beside the older ones for a while; all can be sealed anew.

Secrets and headers come and go sealed: ``renew`` and the caller have the key, the store never does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from workers.store.acts import Act, Actor, Deed, record
from workers.store.database import Database
from workers.store.live_endpoints import live_secrets
from workers.store.store import Store
from workers.store.tables import ENDPOINT

#: Secrets that sign at the same time: a receiver gets as many signatures with each webhook.
MOST_SECRETS = 5


@dataclass(frozen=True, slots=True)
class Rotation:
    """A new secret, already sealed, and for how long the present ones go on signing; 0 ends them at once."""

    endpoint_id: str
    sealed_secret: str = field(repr=False)
    keep: timedelta


def rotate(store: Store, actor: Actor, request: Rotation) -> datetime | None:
    """Sign with this secret from now on. Returns when the older ones end (now, if they end at once).

    None: there is no such endpoint.
    """
    with store.database.transaction() as connection:
        return _rotate(connection, store.database, actor, request)


def reseal(
    store: Store, actor: Actor, renew: Callable[[str], str], renew_headers: Callable[[str | None, str], str | None]
) -> int:
    """Replace every stored secret and header value by what ``renew`` and ``renew_headers`` make of it, and drop secrets
    that no longer sign. Returns the number of endpoints.

    ``renew_headers`` takes the sealed headers and those that the release before stored in the clear; the latter are
    sealed too, and removed from their column. Raises what the two raise, and then changes nothing.
    """
    with store.database.transaction() as connection:
        return _reseal(connection, store.database, actor, renew, renew_headers)


def _rotate(connection: Connection, database: Database, actor: Actor, request: Rotation) -> datetime | None:
    # Not FOR UPDATE: replays share the row.
    chosen = select(ENDPOINT).where(ENDPOINT.c.id == request.endpoint_id).with_for_update(key_share=True)
    endpoint = connection.execute(chosen).one_or_none()
    if endpoint is None:
        return None
    now = database.now(connection)
    live = live_secrets(endpoint, now).split(",")
    secrets = [request.sealed_secret, *(live if request.keep else [])][:MOST_SECRETS]
    until = now + request.keep
    values = {"secrets": ",".join(secrets), "rotated_until": until if request.keep else None}
    connection.execute(update(ENDPOINT).where(ENDPOINT.c.id == endpoint.id).values(values))
    deed = Deed(
        act=Act.ROTATE_SECRET,
        endpoint_id=endpoint.id,
        before={"signing_secrets": len(live)},
        after={"signing_secrets": len(secrets), "old_secrets_until": until},
    )
    record(connection, database, actor, [deed])
    return until


def _reseal(
    connection: Connection,
    database: Database,
    actor: Actor,
    renew: Callable[[str], str],
    renew_headers: Callable[[str | None, str], str | None],
) -> int:
    if not database.is_postgresql:
        connection.exec_driver_sql("PRAGMA secure_delete = ON")  # overwrites what stood in the clear
    endpoints = connection.execute(select(ENDPOINT).order_by(ENDPOINT.c.id).with_for_update(key_share=True)).all()
    now = database.now(connection)
    deeds = []
    for endpoint in endpoints:
        renewed = [renew(sealed) for sealed in live_secrets(endpoint, now).split(",")]
        sealed = renew_headers(endpoint.sealed_headers, endpoint.headers)
        values = {"secrets": ",".join(renewed), "sealed_headers": sealed, "headers": "{}"}
        connection.execute(update(ENDPOINT).where(ENDPOINT.c.id == endpoint.id).values(values))
        before, after = {"secrets": endpoint.secrets.count(",") + 1}, {"secrets": len(renewed)}
        deeds.append(Deed(act=Act.RESEAL_SECRETS, endpoint_id=endpoint.id, before=before, after=after))
    record(connection, database, actor, deeds)
    return len(endpoints)
