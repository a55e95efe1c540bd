"""Whether anything has happened since the last look: the newest row of each table that grows with what happens."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from workers.store.tables import ACT, ATTEMPT, CALLBACK, EVENT, EVIDENCE, INVOICE, REJECTED

_NEWEST = select(
    *(
        select(func.max(column)).scalar_subquery()
        for column in (
            INVOICE.c.id,
            EVENT.c.number,
            EVIDENCE.c.id,
            ATTEMPT.c.id,
            CALLBACK.c.id,
            ACT.c.id,
            REJECTED.c.id,
        )
    )
)


def read_newest(connection: Connection) -> tuple[object, ...]:
    """The ends of seven indexes. If they are as before, nothing was added; a mere update does not show."""
    return tuple(connection.execute(_NEWEST).one())
