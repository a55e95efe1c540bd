"""Calls that wait because they were asked to: their waiting is no fault. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from domain.decision import Stage
from domain.looks import Look, account_of, lane_of

if TYPE_CHECKING:
    from domain.account import Account

#: The stages whose work is done at an account.
AT_ACCOUNT = frozenset({Stage.CREATE, Stage.CHECK})

Lane = tuple[Stage, str]


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast accounts may be called. ``asked``: the stages and accounts for which workers have lately asked Redis how
    many calls they may make; empty while Redis is away."""

    accounts: Mapping[str, Account] = field(default_factory=dict)
    asked: Collection[tuple[Stage, str]] = frozenset()

    def waits_rightly(self, lane: Lane, put_off: Collection[str]) -> bool:
        """Whether a lane's due rows wait for a time that the provider named (``put_off``: accounts with a 429), or for
        the account's rate or budget."""
        stage, name = lane
        account = account_of(name)
        return stage in AT_ACCOUNT and (account in put_off or (stage, account) in self.asked)

    def promise(self, lane: Lane, due: Mapping[Lane, int], most: int) -> timedelta | None:
        """How long a due look-up of this lane may wait for its turn under the account's budget: its poll interval, or
        as long as all that are due take. None: for any time. Nothing is promised of closed invoices, nor if ``most`` or
        more are due, because counts end there."""
        stage, name = lane
        account = self.accounts.get(account_of(name))
        rate = None if account is None else account.look_ups_per_second
        if account is None or rate is None or (stage, account.name) not in self.asked:
            return timedelta(0)
        lanes = [(stage, lane_of(account.name, look)) for look in Look if look is not Look.WATCHED]
        counts = [due.get(one, 0) for one in lanes]
        if lane not in lanes or max(counts) >= most:
            return None
        return timedelta(seconds=max(account.poll_seconds, sum(counts) / rate))


def accounts_of(lanes: Iterable[Lane]) -> set[str]:
    """The accounts at which these lanes' work is done."""
    return {account_of(lane) for stage, lane in lanes if stage in AT_ACCOUNT}
