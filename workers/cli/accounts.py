"""Accounts that a person names: a mistyped one would match nothing, which looks like good news."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.cli.errors import CommandFailed

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database


def require_account(database: Database, config: Settings, account: str | None) -> None:
    """Raise CommandFailed for an account that is neither configured nor has an invoice. None means every account."""
    if account is None or account in config.accounts:
        return
    from workers.store.reads.search import accounts_with_invoices

    known = {*config.accounts, *database.read(accounts_with_invoices)}
    if account not in known:
        there = f"there are {', '.join(sorted(known))}" if known else "there are none"
        raise CommandFailed(f"--account: no account {account!r} is configured or has an invoice; {there}")
