"""An endpoint's secrets change: a new one signs at once, the older ones for a while too, and all are sealed anew.

Secrets arrive sealed and leave sealed; ``renew`` and the caller have the key, the store never does.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from workers.store.database import Database
from workers.store.deliveries import live_secrets
from workers.store.outbox import ENDPOINT

#: Of the secrets that sign at the same time; a receiver reads as many signatures with each webhook.
MOST_SECRETS = 5


def rotate_secret(
    connection: Connection, database: Database, endpoint_id: str, sealed_secret: str, keep: timedelta
) -> datetime | None:
    """Sign with this secret from now on, and for ``keep`` with those that signed until now too; 0 ends them at once.

    Returns when the older ones end (now, where they do at once). None: there is no such endpoint.
    """
    # Not FOR UPDATE: replays share the row.
    chosen = select(ENDPOINT).where(ENDPOINT.c.id == endpoint_id).with_for_update(key_share=True)
    endpoint = connection.execute(chosen).one_or_none()
    if endpoint is None:
        return None
    now = database.now(connection)
    older = live_secrets(endpoint, now).split(",") if keep else []
    until = now + keep
    connection.execute(
        update(ENDPOINT)
        .where(ENDPOINT.c.id == endpoint_id)
        .values(secrets=",".join([sealed_secret, *older][:MOST_SECRETS]), rotated_until=until if keep else None)
    )
    return until


def reseal_secrets(
    connection: Connection,
    database: Database,
    renew: Callable[[str], str],
    renew_headers: Callable[[str | None, str], str | None],
) -> int:
    """Replace every stored secret and header value by what ``renew`` and ``renew_headers`` make of it, and drop the
    secrets that sign no more. Returns the number of endpoints.

    ``renew_headers`` takes the sealed headers and those that the release before stored in the clear: these are sealed
    with it, and gone from their column. Raises what the two raise; nothing is changed then.
    """
    if not database.is_postgresql:
        connection.exec_driver_sql("PRAGMA secure_delete = ON")  # what stood in the clear is overwritten, not unlinked
    endpoints = connection.execute(select(ENDPOINT).order_by(ENDPOINT.c.id).with_for_update(key_share=True)).all()
    now = database.now(connection)
    for endpoint in endpoints:
        renewed = [renew(sealed) for sealed in live_secrets(endpoint, now).split(",")]
        sealed = renew_headers(endpoint.sealed_headers, endpoint.headers)
        connection.execute(
            update(ENDPOINT)
            .where(ENDPOINT.c.id == endpoint.id)
            .values(secrets=",".join(renewed), sealed_headers=sealed, headers="{}")
        )
    return len(endpoints)
