"""Providers' callbacks: those that no invoice is known for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from workers.cli.doctor.finding import Finding, ago, counted

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database
    from workers.store.reads.callbacks import Unmatched


def check_callbacks(database: Database, config: Settings) -> Iterator[Finding]:
    """All of it from rows."""
    from workers.store.reads.callbacks import read_unmatched

    with database.reading() as connection:
        now = database.now(connection)
        unmatched = read_unmatched(connection)
    yield from (_tell_unmatched(each, now) for each in unmatched)


def _tell_unmatched(unmatched: Unmatched, now: datetime) -> Finding:
    are = counted(unmatched.callbacks, "callback is", "callbacks are")
    detail = (
        f"{are} about no invoice that is known, the oldest for {ago(unmatched.since, now)}: perhaps a payment; "
        "`invoices unmatched link` or `dismiss`"
    )
    about, command = f"account {unmatched.account}", "invoices unmatched list"
    return Finding(about, "note", detail, "unmatched_callbacks", unmatched.since, unmatched.callbacks, command)
