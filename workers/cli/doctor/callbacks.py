"""Providers' callbacks: those that no invoice is known for, and accounts that are never called back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from workers.cli.callback_address import callback_place, tell_paid_elsewhere
from workers.cli.doctor.finding import Finding, ago, counted

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database
    from workers.store.reads.callbacks import Calls, Unmatched

#: An account whose invoices can be looked up only after a callback should have had a callback by then.
QUIET = timedelta(days=2)
#: How long a callback with a wrong signature is reported.
RECENT = timedelta(days=1)


def check_callbacks(database: Database, config: Settings) -> Iterator[Finding]:
    """From rows alone."""
    from workers.providers.registry import PROVIDERS
    from workers.store.reads.callbacks import paid_elsewhere, read_calls, read_forged, read_unmatched

    called = [name for name, one in config.accounts.items() if PROVIDERS[one.provider].asked_by_reference]
    now = database.time()
    unmatched = database.read(read_unmatched)
    calls = [database.read(read_calls, name, now) for name in sorted(called)]
    forged = {each.account: database.read(read_forged, each.account) for each in calls}
    for each in calls:
        unheard = each.unheard_since
        paid = 0 if unheard is None else database.read(paid_elsewhere, each.account, unheard)
        yield _tell_calls(each, paid, now, config)
    yield from (
        _tell_forged(each, at, now) for each in calls if (at := forged[each.account]) and _is_odd(each, at, now)
    )
    yield from (_tell_unmatched(each, now) for each in unmatched)


def _tell_unmatched(unmatched: Unmatched, now: datetime) -> Finding:
    are = counted(unmatched.callbacks, "callback is", "callbacks are")
    detail = (
        f"{are} about no invoice that is known, the oldest for {ago(unmatched.since, now)}: perhaps a payment; "
        "`invoices unmatched link` or `dismiss`"
    )
    about, command = f"account {unmatched.account}", "invoices unmatched list"
    return Finding(about, "note", detail, "unmatched_callbacks", unmatched.since, unmatched.callbacks, command)


def _is_odd(calls: Calls, forged_at: datetime, now: datetime) -> bool:
    """Anybody may send forged callbacks; one that is newer than the last right one may be the provider's own."""
    return now - forged_at < RECENT and (calls.last_at is None or forged_at > calls.last_at)


def _tell_forged(calls: Calls, at: datetime, now: datetime) -> Finding:
    detail = (
        f"a callback came with a wrong signature {ago(at, now)} ago, and no right one since: if it was the provider's, "
        "api_key is not the gateway's key, or the key was changed (previous_api_key)"
    )
    return Finding(
        f"account {calls.account}", "note", detail, "forged_callbacks", at, None, "invoices callbacks forged"
    )


def _tell_calls(calls: Calls, paid: int, now: datetime, config: Settings) -> Finding:
    """``paid``: invoices of other accounts that were made since its first unheard one and are paid."""
    about, place = f"account {calls.account}", callback_place(config, calls.account)
    unheard = calls.unheard_since
    elsewhere = "" if unheard is None else tell_paid_elsewhere(paid, unheard, now)
    if calls.last_at is None:
        detail = (
            f"no callback came yet: until the first its invoices can't be asked about; they go to {place}{elsewhere}"
        )
        return Finding(
            about, "ok" if unheard is None else "note", detail, None if unheard is None else "no_callback", unheard
        )
    last = f"its last callback came {ago(calls.last_at, now)} ago"
    if unheard is None or now - unheard < QUIET:
        return Finding(about, "ok", last)
    detail = f"{last}, and invoices were made since, the first {ago(unheard, now)} ago: callbacks go to {place}"
    return Finding(about, "note", f"{detail}{elsewhere}", "no_callback", unheard)
