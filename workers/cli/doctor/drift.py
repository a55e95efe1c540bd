"""What is new in providers' answers, until somebody accepts it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workers.cli.doctor.finding import Finding, ago

if TYPE_CHECKING:
    from workers.store.database import Database

NAMED = 3  #: for each account; ``invoices drift list`` names all


def check_drift(database: Database) -> Iterator[Finding]:
    """One finding for each account."""
    from workers.store.reads.drift import counted_in_words, list_drifts, sentence_of

    now = database.time()
    rows = database.read(list_drifts)
    for account in sorted({row.account for row in rows}):
        ours = [row for row in rows if row.account == account]
        said = "; ".join(f"{sentence_of(row)}, invoices: {counted_in_words(row.invoices)}" for row in ours[:NAMED])
        rest = f"; and {len(ours) - NAMED} more" if len(ours) > NAMED else ""
        since = min(row.since for row in ours)
        yield Finding(
            f"account {account}",
            "note",
            f"{said}{rest}; the first {ago(since, now)} ago. Find out what it means, then accept it",
            "provider_drift",
            since,
            len(ours),
            f"invoices drift list --account {account}",
        )
