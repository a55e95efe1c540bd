"""Where an account's provider is to post its callbacks."""

from __future__ import annotations


def callback_url(web_url: str, account: str) -> str:
    """Below the URL by which the provider reaches the web process."""
    return f"{web_url}/callbacks/{account}"


def callback_place(url: str | None, account: str) -> str:
    """The URL; without one, what it will be and which setting is missing."""
    return url or f"{callback_url('INVOICES_PUBLIC_URL', account)}, and INVOICES_PUBLIC_URL is not set"
