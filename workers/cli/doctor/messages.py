"""Messages that were rejected, and invoices that are contradicted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workers.cli.doctor.finding import Finding, ago, clock, counted

if TYPE_CHECKING:
    from workers.store.database import Database


def check_messages(database: Database) -> Iterator[Finding]:
    """Notes only: what is listed is not lost."""
    from workers.store.reads.messages import read_contradictions, read_turned_away

    now = database.time()
    turned_away, against = database.read(read_turned_away), database.read(read_contradictions)
    if turned_away.first_at and turned_away.last_at:
        detail = (
            f"{counted(turned_away.messages, 'message was', 'messages were')} rejected since "
            f"{clock(turned_away.first_at)}, the last {ago(turned_away.last_at, now)} ago ({turned_away.last_reason})"
        )
        since, count = turned_away.first_at, turned_away.messages
        yield Finding("messages", "note", detail, "rejected", since, count, "invoices rejected --waiting")
    if against.last_at:
        detail = (
            f"{counted(against.invoices, 'invoice is', 'invoices are')} contradicted, the last "
            f"{ago(against.last_at, now)} ago: see who says what, and mark what is true"
        )
        command = f"invoices show {against.last_invoice}"
        yield Finding("invoices", "note", detail, "contradictions", against.last_at, against.invoices, command)
