"""Accepting what is new in providers' answers, so that it is no alarm any more."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update

from workers.store.acts import Act, Actor, Deed, record
from workers.store.store import Store
from workers.store.tables import DRIFT


def accept(store: Store, actor: Actor, numbers: Sequence[int], account: str | None = None) -> int:
    """Say that these are known; with ``account``, all that it has open. Returns how many were open."""
    database = store.database
    chosen = DRIFT.c.account == account if account is not None else DRIFT.c.id.in_(sorted(set(numbers)))
    with database.transaction() as connection:
        rows = connection.execute(
            select(DRIFT).where(chosen, DRIFT.c.accepted_at.is_(None)).order_by(DRIFT.c.id).with_for_update()
        ).all()
        if rows:
            accepted = update(DRIFT).where(DRIFT.c.id.in_([row.id for row in rows]))
            connection.execute(accepted.values(accepted_at=database.now(connection)))
            deeds = [
                Deed(act=Act.ACCEPT_DRIFT, account=row.account, after={"drift": row.id, "field": row.field})
                for row in rows
            ]
            record(connection, database, actor, deeds)
    return len(rows)
