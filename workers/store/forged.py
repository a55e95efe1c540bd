"""The newest callbacks whose signature was not right: a bounded sample for people, judged by nobody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select

from workers.store.bulk import insert_rows
from workers.store.database import Database
from workers.store.rows import StoredRow
from workers.store.storable import storable
from workers.store.tables import FORGED

#: Kept in all. The account with the most loses its oldest: a flood at one hides nothing of another's.
MOST_KEPT = 100


@dataclass(frozen=True, slots=True)
class Forged:
    """A callback whose signature was not right. ``account`` None: it named none that is configured."""

    account: str | None
    why: str
    client: str | None  #: the address that it came from
    size: int  #: of the whole body, in bytes
    body: bytes  #: its beginning
    headers: str  #: JSON text: the names of all, the values of the harmless ones


def keep_forged(database: Database, batch: Sequence[Forged]) -> None:
    """Add these and remove the surplus, in one transaction."""
    with database.transaction() as connection:
        now = database.now(connection)
        insert_rows(connection, FORGED, [_row(one, now) for one in batch[-MOST_KEPT:]])
        kept = connection.execute(select(FORGED.c.id, FORGED.c.account).order_by(FORGED.c.id)).all()
        extra = surplus([(row.id, row.account) for row in kept], MOST_KEPT)
        if extra:
            connection.execute(delete(FORGED).where(FORGED.c.id.in_(extra)))


def surplus(kept: Sequence[tuple[int, str | None]], most: int) -> list[int]:
    """The ids to remove of these (id, account), oldest first, so that ``most`` are left."""
    ids: dict[str | None, list[int]] = defaultdict(list)
    for number, account in kept:
        ids[account].append(number)
    return [max(ids.values(), key=len).pop(0) for _ in range(len(kept) - most)]


def forged(connection: Connection, limit: int) -> Sequence[StoredRow]:
    """What is kept, newest first; 0: all."""
    return connection.execute(select(FORGED).order_by(FORGED.c.id.desc()).limit(limit or MOST_KEPT)).all()


def _row(one: Forged, now: datetime) -> dict[str, object]:
    return {
        "at": now,
        "account": one.account,
        "why": storable(one.why)[:255],
        "client": None if one.client is None else storable(one.client)[:64],
        "size": one.size,
        "body": one.body,
        "headers": storable(one.headers),
    }
