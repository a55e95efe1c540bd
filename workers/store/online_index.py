"""Indexes for migrations: made and dropped on a table that workers write to meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op


def create_index(
    name: str, table: str, columns: Sequence[str], *, unique: bool = False, where: str = "", using: str = "btree"
) -> None:
    """Make an index; on PostgreSQL CONCURRENTLY, outside the migration's transaction.

    So it must be the only statement of its migration: what came before it is committed, and after a kill the migration
    runs again. An invalid index that a killed build left behind is replaced. The build waits for every older
    transaction, for as long as that takes, and holds up nobody meanwhile.
    """
    condition = sa.text(where) if where else None
    if op.get_context().dialect.name != "postgresql":
        op.create_index(name, table, list(columns), unique=unique, sqlite_where=condition, if_not_exists=True)
        return
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # what a killed build left behind
        op.create_index(
            name,
            table,
            list(columns),
            unique=unique,
            postgresql_where=condition,
            postgresql_using=using,
            postgresql_concurrently=True,
        )


def drop_index(name: str, table: str) -> None:
    """Drop an index; on PostgreSQL CONCURRENTLY, outside the migration's transaction, as its only statement."""
    if op.get_context().dialect.name != "postgresql":
        op.drop_index(name, table, if_exists=True)
        return
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
