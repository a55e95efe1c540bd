"""Orders that wait for their provider, by account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workers.cli.doctor.finding import Finding

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database


def check_orders(database: Database, config: Settings) -> Iterator[Finding]:
    """Orders that wait because their account's key is refused: the workers' own probes say so."""
    from workers.store.queries import refused_accounts

    with database.reading() as connection:
        for account, orders, since in refused_accounts(connection):
            waited = (database.now(connection) - since).total_seconds()
            detail = f"its credentials are refused, {orders} orders wait, the first for {waited:.0f} s: look at api_key"
            yield Finding(f"account {account}", "wrong", detail)
