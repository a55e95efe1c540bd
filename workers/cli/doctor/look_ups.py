"""Accounts with a budget for look-ups: how often it lets each invoice be looked up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from workers.cli.doctor.finding import Finding, counted

if TYPE_CHECKING:
    from config.settings import Settings
    from domain.account import Account
    from workers.store.reads.agenda import Lane


def tell_budgets(lanes: Sequence[Lane], config: Settings) -> Iterator[Finding]:
    """How often invoices are looked up where an account's budget does not cover its ``poll_seconds``."""
    for name, account in config.accounts.items():
        counts = _count(name, lanes)
        if account.look_ups_per_second is not None:
            yield from _tell(account, account.look_ups_per_second, counts)


def _count(account: str, lanes: Sequence[Lane]) -> Mapping[str, int]:
    """Rows of the account's look-up lanes, by kind of look-up."""
    from domain.looks import Look, lane_of

    rows = {lane.lane: lane.rows - lane.parked for lane in lanes if lane.stage == "check"}
    return {look.value: rows.get(lane_of(account, look), 0) for look in Look}


def _tell(account: Account, rate: float, counts: Mapping[str, int]) -> Iterator[Finding]:
    closed = counts["watched"]
    count = sum(counts.values()) - closed
    if count / rate <= account.poll_seconds:
        return
    detail = (
        f"{count:,} open at {rate:g} {'look-up' if rate == 1 else 'look-ups'} a second: each is looked at every "
        f"{_turn(count / rate)}, after callbacks and near the expiry sooner"
    )
    if closed:
        detail += f"; {counted(closed, 'closed one is', 'closed ones are')} watched with what is left"
    yield Finding(f"account {account.name}", "note", detail, "look_up_budget", count=count)


def _turn(seconds: float) -> str:
    """2.8 h, 17 min, 45 s."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}" if seconds < 10 * length else f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def has_budget(config: Settings, lane: Lane) -> bool:
    """Whether a lane's rows wait for an account's budget."""
    from domain.looks import account_of

    account = config.accounts.get(account_of(lane.lane)) if lane.stage == "check" else None
    return account is not None and account.look_ups_per_second is not None
