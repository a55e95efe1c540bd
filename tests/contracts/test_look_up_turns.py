"""The promise of a budget: an open invoice is looked at every max(its poll interval, open / rate). Over the real store,
agenda and admission, by a clock that the test drives."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import fakeredis
import pytest
from sqlalchemy import insert, select

from domain.account import Account
from domain.evidence import CalledBack
from domain.looks import Look, lane_of
from domain.schedule import JITTER_SHARE, SLOWEST_POLL
from domain.status import Status
from tests.contracts.store_cases import ACCOUNT, POLICIES, HandClock, created, order, policy, seen, take
from tests.contracts.test_look_up_budget import Driven
from workers.coordination.look_up_budget import LookUpBudget
from workers.coordination.rate_limit import RateLimit
from workers.stages.look_ups import Turns
from workers.store.database import Database
from workers.store.judging import Judgement
from workers.store.store import Store
from workers.store.tables import AGENDA, INVOICE

START = datetime(2026, 11, 29, tzinfo=UTC)
CALLED = lane_of(ACCOUNT, Look.CALLED)
FILLED = 1000
ROOM = 500  #: rows of a claim at most
STEP = 0.4  #: seconds between claims: less than half a bucket's, so that no token is lost


class Shop:
    """An account with so many open invoices, all due, and one worker that looks at them as its budget allows."""

    def __init__(self, url: str, invoices: int, rate: float, poll_seconds: float) -> None:
        self.clock = HandClock(START)
        self.database = Database(url, clock=self.clock)
        policies = POLICIES | {ACCOUNT: policy(look_ups_per_second=rate, poll_seconds=poll_seconds)}
        self.store = Store(self.database, policies, lambda _: None)
        self.bucket = Driven(rate)
        self.bucket.register_script = self._register  # type: ignore[method-assign]
        account = Account(name=ACCOUNT, provider="one", base_url="http://x", api_key="k", look_ups_per_second=rate)
        providers: Any = {"one": SimpleNamespace()}
        free = RateLimit(fakeredis.FakeAsyncRedis(), {})
        budget = LookUpBudget(cast("Any", self.bucket), {ACCOUNT: rate})
        self.turns = Turns(self.store, {ACCOUNT: account}, providers, free, budget)
        self.ids = self._fill(invoices)
        self.looked_at = dict.fromkeys(self.ids, 0.0)
        self.gaps: Counter[str] = Counter()  #: the longest of each
        self.looks: Counter[str] = Counter()  #: by lane
        self.times: Counter[str] = Counter()  #: by invoice
        self.claims = 0

    def _register(self, _source: str) -> Any:
        async def call(keys: list[str], args: list[Any]) -> tuple[int, float]:
            return self.bucket.bucket.take(args[1], args[2], self.bucket.now)

        return call

    def _fill(self, count: int) -> list[str]:
        """Made from one that the store made."""
        (first,) = take(self.store, order())
        self.store.judge([Judgement(first, created(expires_at=START + timedelta(days=30)))])
        with self.database.transaction() as connection:
            invoice = dict(connection.execute(select(INVOICE).where(INVOICE.c.id == first)).mappings().one())
            check = dict(connection.execute(select(AGENDA).where(AGENDA.c.stage == "check")).mappings().one())
            ids = [f"{first[:-8]}{number:08x}" for number in range(count)]
            for begin in range(0, count, FILLED):
                some = ids[begin : begin + FILLED]
                keys = [{"id": one, "order_id": one, "idempotency_key": one, "provider_ref": one} for one in some]
                connection.execute(insert(INVOICE), [invoice | key for key in keys])
                rows = [check | {"subject": one, "due_at": START, "claims": 0} for one in some]
                connection.execute(insert(AGENDA), rows)
            connection.execute(AGENDA.delete().where(AGENDA.c.subject == first))
        return ids

    @property
    def now(self) -> float:
        return self.bucket.now

    def pass_time(self, seconds: float) -> None:
        self.bucket.now += seconds
        self.clock.time = START + timedelta(seconds=self.bucket.now)

    def run(self, seconds: float, word: str = "pending") -> None:
        """Look at what is due for so long; what is found has not changed."""
        asyncio.run(self._run(self.now + seconds, word))

    async def _run(self, until: float, word: str) -> None:
        while self.now < until:
            called = await self._look(CALLED, word)
            wait = await self._look(ACCOUNT, word)
            self.pass_time(max(STEP, min(called, wait, 1.0)))

    async def _look(self, lane: str, word: str) -> float:
        """As the pump does: admission, claim, look-ups, their evidence. Seconds until the next."""
        allowed, wait = await self.turns.admit(lane, ROOM)
        if not allowed:
            return wait
        turns = self.turns.claim(lane, allowed, 60.0)
        self.claims += bool(turns)
        if len(turns) < allowed:
            await self.turns.refund(lane, allowed - len(turns))
        for turn in turns:
            one = turn.claim.subject
            self.gaps[one] = max(self.gaps[one], round(self.now - self.looked_at[one]))
            self.looked_at[one] = self.now
            self.times[one] += 1
        self.looks[lane] += len(turns)
        at = self.clock.time
        self.store.judge([Judgement(t.claim.subject, seen(word, asked_at=at), t.claim) for t in turns])
        return wait if len(turns) == allowed else 1.0

    def end(self) -> None:
        """Those that are still waiting count with their wait so far."""
        for one in self.ids:
            self.gaps[one] = max(self.gaps[one], round(self.now - self.looked_at[one]))


@contextlib.contextmanager
def shop(path: Any, template: Any, *args: Any) -> Iterator[Shop]:
    shutil.copyfile(template, path / "invoices.db")
    world = Shop(f"sqlite:///{path / 'invoices.db'}", *args)
    try:
        yield world
    finally:
        world.database.close()


def slowest(poll_seconds: float) -> float:
    """The interval of the longest quiet invoice."""
    return poll_seconds * SLOWEST_POLL * (1 + JITTER_SHARE)


def keeps_its_promise(world: Shop, rate: float, poll_seconds: float, rounds: float) -> None:
    count = len(world.ids)
    promise = max(slowest(poll_seconds), count / rate)
    world.run(promise * rounds)
    world.end()
    assert max(world.gaps.values()) <= promise * 1.05 + 2
    assert sum(world.looks.values()) <= rate * world.now + rate
    if count / rate > slowest(poll_seconds):  # none of the budget is wasted
        assert sum(world.looks.values()) >= 0.97 * rate * world.now
        turn = count / rate
        assert min(world.gaps.values()) >= 0.9 * turn


@pytest.mark.parametrize(
    ("invoices", "rate", "poll_seconds"),
    [
        pytest.param(2000, 100.0, 0.5, marks=pytest.mark.engines),  # 20 s, far more than any poll
        pytest.param(2000, 100.0, 1.8, marks=pytest.mark.engines),  # 20 s, about the slowest poll
        (300, 40.0, 1.0),  # 7.5 s, between the first poll and the slowest
        (50, 40.0, 1.0),  # the budget covers them all
    ],
)
def test_every_open_invoice_is_looked_at_in_its_turn(tmp_path, sqlite_template, invoices, rate, poll_seconds):
    with shop(tmp_path, sqlite_template, invoices, rate, poll_seconds) as world:
        keeps_its_promise(world, rate, poll_seconds, rounds=3)


@pytest.mark.engines
@pytest.mark.timeout(900)
def test_a_hundred_thousand_open_invoices_are_looked_at_in_their_turns(tmp_path, sqlite_template):
    """Each every 100 s, which is three times the slowest poll."""
    with shop(tmp_path, sqlite_template, 100_000, 1000.0, 3.0) as world:
        keeps_its_promise(world, 1000.0, 3.0, rounds=2.1)


def test_what_can_not_be_served_yet_is_left_where_it_is(tmp_path, sqlite_template):
    """Two thousand are due and ten a second are looked at: no row is claimed that is not looked at."""
    with shop(tmp_path, sqlite_template, 2000, 10.0, 30.0) as world:
        world.run(20)
        looks = sum(world.looks.values())
        with world.database.reading() as connection:
            touched = connection.execute(select(AGENDA.c.subject).where(AGENDA.c.due_at != START)).all()
        assert 0 < looks < 250
        assert looks == len(touched) == len(world.gaps)
        assert world.claims <= looks


def test_a_callback_is_looked_into_at_once_while_thousands_are_due(tmp_path, sqlite_template):
    with shop(tmp_path, sqlite_template, 5000, 5.0, 30.0) as world:
        world.run(10)
        late = world.ids[-1]
        world.store.judge([Judgement(late, CalledBack(status=Status.PAID, word="paid", order_id=late, only=True))])
        before = world.now
        world.run(1.0, "paid")
        assert world.looks[CALLED] == 1
        assert before <= world.looked_at[late] <= before + STEP


def test_when_most_invoices_are_closed_the_others_come_sooner(tmp_path, sqlite_template):
    """What was planned while thousands were open does not lie hours ahead."""
    with shop(tmp_path, sqlite_template, 3000, 10.0, 1.0) as world:
        world.run(60)
        gone, left = world.ids[:-100], world.ids[-100:]
        with world.database.transaction() as connection:
            connection.execute(AGENDA.delete().where(AGENDA.c.subject.in_(gone)))
        world.ids, begun = left, world.now
        world.run(30)
        assert all(world.looked_at[one] >= begun for one in left)


def test_nobody_starves_while_callbacks_and_ends_come_in_without_end(tmp_path, sqlite_template):
    """Callbacks that no look-up confirms, and invoices near their end, more than the budget covers: each of the others
    still has its turn within a bounded multiple of the promise, and so have the closed ones."""
    rate, count = 40.0, 400
    with shop(tmp_path, sqlite_template, count, rate, 1.0) as world:
        urgent, watched, plain = world.ids[:150], world.ids[150:160], world.ids[160:]
        lanes = {Look.CALLED: urgent[:75], Look.NEAR: urgent[75:], Look.WATCHED: watched}
        promise = max(slowest(1.0), count / rate)
        for _ in range(round(8 * promise)):
            with world.database.transaction() as connection:
                for look, ids in lanes.items():
                    again = {"lane": lane_of(ACCOUNT, look), "due_at": world.clock.time - timedelta(hours=1)}
                    ours = AGENDA.c.stage == "check", AGENDA.c.subject.in_(ids)
                    connection.execute(AGENDA.update().where(*ours).values(**again))
            world.run(1.0)
        world.end()
        assert world.looks[CALLED] > world.looks[ACCOUNT]
        assert max(world.gaps[one] for one in plain) <= 5 * promise
        assert sum(world.times[one] for one in watched) >= 5
