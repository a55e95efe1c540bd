"""What waits for providers, by account: doubts, refused keys, providers that are away, accounts that are gone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from workers.cli.doctor.finding import Finding, State, ago, counted, lasting

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database
    from workers.store.reads.accounts import Doubts, Refusals, Waiting

#: What a provider's last answer means to a person. ``RateLimited`` is the only one that is no failure.
WORDS = {
    "Unreachable": "the provider can't be reached",
    "Unreadable": "the provider gives no answer that can be read",
    "CredentialsRefused": "the provider refuses the credentials",
    "ProviderRefused": "calls are turned away before the provider: look at base_url and at what stands before it",
    "RateLimited": "the provider asks us to wait (429)",
    "InDoubt": "the provider's answers are lost",
}
CAUSES = {
    "Unreachable": "unreachable",
    "Unreadable": "no_answer",
    "CredentialsRefused": "credentials_refused",
    "ProviderRefused": "provider_refuses",
    "RateLimited": "rate_limited",
    "InDoubt": "in_doubt",
}


def check_orders(database: Database, config: Settings) -> Iterator[Finding]:
    """From rows alone: the workers' own calls and probes show how each provider does."""
    from workers.store.reads import accounts

    read = database.read
    now = database.time()
    doubts, refusals = read(accounts.read_doubts), read(accounts.read_refusals)
    waiting = [*read(accounts.read_waiting_creates), *read(accounts.read_failing_look_ups)]
    orphans = read(accounts.read_open, list(config.accounts))
    clocks = read(accounts.read_clocks_off, list(config.accounts))
    yield from (_tell_doubts(each, now, config) for each in doubts if each.account in config.accounts)
    yield from (_tell_refusals(each, now, config) for each in refusals if each.account in config.accounts)
    yield from (_tell_waiting(each, now) for each in waiting if each.account in config.accounts)
    for name in config.accounts:
        count, first = read(accounts.read_unheard_watches, name, now - _longest_watch(config))
        if first is not None:
            yield _tell_unheard(name, count, first, now)
    yield from (_tell_clock(*each, now) for each in clocks)
    yield from (_tell_orphans(account, statuses) for account, statuses in orphans.items())


def _tell_doubts(doubts: Doubts, now: datetime, config: Settings) -> Finding:
    from workers.providers.registry import PROVIDERS

    held = doubts.invoices - doubts.repeated
    parts = [
        f"{counted(doubts.invoices, 'invoice is', 'invoices are')} in doubt, the oldest for {ago(doubts.since, now)}: "
        f"the provider's answer was lost ({doubts.reason})",
        f"on_doubt is {config.accounts[doubts.account].on_doubt}",
    ]
    if doubts.repeated:
        account = config.accounts[doubts.account]
        searched = "looked for at the provider, and created again where it is not there and on_doubt allows it"
        what = searched if PROVIDERS[account.provider].can_search(account) else "created again"
        parts.append(f"{doubts.repeated} will be {what}, next {_when(doubts.next_repeat_at, now)}")
    if held:
        wait = "waits" if held == 1 else "wait"
        parts.append(f"{held} {wait} for you: look them up at the provider, then `invoices redrive doubt ID`")
    about, command = f"account {doubts.account}", f"invoices list --status in_doubt --account {doubts.account}"
    return Finding(about, "wrong", "; ".join(parts), "in_doubt", doubts.since, doubts.invoices, command)


def _tell_refusals(refusals: Refusals, now: datetime, config: Settings) -> Finding:
    hold = timedelta(minutes=float(config.accounts[refusals.account].hold_refused_minutes))
    is_key = refusals.cause == "credentials_refused"
    said = f" ({refusals.said})" if refusals.said else ""
    detail = (
        f"{'its credentials are refused' if is_key else 'its calls are turned away'}{said}, "
        f"{counted(refusals.orders, 'order waits', 'orders wait')}, the first for {ago(refusals.since, now)}: "
        f"look at {'api_key' if is_key else 'base_url and at what stands before it'}; "
        f"next probe {_when(refusals.next_probe_at, now)}, the first fails {_when(refusals.since + hold, now)}"
    )
    return Finding(f"account {refusals.account}", "wrong", detail, refusals.cause, refusals.since, refusals.orders)


def _tell_waiting(waiting: Waiting, now: datetime) -> Finding:
    what = (
        counted(waiting.invoices, "order waits", "orders wait")
        if waiting.stage == "create"
        else f"look-ups of {counted(waiting.invoices, 'open invoice')} fail"
    )
    why = WORDS.get(waiting.kind, "the provider does not answer as it should")
    reason = f" ({waiting.reason})" if waiting.reason else ""
    lasted, again = ago(waiting.since, now), _when(waiting.next_try_at, now)
    detail = f"{what}, the first for {lasted}: {why}{reason}; next try {again}"
    state: State = "note" if waiting.kind == "RateLimited" else "wrong"
    cause = CAUSES.get(waiting.kind, "not_done")
    return Finding(f"account {waiting.account}", state, detail, cause, waiting.since, waiting.invoices)


def _longest_watch(config: Settings) -> timedelta:
    return timedelta(minutes=float(config.monitor_minutes))


def _tell_unheard(account: str, count: int, first: datetime, now: datetime) -> Finding:
    detail = (
        f"{counted(count, 'expired invoice is', 'expired invoices are')} watched for longer than "
        f"INVOICES_MONITOR_MINUTES because no look-up is answered, the first expired {ago(first, now)} ago: "
        "a late payment is not seen; "
        "look whether the provider answers, then `invoices recheck ORDER`"
    )
    command = f"invoices list --status expired --account {account}"
    return Finding(f"account {account}", "wrong", detail, "watch_unheard", first, count, command)


def _tell_clock(account: str, seconds: int, at: datetime, now: datetime) -> Finding:
    where = "ahead of" if seconds > 0 else "behind"
    detail = (
        f"its provider's clock is {lasting(abs(seconds))} {where} the database's, by its last invoice {ago(at, now)} "
        "ago: no invoice expires early by it; see that the database's clock is right, then tell the provider"
    )
    return Finding(f"account {account}", "note", detail, "provider_clock", at)


def _tell_orphans(account: str, statuses: Mapping[str, int]) -> Finding:
    listed = ", ".join(f"{count} {status}" for status, count in statuses.items())
    detail = (
        f"is no longer configured and has open invoices ({listed}): orders are not made, payments are not seen; "
        "put it back into INVOICES_ACCOUNTS until they are closed"
    )
    count, command = sum(statuses.values()), f"invoices list --account {account}"
    return Finding(f"account {account}", "wrong", detail, "not_configured", count=count, command=command)


def _when(time: datetime | None, now: datetime) -> str:
    """How long until then; ``now`` for a time that has come."""
    if time is None:
        return "never by itself"
    seconds = (time - now).total_seconds()
    return f"in {lasting(seconds)}" if seconds >= 1 else "now"
