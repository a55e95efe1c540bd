"""Accounts at providers: whether each can be reached."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from workers.cli.doctor.finding import Finding, told

if TYPE_CHECKING:
    from config.settings import Settings
    from domain.account import Account

TIMEOUT_SECONDS = 5.0


def check_profiles(config: Settings) -> Iterator[Finding]:
    """Whether each account has what its provider needs, and is called over TLS."""
    from config.settings import SettingsError
    from workers.bootstrap import check_accounts

    try:
        check_accounts(config)
    except SettingsError as error:
        yield Finding("accounts", "wrong", str(error), "settings")
    clear = [name for name, account in sorted(config.accounts.items()) if account.is_called_in_the_clear()]
    if clear:
        detail = f"called over plain http, so that its key can be read on the way: {', '.join(clear)} (base_url)"
        yield Finding("accounts", "note", detail, "plain_http", count=len(clear))


def check_account(account: Account) -> Iterator[Finding]:
    """Requests the base address without credentials. Any HTTP answer will do."""
    import httpx

    from workers.http.trust import public_tls

    check = f"account {account.name}"
    place = f"{account.provider} at {account.base_url}"
    try:
        with httpx.Client(
            timeout=TIMEOUT_SECONDS, trust_env=False, follow_redirects=False, verify=public_tls()
        ) as client:
            began = time.monotonic()
            with client.stream("GET", account.base_url) as response:
                millis = (time.monotonic() - began) * 1000
                said = f"{place} answers ({response.status_code} in {millis:.0f} ms)"
    except (httpx.HTTPError, OSError) as error:
        yield Finding(check, "wrong", f"{place} can't be reached from here: {told(error)}", "unreachable")
        return
    yield Finding(check, "ok", said)
