"""The breaker, on a stand-in and on a real Valkey: several workers, one state. Its times are Redis' own: short ones."""

from __future__ import annotations

import asyncio
import time
import uuid

import fakeredis
import pytest
from fakeredis import FakeAsyncRedis, FakeRedis, FakeServer
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from workers.coordination.breaker import Breaker, BreakerLimits, key_of, read_breakers, reset_breakers
from workers.coordination.connections import ONE_TRY_ASYNC, open_async_redis

DEADLINE_SECONDS = 120
#: Long enough to be seen open on a busy machine, short enough to be waited for.
LIMITS = BreakerLimits(open_seconds=1.0, probe_seconds=60, ask_seconds=0)
FOREVER = BreakerLimits(open_seconds=600, ask_seconds=0)


class World:
    """One Redis, any number of workers, an endpoint of the test's own."""

    def __init__(self, make, sync):
        self._make = make
        self._clients = []
        self.sync = sync
        self.endpoint = f"ep_{uuid.uuid4().hex}"

    def worker(self, limits=LIMITS):
        client = self._make()
        self._clients.append(client)
        return Breaker(client, limits)

    async def close(self):
        for client in self._clients:
            await client.aclose()

    def state(self):
        return read_breakers(self.sync, [self.endpoint])[self.endpoint]

    async def note(self, breaker, failures, successes=0, *, last=False):
        """Outcomes that the others have been told when this returns; ``last``: the last one succeeded."""
        outcomes = [True] * successes + [False] * failures
        for succeeded in reversed(outcomes) if last else outcomes:
            breaker.note(self.endpoint, succeeded=succeeded)
        await self.told(breaker)

    async def told(self, breaker):
        """Until the others have been told."""
        assert breaker._telling is not None
        await breaker._telling

    async def until_asked_in_vain(self, breaker):
        """Until the time to stay open is over: what the first worker that asks is then told."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (answer := await breaker.admit(self.endpoint, 50))[0] == 0:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        return answer[0]


@pytest.fixture(params=["stand-in", "valkey"])
def play(request):
    """Runs a story in a world."""
    if request.param == "valkey":
        url = request.getfixturevalue("valkey_url")
        make, sync = (lambda: AsyncRedis.from_url(url)), Redis.from_url(url)
    else:
        server = FakeServer()
        make, sync = (lambda: FakeAsyncRedis(server=server)), FakeRedis(server=server)

    def run(story):
        async def told():
            world = World(make, sync)
            try:
                await story(world)
            finally:
                await world.close()

        asyncio.run(told())

    yield run
    sync.close()


@pytest.mark.parametrize(
    ("failures", "successes", "opens"), [(9, 0, False), (10, 0, True), (7, 3, True), (69, 31, False), (70, 30, True)]
)
def test_it_opens_at_seventy_percent_of_at_least_ten_tries(play, failures, successes, opens):
    async def story(world):
        worker = world.worker(FOREVER)
        await world.note(worker, failures, successes)
        allowed, seconds = await worker.admit(world.endpoint, 50)

        assert (allowed, world.state()) == ((0, "open") if opens else (50, "closed"))
        assert not opens or 590 < seconds <= 600

    play(story)


def test_by_default_it_stays_open_for_thirty_seconds(play):
    async def story(world):
        worker = world.worker(BreakerLimits())
        await world.note(worker, 10)
        assert 25 < (await worker.admit(world.endpoint, 1))[1] <= 30
        assert BreakerLimits() == BreakerLimits(300, 10, 10, 0.7, 30, 20, 0.5)

    play(story)


def test_tries_of_several_workers_are_counted_together_and_all_of_them_hold_back(play):
    async def story(world):
        first, second, idle = (world.worker(FOREVER) for _ in range(3))
        await world.note(first, 5)
        assert (await idle.admit(world.endpoint, 50))[0] == 50
        await world.note(second, 5)

        assert [(await worker.admit(world.endpoint, 50))[0] for worker in (first, second, idle)] == [0, 0, 0]
        assert await idle.admit("ep_other", 50) == (50, 0.0)

    play(story)


def test_what_was_begun_before_it_opened_neither_closes_nor_prolongs_it(play):
    async def story(world):
        worker = world.worker(FOREVER)
        await world.note(worker, 10)
        before = world.sync.hget(key_of(world.endpoint), "open_until")
        await world.note(worker, 20)
        await world.note(worker, 0, 5, last=True)

        assert world.state() == "open"
        assert world.sync.hget(key_of(world.endpoint), "open_until") == before

    play(story)


def test_then_one_worker_makes_one_probe_and_its_success_closes_it_for_all(play):
    async def story(world):
        workers = [world.worker() for _ in range(5)]
        await world.note(workers[0], 10)
        assert await world.until_asked_in_vain(workers[1]) == 1
        answers = [await worker.admit(world.endpoint, 50) for worker in workers]

        assert world.state() == "probing"
        assert [worker.stops(world.endpoint) for worker in workers[:3]] == [True, False, True]
        assert [allowed for allowed, _ in answers] == [0] * 5
        assert all(0 < seconds <= 1 for _, seconds in answers)  # the probe may end at any moment
        await world.note(workers[1], 0, 1, last=True)
        assert [(await worker.admit(world.endpoint, 50))[0] for worker in workers] == [50] * 5
        assert world.state() == "closed"
        assert not any(worker.stops(world.endpoint) for worker in workers)
        await world.note(workers[0], 9)  # and counts anew
        assert (await workers[0].admit(world.endpoint, 50))[0] == 50

    play(story)


def test_a_failed_probe_opens_it_again(play):
    async def story(world):
        worker, other = world.worker(), world.worker(FOREVER)
        await world.note(worker, 10)
        assert await world.until_asked_in_vain(worker) == 1
        await world.note(other, 1)

        assert world.state() == "open"
        assert (await worker.admit(world.endpoint, 50))[0] == 0

    play(story)


def test_a_probe_that_found_nothing_to_send_is_the_next_delivery_s(play):
    async def story(world):
        worker, other = world.worker(), world.worker()
        await world.note(worker, 10)
        assert await world.until_asked_in_vain(worker) == 1
        await other.give_back(world.endpoint, 1)  # it was not its own
        assert (await other.admit(world.endpoint, 50))[0] == 0
        await worker.give_back(world.endpoint, 1)
        assert (await other.admit(world.endpoint, 50))[0] == 1

    play(story)


def test_a_probe_whose_worker_died_is_made_by_another(play):
    async def story(world):
        short = BreakerLimits(open_seconds=0.3, probe_seconds=0.3, ask_seconds=0)
        dying, other = world.worker(short), world.worker(short)
        await world.note(dying, 10)
        assert await world.until_asked_in_vain(dying) == 1
        assert await world.until_asked_in_vain(other) == 1

    play(story)


def test_failures_of_long_ago_do_not_count(play):
    async def story(world):
        worker = world.worker(BreakerLimits(window_seconds=0.4, buckets=4, open_seconds=60, ask_seconds=0))
        await world.note(worker, 9)
        await asyncio.sleep(0.5)  # Redis' own clock: nobody else's can be moved
        await world.note(worker, 9)
        assert world.state() == "closed"

    play(story)


def test_an_operator_may_close_it(play):
    async def story(world):
        worker = world.worker(FOREVER)
        await world.note(worker, 10)
        assert (await worker.admit(world.endpoint, 50))[0] == 0
        reset_breakers(world.sync, [world.endpoint])
        assert (await worker.admit(world.endpoint, 50))[0] == 50

    play(story)


def test_a_worker_asks_again_after_a_moment_only(play):
    async def story(world):
        worker, other = world.worker(BreakerLimits(ask_seconds=60)), world.worker(FOREVER)
        assert (await worker.admit(world.endpoint, 50))[0] == 50
        await world.note(other, 10)
        assert (await worker.admit(world.endpoint, 50))[0] == 50
        await world.note(worker, 1)  # its own next try tells it
        assert (await worker.admit(world.endpoint, 50))[0] == 0

    play(story)


def test_while_redis_is_away_everything_is_let_through_and_redis_left_alone_for_a_moment():
    async def story():
        client = open_async_redis("redis://127.0.0.1:1/0", ONE_TRY_ASYNC)
        breaker = Breaker(client, FOREVER)
        for _ in range(20):
            breaker.note("ep_1", succeeded=False)
        assert breaker._telling is not None
        await breaker._telling
        asked = breaker._away_until
        assert asked > time.monotonic()
        assert await breaker.admit("ep_1", 50) == (50, 0.0)
        assert await breaker.admit("ep_2", 50) == (50, 0.0)
        assert breaker._away_until == asked
        await client.aclose()

    asyncio.run(story())


def test_what_an_open_breaker_held_back_is_let_through_when_redis_is_away():
    """Nobody would say when it closes: what is claimed and put off at once would be claimed again at once."""

    async def story():
        server = fakeredis.FakeServer()
        breaker = Breaker(fakeredis.FakeAsyncRedis(server=server), BreakerLimits(ask_seconds=0))
        for _ in range(20):
            breaker.note("ep_1", succeeded=False)
        assert breaker._telling is not None
        await breaker._telling
        assert breaker.stops("ep_1")
        server.connected = False
        assert await breaker.admit("ep_1", 50) == (50, 0.0)
        assert not breaker.stops("ep_1")
        breaker._away_until = 0.0  # the moment is over, and nobody has answered yet
        assert not breaker.stops("ep_1")

    asyncio.run(story())


def test_whether_deliveries_pass_is_known_for_a_while_after_the_others_were_asked_or_told(play):
    async def story(world):
        limits = BreakerLimits(ask_seconds=60)
        asking, telling = world.worker(limits), world.worker(limits)
        assert not asking.passes(world.endpoint)  # nobody has been asked yet
        assert not telling.passes(world.endpoint)
        assert await asking.admit(world.endpoint, 5) == (5, 0.0)
        await world.note(telling, failures=0, successes=1)
        assert asking.passes(world.endpoint)
        assert telling.passes(world.endpoint)
        await world.note(telling, failures=20)
        assert not telling.passes(world.endpoint)

    play(story)


def test_nothing_passes_on_knowledge_that_is_too_old(play):
    async def story(world):
        breaker = world.worker(BreakerLimits(ask_seconds=0))
        await breaker.admit(world.endpoint, 5)
        assert not breaker.passes(world.endpoint)

    play(story)


def test_a_look_tells_that_deliveries_pass_and_takes_no_probe(play):
    async def story(world):
        looking, other = world.worker(BreakerLimits(ask_seconds=60)), world.worker(LIMITS)
        await looking.look(world.endpoint)
        assert looking.passes(world.endpoint)
        await world.note(other, failures=20)
        late = world.worker(BreakerLimits(ask_seconds=60))
        await late.look(world.endpoint)
        assert not late.passes(world.endpoint)
        while world.sync.hget(key_of(world.endpoint), "open_until"):  # until the probe of somebody who asks succeeds
            await late.look(world.endpoint)
            assert not late.passes(world.endpoint)
            if (await other.admit(world.endpoint, 50))[0]:
                await world.note(other, failures=0, successes=1)
        await late.look(world.endpoint)
        assert late.passes(world.endpoint)

    play(story)


def test_while_redis_is_away_a_look_lets_all_pass():
    async def story():
        server = fakeredis.FakeServer()
        breaker = Breaker(fakeredis.FakeAsyncRedis(server=server), BreakerLimits(ask_seconds=0))
        server.connected = False
        await breaker.look("ep_1")
        assert breaker.passes("ep_1")

    asyncio.run(story())
