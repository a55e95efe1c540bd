"""Whether anything has happened since one looked last: the newest row of each table that grows with what happens."""

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
    """Equal to the last one: nothing was added. By the ends of seven indexes; what is only updated does not show."""
    return tuple(connection.execute(_NEWEST).one())
