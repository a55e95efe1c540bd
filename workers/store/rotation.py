"""An endpoint's secrets change: a new one signs at once, the older ones for a while too, and all are sealed anew.

Secrets arrive sealed and leave sealed; ``renew`` and whoever calls have the key, the store never does.
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


def reseal_secrets(connection: Connection, database: Database, renew: Callable[[str], str]) -> int:
    """Replace every stored secret by what ``renew`` makes of it, and drop those that sign no more; the endpoints.

    Raises what ``renew`` raises; nothing is changed then.
    """
    endpoints = connection.execute(select(ENDPOINT).order_by(ENDPOINT.c.id).with_for_update(key_share=True)).all()
    now = database.now(connection)
    for endpoint in endpoints:
        renewed = [renew(sealed) for sealed in live_secrets(endpoint, now).split(",")]
        connection.execute(update(ENDPOINT).where(ENDPOINT.c.id == endpoint.id).values(secrets=",".join(renewed)))
    return len(endpoints)
