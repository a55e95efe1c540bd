"""Which invoices are looked up next, and how many calls that may cost: CHECK's side of an account's budget."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import structlog

from domain.account import Account
from domain.decision import InvoiceView, Stage
from domain.evidence import Evidence, Seen
from domain.looks import Look, account_of, lane_of
from domain.ports import ListReader, Provider
from domain.status import Status
from workers.coordination.look_up_budget import LookUpBudget
from workers.coordination.rate_limit import RateLimit
from workers.store.agenda import Claim
from workers.store.database import UNAVAILABLE, first_line
from workers.store.store import Store

log = structlog.get_logger()

LONGEST_WAIT_SECONDS = 5.0  #: by then tokens that were not used may have come back

#: Of twenty claims ten begin with the invoices that are near their end, nine with the other open ones, and one with the
#: closed ones, so that no kind starves another. Each claim then goes on with the other kinds.
ROUND = 20
NEAR_FIRST = (Look.NEAR, Look.OPEN, Look.WATCHED)
OPEN_FIRST = (Look.OPEN, Look.NEAR, Look.WATCHED)
WATCHED_FIRST = (Look.WATCHED, Look.NEAR, Look.OPEN)

#: How many invoices one call is expected to cover where a provider has lists: at first, and again a minute after a list
#: that had none of them. Doubled while one call is enough, up to a page.
FIRST_REACH = 5
LARGEST_REACH = 100
RETRY_LIST_SECONDS = 60.0


class Turn(NamedTuple):
    """A claimed look-up. ``per_call``: invoices that were let through for each call; 0: there is no budget."""

    claim: Claim
    invoice: InvoiceView | None
    per_call: int = 0


class _Grant(NamedTuple):
    """What was let through last: calls, and the number of invoices for each."""

    calls: int
    per_call: int
    invoices: int


class Reach:
    """How many invoices of an account one call covers, as its last look-ups showed."""

    def __init__(self) -> None:
        self._rows = FIRST_REACH
        self._missed_at = 0.0

    def rows(self) -> int:
        """How many invoices a call is expected to cover now."""
        if self._rows == 1 and time.monotonic() - self._missed_at >= RETRY_LIST_SECONDS:
            self._rows = FIRST_REACH
        return self._rows

    def learn(self, per_call: int, answered: int, calls: int, left: int) -> None:
        """``left``: invoices that were not asked about because the calls were used up."""
        if left:
            self._rows, self._missed_at = max(1, answered // max(calls, 1)), time.monotonic()
        elif answered > calls and per_call == self._rows:
            self._rows = min(self._rows * 2, LARGEST_REACH)


class Turns:
    """What of an account's look-ups is let through, claimed and paid for."""

    def __init__(
        self,
        store: Store,
        accounts: Mapping[str, Account],
        providers: Mapping[str, Provider],
        rate: RateLimit,
        budget: LookUpBudget | None,
    ) -> None:
        self._store = store
        self._rate = rate
        self._budget = budget
        self._claims: Counter[str] = Counter()
        self._granted: dict[str, _Grant] = {}  #: by lane
        limited = (name for name in accounts if self.has_budget(name))
        readers = (name for name in limited if isinstance(providers[accounts[name].provider], ListReader))
        self._reach = {name: Reach() for name in readers}

    def lanes(self, accounts: Sequence[str]) -> list[str]:
        """The stage's lanes. Look-ups after callbacks have one of their own: they wait behind no others."""
        return [lane for name in accounts for lane in (name, lane_of(name, Look.CALLED))]

    def has_budget(self, account: str) -> bool:
        """Whether the account's look-ups are limited."""
        return self._budget is not None and self._budget.limits(account)

    async def admit(self, lane: str, asked: int) -> tuple[int, float]:
        """How many invoices may be asked about now, and the seconds until there may be more."""
        account = account_of(lane)
        if self._budget is None or not self._budget.limits(account):
            return await self._rate.take(account, asked)
        called = lane != account
        reach = self._reach.get(account)
        per_call = 1 if called or reach is None else reach.rows()
        look = Look.CALLED if called else Look.OPEN
        calls, wait_seconds = await self._budget.take(account, math.ceil(asked / per_call), look)
        await self._rate.spend(account, calls)
        self._granted[lane] = granted = _Grant(calls, per_call, min(asked, calls * per_call))
        return granted.invoices, min(wait_seconds, LONGEST_WAIT_SECONDS)

    async def refund(self, lane: str, unused: int) -> None:
        """After the claim: this many of the invoices that were let through were not due."""
        account = account_of(lane)
        if not self.has_budget(account):
            await self._rate.give_back(account, unused)
            return
        granted = self._granted[lane]
        await self._settle(account, granted.calls, math.ceil((granted.invoices - unused) / granted.per_call))

    def claim(self, lane: str, limit: int, lease_seconds: float) -> list[Turn]:
        """Lease due look-ups, beginning with the kind whose turn it is."""
        account = account_of(lane)
        if not self.has_budget(account):
            claimed = self._store.claim_invoices(Stage.CHECK, lane, limit, lease_seconds)
            return [Turn(held, invoice) for held, invoice in claimed]
        claimed = self._store.claim_look_ups(account, self._next_looks(lane), limit, lease_seconds)
        return [Turn(held, invoice, self._granted[lane].per_call) for held, invoice in claimed]

    def _next_looks(self, lane: str) -> Sequence[Look]:
        if lane != account_of(lane):
            return (Look.CALLED,)
        self._claims[lane] += 1
        place = self._claims[lane] % ROUND
        return WATCHED_FIRST if place == 0 else OPEN_FIRST if place % 2 == 0 else NEAR_FIRST

    def calls_of(self, turns: Sequence[Turn]) -> int:
        """The calls that were let through for these."""
        return math.ceil(len(turns) / turns[0].per_call) if turns[0].per_call else 0

    def most_calls(self, turns: Sequence[Turn], references: int) -> int:
        """Calls that may be made for these; 0: as many as it takes.

        An invoice that is asked about alone is asked by all its references; what goes beyond the budget is owed.
        """
        return references if turns[0].per_call == 1 else self.calls_of(turns)

    def left(
        self, account: str, turns: Sequence[Turn], refs: Mapping[str, Sequence[str]], found: Mapping[str, Evidence]
    ) -> list[Turn]:
        """Those that the calls did not cover: they, or some of their references, were not asked about."""
        if account not in self._reach:
            return []
        asked = ((turn, refs[turn.claim.subject]) for turn in turns)
        return [turn for turn, some in asked if some and not _is_covered(some, found)]

    async def settle(self, lane: str, turns: Sequence[Turn], made: int, left: int) -> None:
        """``made`` calls were made for these; ``left`` of them were not asked about."""
        account, granted = account_of(lane), self.calls_of(turns)
        if not granted:
            return
        reach = self._reach.get(account)
        if reach is not None and lane == account:
            reach.learn(turns[0].per_call, len(turns) - left, made, left)
        await self._settle(account, granted, made)

    async def put_back(self, claims: Sequence[Claim]) -> None:
        """Give back those that were not asked about."""
        if not claims:
            return
        try:
            await asyncio.to_thread(self._store.put_back, claims)
        except UNAVAILABLE as error:
            log.warning("store.unavailable", error=first_line(error), consequence="leases run out by themselves")

    async def _settle(self, account: str, granted: int, made: int) -> None:
        if self._budget is not None:
            await self._budget.settle(account, granted, made)
        await self._rate.spend(account, made - granted)
        await self._rate.give_back(account, granted - made)


def _is_covered(references: Sequence[str], found: Mapping[str, Evidence]) -> bool:
    """Whether there is nothing more to be asked: each reference is answered, or one of them is paid."""
    answers = [found.get(reference) for reference in references]
    return None not in answers or any(isinstance(one, Seen) and one.status is Status.PAID for one in answers)
