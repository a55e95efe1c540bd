"""What Alembic runs. `invoices migrate` hands a connection over; the bare `alembic` command reads the settings.

Only `invoices migrate` keeps others from migrating at the same time and asks for locks politely: see
``workers/store/schema.py``. Alembic begins the transaction itself, so that a migration may leave it for a while.
"""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import Connection
from sqlmodel import SQLModel

import workers.store.tables.classes  # noqa: F401 - fills the metadata


def _leave_alembics_own_table(_object: Any, name: str | None, kind: str, *_: Any) -> bool:
    return not (kind == "table" and name == "alembic_version")


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        transactional_ddl=True,  # both databases can take a migration back; Alembic thinks that SQLite can't
        render_as_batch=connection.dialect.name == "sqlite",
        include_object=_leave_alembics_own_table,
    )
    with context.begin_transaction():
        context.run_migrations()


def _migrate_online() -> None:
    connection = context.config.attributes.get("connection")
    if connection is not None:
        _migrate(connection)
        return
    from config.settings import load_settings
    from workers.store.database import Database

    database = Database(load_settings().database_url)
    with database.engine.connect() as connection:
        _migrate(connection)


if context.is_offline_mode():
    raise SystemExit("migrations need a database: `--sql` is not supported")
_migrate_online()
