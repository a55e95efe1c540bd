"""Orders that wait for their provider, by account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workers.cli.doctor.finding import Finding

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database


def check_orders(database: Database, config: Settings) -> Iterator[Finding]:
    """Orders that wait because their account is turned away: the workers' own probes say so."""
    from workers.store.queries import refused_accounts, turned_away_accounts

    with database.reading() as connection:
        now = database.now(connection)
        for account, orders, since in refused_accounts(connection):
            waited = f"{orders} orders wait, the first for {(now - since).total_seconds():.0f} s"
            detail = f"its credentials are refused, {waited}: look at api_key"
            yield Finding(f"account {account}", "wrong", detail, "key_refused", since, orders)
        for account, orders, since, said in turned_away_accounts(connection):
            waited = f"{orders} orders wait, the first for {(now - since).total_seconds():.0f} s"
            detail = f"its calls are turned away ({said}), {waited}: look at base_url and at what stands before it"
            yield Finding(f"account {account}", "wrong", detail, "provider_refuses", since, orders)
