"""Where an account's provider is to post its callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.cli.sandbox_callbacks import is_at_sandbox, local_web_url

if TYPE_CHECKING:
    from datetime import datetime

    from config.settings import Settings


def callback_url(config: Settings, account: str) -> str | None:
    """The public address; None where none is set, unless the account is at the sandbox, which needs none."""
    if config.public_url is not None:
        return f"{config.public_url}/callbacks/{account}"
    found = config.accounts.get(account)
    web = local_web_url(config) if found is not None and is_at_sandbox(found, config) else None
    return None if web is None else f"{web}/callbacks/{account}"


def callback_place(config: Settings, account: str) -> str:
    """The same in words, for who has set none too."""
    return (
        callback_url(config, account) or f"INVOICES_PUBLIC_URL/callbacks/{account}, and INVOICES_PUBLIC_URL is not set"
    )


def tell_paid_elsewhere(invoices: int, since: datetime, now: datetime) -> str:
    """That no callback came since, though so many invoices of other accounts were paid, in words to go on with; empty
    where none was. Where customers do pay, the address may not be set."""
    from workers.cli.doctor.finding import ago
    from workers.store.reads.callbacks import COUNTED

    if not invoices:
        return ""
    count = f"{invoices:,}" + ("+" if invoices == COUNTED else "")
    paid = "invoice of another account was" if invoices == 1 else "invoices of other accounts were"
    return (
        f"; none in {ago(since, now)} though {count} {paid} paid meanwhile: that address may not be set at the provider"
    )
