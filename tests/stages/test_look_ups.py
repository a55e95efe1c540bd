"""CHECK under a budget, as the pump runs it: tokens for rows, rows for calls, and what is left is put back."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import fakeredis
import pytest

from domain.account import Account
from domain.decision import Stage
from domain.evidence import Evidence, Seen
from domain.looks import Look, lane_of
from domain.status import Status
from tests.contracts.test_look_up_budget import Driven
from workers.coordination.look_up_budget import LookUpBudget
from workers.coordination.rate_limit import RateLimit
from workers.providers import call as calls_of_providers
from workers.stages import ProviderStages
from workers.stages.look_ups import FIRST_REACH, LARGEST_REACH
from workers.store.agenda import Claim

SHOP = "shop"
CALLED = lane_of(SHOP, Look.CALLED)


class Rows:
    """The agenda's place: as many due rows as are asked for."""

    def __init__(self, due: int = 10**6, references: int = 1) -> None:
        self.due, self.references = due, references
        self.put: list[str] = []
        self.claimed = 0
        self.looks: list[Sequence[Look]] = []
        self.keep = self.forget = lambda *_: None

    def claim_look_ups(self, account: str, looks: Sequence[Look], limit: int, _lease: float) -> list[Any]:
        self.looks.append(looks)
        taken = min(limit, self.due)
        self.due -= taken
        self.claimed += taken
        now = datetime.now(UTC)
        return [self._row(Claim(Stage.CHECK, account, f"inv_{n}", "t", False, now), n) for n in range(taken)]

    def _row(self, claim: Claim, number: int) -> tuple[Claim, Any]:
        refs = ", ".join(f'"{number}-{part}"' for part in range(self.references))
        return claim, SimpleNamespace(id=claim.subject, provider_ref=f"{number}", twins=None, asked_by=f"[{refs}]")

    def put_back(self, claims: Sequence[Claim]) -> None:
        self.put += [claim.subject for claim in claims]


class Single:
    """A provider that is asked one by one; it counts as ``Call.send`` counts."""

    can_be_asked = True
    asked_by_reference = False

    def __init__(self) -> None:
        self.made = 0

    def send(self) -> None:
        self.made += 1
        count = calls_of_providers._count.get()
        assert count is not None
        count.made += 1

    async def look_up(self, refs: Sequence[str], account: Account) -> Mapping[str, Evidence]:
        for _ in refs:
            self.send()
        return {ref: Seen(status=Status.PENDING, word="waiting") for ref in refs}


class Twins(Single):
    asked_by_reference = True


class Listing(Single):
    """One whose list holds all invoices, or, ``short``, none that is wanted."""

    def __init__(self, *, short: bool = False) -> None:
        super().__init__()
        self.short = short

    async def look_up_within(self, calls: int, refs: Sequence[str], account: Account) -> Mapping[str, Evidence]:
        if len(refs) <= calls:
            return await self.look_up(refs, account)
        self.send()
        found = await self.look_up(refs[: calls - 1], account) if self.short else {}
        seen = Seen(status=Status.PENDING, word="waiting")
        return found if self.short else dict.fromkeys(refs, seen)


class Worker:
    """One lane after the other, as its runner does it, at a time that is driven."""

    def __init__(self, provider: Any, rate: float, rows: Rows | None = None) -> None:
        self.rows, self.provider = rows or Rows(), provider
        self.clock = Driven(rate)
        account = Account(
            name=SHOP, provider="nebulox", base_url="http://127.0.0.1:1", api_key="k", look_ups_per_second=rate
        )
        budget = LookUpBudget(cast("Any", self.clock), {SHOP: rate})
        free = RateLimit(fakeredis.FakeAsyncRedis(), {})
        stages = ProviderStages(cast("Any", self.rows), {SHOP: account}, {"nebulox": provider}, free, budget)
        self.work = stages.works()[1]
        self.judged = 0

    async def turn(self, lane: str = SHOP, room: int = 100) -> int:
        assert self.work.admission is not None
        assert self.work.perform
        allowed, _ = await self.work.admission.admit(lane, room)
        items = self.work.claim(lane, allowed) if allowed else []
        if allowed > len(items):
            await self.work.admission.refund(lane, allowed - len(items))
        judged = await self.work.perform(lane, items) if items else []
        self.judged += len(judged)
        return len(judged)

    async def run(self, seconds: float, step: float) -> None:
        while self.clock.now < seconds:
            await self.turn()
            self.clock.now += step


@pytest.mark.parametrize("provider", [Single, Listing, Twins])
@pytest.mark.parametrize("rate", [0.5, 4.0, 20.0])
def test_calls_never_exceed_the_budget_whatever_a_look_up_costs(provider, rate):
    seconds, rows = 200 / rate, Rows(references=3)
    worker = Worker(provider(), rate, rows)
    asyncio.run(worker.run(seconds, 0.2 / rate))
    assert worker.provider.made <= rate * seconds + 3 * max(rate, 2)
    assert worker.provider.made >= 0.9 * rate * seconds
    assert worker.judged == rows.claimed


def test_where_the_provider_has_lists_a_call_soon_covers_a_page():
    worker = Worker(Listing(), 1.0)
    asyncio.run(worker.run(30, 0.25))
    assert worker.rows.put == []
    assert worker.provider.made <= 32
    assert worker.judged > 20 * LARGEST_REACH


def test_where_the_list_holds_none_of_them_they_are_asked_one_by_one_and_none_is_lost():
    worker = Worker(Listing(short=True), 2.0)
    asyncio.run(worker.run(50, 0.25))
    assert 0 < len(worker.rows.put) <= FIRST_REACH
    assert worker.judged + len(worker.rows.put) == worker.rows.claimed
    assert worker.judged >= 0.9 * 2 * 50


def test_tokens_that_found_nothing_due_come_back():
    worker = Worker(Single(), 10.0, Rows(due=0))

    async def story():
        for _ in range(100):
            assert await worker.turn() == 0
        worker.rows.due = 100
        return await worker.turn()

    assert asyncio.run(story()) == 5


def test_the_kinds_take_turns_and_callbacks_have_a_lane_of_their_own():
    worker = Worker(Single(), 100.0)
    assert list(worker.work.lanes()) == [SHOP, CALLED]
    assert worker.work.slots(SHOP) is worker.work.slots(CALLED)

    async def story():
        for _ in range(40):
            await worker.turn(SHOP, 1)
            worker.clock.now += 0.1
        await worker.turn(CALLED, 1)

    asyncio.run(story())
    *others, called = worker.rows.looks
    assert called == (Look.CALLED,)
    firsts = [looks[0] for looks in others]
    assert [firsts.count(look) for look in (Look.NEAR, Look.OPEN, Look.WATCHED)] == [20, 18, 2]
    assert all(sorted(looks) == sorted((Look.NEAR, Look.OPEN, Look.WATCHED)) for looks in others)
    assert math.isclose(worker.provider.made, 41)


def test_an_invoice_that_has_twins_is_asked_by_all_of_its_references_though_no_list_holds_them():
    """With one call for it the list would be tried again and again, and nobody asked."""

    class ListingTwins(Listing):
        asked_by_reference = True

    worker = Worker(ListingTwins(short=True), 10.0, Rows(due=1, references=3))
    assert asyncio.run(worker.turn(CALLED)) == 1
    assert worker.rows.put == []
    assert worker.provider.made == 3
