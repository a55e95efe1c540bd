"""Whether somebody runs `invoices archive` where workers leave the removal of old invoices to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from workers.cli.doctor.finding import Finding, ago

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database

#: It is run daily, and may fail once.
LATE = timedelta(days=3)


def check_archive(database: Database, config: Settings) -> Iterator[Finding]:
    """Nothing is found where all is well."""
    if config.archive_dir is None or not config.retention_days:
        return
    from workers.store.operate.archiving import oldest

    since = oldest(database, timedelta(days=config.retention_days) + LATE)
    if since is not None:
        detail = f"orders of {ago(since, database.time())} ago have ended and are not archived: does a timer run it?"
        yield Finding("archive", "note", detail, "not_archived", since, command="invoices archive")
