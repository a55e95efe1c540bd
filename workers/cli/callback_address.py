"""Where an account's provider is to post its callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.settings import Settings


def callback_url(config: Settings, account: str) -> str | None:
    """The public address; None where none is set."""
    return None if config.public_url is None else f"{config.public_url}/callbacks/{account}"


def callback_place(config: Settings, account: str) -> str:
    """The same in words, for who has set none too."""
    return (
        callback_url(config, account) or f"INVOICES_PUBLIC_URL/callbacks/{account}, and INVOICES_PUBLIC_URL is not set"
    )
