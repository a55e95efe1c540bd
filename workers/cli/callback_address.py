"""Where an account's provider is to post its callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.cli.sandbox_callbacks import is_at_sandbox, local_web_url
from workers.web import callback_address as address

if TYPE_CHECKING:
    from datetime import datetime

    from config.settings import Settings


def callback_url(config: Settings, account: str) -> str | None:
    """The callback URL. Without a public URL only the sandbox has one: the web process on this machine."""
    found = config.accounts.get(account)
    web = config.public_url
    if web is None and found is not None and is_at_sandbox(found, config):
        web = local_web_url(config)
    return None if web is None else address.callback_url(web, account)


def callback_place(config: Settings, account: str) -> str:
    """The same in words, which name the setting where there is no URL."""
    return address.callback_place(callback_url(config, account), account)


def tell_paid_elsewhere(invoices: int, since: datetime, now: datetime) -> str:
    """Words to append where no callback came since then although ``invoices`` of other accounts were paid: the provider
    may not have the address. Empty when none was paid."""
    from workers.cli.doctor.finding import ago, counted
    from workers.store.reads.callbacks import COUNTED

    if not invoices:
        return ""
    were = counted(invoices, "invoice of another account was", "invoices of other accounts were", most=COUNTED)
    return f"; none in {ago(since, now)} though {were} paid meanwhile: that address may not be set at the provider"
