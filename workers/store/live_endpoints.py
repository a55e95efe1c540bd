"""Enabled endpoints as the sender needs them."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Executable, select

from domain.decision import Stage
from workers.store.agenda import lanes_of
from workers.store.bulk import execute_keyed, keyed
from workers.store.database import Database, with_now
from workers.store.quick import execute
from workers.store.rows import StoredRow
from workers.store.tables import ENDPOINT

FEW_ENDPOINTS = 200  #: up to this many, all are looked at each second
_ENABLED = select(ENDPOINT).where(ENDPOINT.c.disabled_at.is_(None))


@dataclass(frozen=True, slots=True)
class LiveEndpoint:
    """An endpoint as the sender needs it; its secrets still encrypted."""

    id: str
    url: str
    secrets: str
    headers: str  #: as the release before kept them, not encrypted
    sealed_headers: str | None
    max_in_flight: int


def live_endpoints(connection: Connection, database: Database) -> list[LiveEndpoint]:
    """The enabled endpoints. Deliveries of the others wait: nobody claims their lanes."""
    return _live(connection.execute(_ENABLED).all(), database.now(connection))


def live_endpoints_in_use(connection: Connection, database: Database, used: Collection[str]) -> list[LiveEndpoint]:
    """The same if there are few; of many, those with something to send and those in ``used``."""
    rows = execute(connection, _first(connection.dialect.name), {}).all()
    now = database.now_of(connection, rows)
    if len(rows) > FEW_ENDPOINTS:
        lanes = sorted({*used, *lanes_of(connection, Stage.DELIVER.value)})
        rows = execute_keyed(connection, _chosen, ("id",), [(lane,) for lane in lanes]).all()
    return _live([row for row in rows if row.disabled_at is None], now)


@functools.cache
def _first(dialect: str) -> Executable:
    return with_now(dialect, select(ENDPOINT).order_by(ENDPOINT.c.id).limit(FEW_ENDPOINTS + 1))


@functools.cache
def _chosen(dialect: str) -> Executable:
    return select(ENDPOINT).where(keyed(dialect, ENDPOINT.c.id)).order_by(ENDPOINT.c.id)


def _live(rows: Sequence[StoredRow], now: datetime) -> list[LiveEndpoint]:
    return [
        LiveEndpoint(row.id, row.url, live_secrets(row, now), row.headers, row.sealed_headers, row.max_in_flight)
        for row in rows
    ]


def live_secrets(endpoint: StoredRow, now: datetime) -> str:
    """The sealed secrets that sign now: the newest, and the older ones while a rotation lasts."""
    sealed: str = endpoint.secrets
    rotating = endpoint.rotated_until is not None and endpoint.rotated_until > now
    return sealed if rotating else sealed.split(",", 1)[0]
