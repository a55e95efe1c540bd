"""What one stage's commit brings another is begun at once, where there is room; a lane that flows needs no doorbell."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from domain.decision import Stage
from workers.engine import Admission, Feeding, Pace, Pump, ReadAhead, Slots, Work
from workers.engine.lane import Backlog
from workers.store.agenda import Claim, Due

ORDERS = (Stage.CREATE, "shop")
HOOKS = (Stage.DELIVER, "ep")
PATIENCE_SECONDS = 60
LIMIT = 3  #: deliveries side by side
QUICK = ReadAhead(quick_seconds=60.0)  #: calls are quick even where the host stands still for a moment


async def admit_all(_lane, asked):
    return asked, 0.0


async def refund_none(_lane, _unused):
    """Nothing is counted."""


def claim_of(item):
    return Claim(*HOOKS, item, "t", False, datetime.now(UTC))


class Shop:
    """Two stages: what is created brings a webhook each. Rows are texts; nothing is stored."""

    def __init__(self, orders, passes=True, read_ahead=None):
        self.orders, self.hooks = list(orders), []
        self.slots = {ORDERS[0]: Slots(10), HOOKS[0]: Slots(LIMIT)}
        self.reserved, self.taken, self.claimed, self.sent, self.released = [], [], [], [], []
        self.cleared, self.most, self.open_calls, self.open_orders, self.looks = [], 0, 0, 0, 0
        self.passes, self.read_ahead = passes, read_ahead
        self.is_open = False  #: what a look at the limit finds
        self.gate = threading.Event()  #: webhooks wait until it is open
        self.gate.set()
        self.orders_gate = threading.Event()  #: and orders until this one is
        self.orders_gate.set()
        self.lock = threading.Lock()
        self.commit_fails = self.under_way = self.endless = False
        self.before_taking = self.before_claimed = self.before_orders = lambda: None

    def claim_orders(self, _lane, limit):
        self.before_orders()
        self.looks += 1
        if self.endless:
            return [str(self.looks)]
        found, self.orders = self.orders[:limit], self.orders[limit:]
        return found

    def commit_orders(self, orders):
        with self.lock:
            self.hooks += [f"hook of {order}" for order in orders]

    def commit_and_take(self, orders, reserved):
        self.under_way = True
        self.before_taking()
        if self.commit_fails:
            self.commit_fails = False
            raise ValueError("a bug")
        with self.lock:
            self.reserved.append(dict(reserved))
            hooks = [f"hook of {order}" for order in orders]
            taken, left = hooks[: reserved[HOOKS[1]]], hooks[reserved[HOOKS[1]] :]
            self.hooks += left
            self.taken += taken
        return {HOOKS[1]: taken} if taken else {}, []

    def claim_hooks(self, _lane, limit):
        self.before_claimed()
        with self.lock:
            found, self.hooks = self.hooks[:limit], self.hooks[limit:]
        self.claimed += found
        return found

    async def make(self, _lane, orders):
        self.open_orders += 1
        await asyncio.to_thread(self.orders_gate.wait)
        self.open_orders -= 1
        return orders

    async def send(self, _lane, hooks):
        self.open_calls += 1
        self.most = max(self.most, self.open_calls)
        await asyncio.to_thread(self.gate.wait)
        self.open_calls -= 1
        self.sent += hooks
        return hooks

    async def look(self, _lane):
        self.passes = self.passes or self.is_open

    async def open_works(self, _):
        orders = Work(
            stage=ORDERS[0],
            lanes=lambda: [ORDERS[1]],
            slots=lambda _: self.slots[ORDERS[0]],
            claim=self.claim_orders,
            claim_of=claim_of,
            commit=self.commit_orders,
            feeding=Feeding(HOOKS[0], self.commit_and_take),
            pace=Pace(flows=True),
            perform=self.make,
        )
        hooks = Work(
            stage=HOOKS[0],
            lanes=lambda: [HOOKS[1]],
            slots=lambda _: self.slots[HOOKS[0]],
            claim=self.claim_hooks,
            claim_of=claim_of,
            commit=lambda _: None,
            perform=self.send,
            admission=Admission(admit_all, refund_none, lambda _: self.passes, self.look),
            read_ahead=self.read_ahead,
        )
        return [orders, hooks]

    def due(self, lanes):
        """Deliveries that nobody has taken are due at each look, orders only at the first."""
        return [Due(*HOOKS, -1.0)] if self.hooks else []


@pytest.fixture
def run():
    """Runs a shop's pump until a condition holds."""
    pumps, shops = [], []

    def start(shop):
        shops.append(shop)
        pump = Pump(shop.open_works, shop.due, shop.released.extend, lambda _: None, shop.cleared.append)
        pump.start()
        pumps.append(pump)
        until(lambda: pump._lanes)
        pump.wake(ORDERS)
        return pump

    yield start
    for shop in shops:
        shop.gate.set()
    for pump in pumps:
        pump.stop(2)


def until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.005)


def test_what_a_commit_brings_is_begun_without_a_claim(run):
    shop = Shop(["1", "2"])
    run(shop)
    until(lambda: len(shop.sent) == 2)
    assert sorted(shop.sent) == sorted(shop.taken) == ["hook of 1", "hook of 2"]
    assert shop.claimed == []


def test_a_lane_never_has_more_under_way_than_its_limit_and_what_does_not_fit_is_claimed_later(run):
    shop = Shop([str(number) for number in range(10)])
    shop.gate.clear()
    pump = run(shop)
    until(lambda: shop.slots[HOOKS[0]].used == LIMIT)
    pump.wake(HOOKS)
    time.sleep(0.1)
    assert (len(shop.taken) + len(shop.claimed), shop.sent) == (LIMIT, [])
    shop.gate.set()
    until(lambda: len(shop.sent) == 10)
    assert shop.most <= LIMIT
    until(lambda: shop.slots[HOOKS[0]].used == 0)


def taking_ahead(run):
    """A shop whose commits have taken more webhooks than there are slots, all of which wait; and its pump."""
    shop = Shop(["first"], read_ahead=QUICK)
    pump = run(shop)
    until(lambda: shop.sent)  # a quick one
    shop.gate.clear()
    shop.orders_gate.clear()
    shop.orders = [str(number) for number in range(5)]
    pump.wake(ORDERS)
    until(lambda: shop.open_orders == 5)
    shop.before_taking = lambda: until(lambda: not shop.open_orders)
    shop.orders_gate.set()
    until(lambda: pump._lanes[HOOKS].ready)
    return shop, pump


def test_where_calls_are_quick_a_commit_takes_rows_ahead_which_begin_as_slots_come_free(run):
    shop, _ = taking_ahead(run)
    shop.gate.set()
    until(lambda: len(shop.sent) == 6)
    assert len(set(shop.sent)) == 6
    assert shop.most <= LIMIT
    until(lambda: shop.slots[HOOKS[0]].used == 0)


def test_what_was_taken_ahead_is_given_back_when_the_process_stops(run):
    shop, pump = taking_ahead(run)
    pump.stop(0.5)
    given_back = {claim.subject for claim in shop.released}
    assert given_back
    assert set(shop.taken) <= given_back | set(shop.sent)


def test_while_rows_are_claimed_a_commit_takes_no_slots_that_they_are_claimed_for(run):
    shop = Shop(["1", "2", "3"])
    shop.hooks = [f"older {number}" for number in range(LIMIT)]
    shop.gate.clear()
    claims, may_go_on = threading.Event(), threading.Event()

    def wait():
        claims.set()
        may_go_on.wait(PATIENCE_SECONDS)

    shop.before_claimed = wait
    pump = run(shop)
    assert claims.wait(PATIENCE_SECONDS)
    until(lambda: len(shop.taken) + len(shop.hooks) == LIMIT + 3)  # its commit is over
    may_go_on.set()
    until(lambda: shop.open_calls >= LIMIT)
    pump.wake(HOOKS)
    time.sleep(0.1)
    assert shop.most == LIMIT
    shop.gate.set()
    until(lambda: len(shop.sent) == LIMIT + 3)
    assert shop.most == LIMIT
    until(lambda: shop.slots[HOOKS[0]].used == 0)


def test_lanes_that_share_slots_have_no_more_calls_under_way_than_these_however_their_claims_overlap(run):
    shop = Shop([str(number) for number in range(10)])
    shop.hooks = [f"older {number}" for number in range(10)]
    shop.slots[ORDERS[0]] = shop.slots[HOOKS[0]]
    shop.gate = shop.orders_gate
    shop.gate.clear()
    both = threading.Barrier(2)

    def meet():  # the other claim, if it may be under way now
        with suppress(threading.BrokenBarrierError):
            both.wait(0.2)

    shop.before_claimed = shop.before_orders = meet
    pump = run(shop)
    pump.wake(HOOKS)
    until(lambda: shop.open_orders + shop.open_calls >= LIMIT)
    time.sleep(0.3)
    assert shop.open_orders + shop.open_calls == LIMIT
    shop.gate.set()
    until(lambda: len(shop.sent) == 20)


def test_a_lane_that_lets_nothing_through_takes_nothing(run):
    shop = Shop(["1"], passes=False)
    run(shop)
    until(lambda: shop.sent)
    assert (shop.taken, shop.claimed, shop.reserved) == ([], ["hook of 1"], [])


def test_a_commit_that_fails_gives_its_slots_back(run):
    shop = Shop(["1"])
    shop.commit_fails = True  # the whole batch once; then its parts
    pump = run(shop)
    until(lambda: not shop.commit_fails)
    shop.orders.append("2")
    pump.wake(ORDERS)
    until(lambda: "hook of 2" in shop.sent)
    until(lambda: shop.slots[HOOKS[0]].used == 0)


def test_what_was_taken_when_the_process_stops_is_given_back(run):
    shop = Shop(["1"])
    shop.before_taking = lambda: until(lambda: pump._shared.stopping)
    pump = run(shop)
    until(lambda: shop.under_way)
    pump.stop(PATIENCE_SECONDS)
    assert [claim.subject for claim in shop.released] == shop.taken == ["hook of 1"]
    assert shop.sent == []


def test_a_lane_that_flows_is_claimed_again_without_doorbells_until_nothing_comes_any_more(run):
    shop = Shop(["1"])
    pump = run(shop)
    until(lambda: shop.sent)
    shop.orders.append("2")  # no doorbell
    looks = shop.looks
    pump.wake(ORDERS)
    until(lambda: "hook of 2" in shop.sent)
    until(lambda: pump._lanes[ORDERS].backlog is not Backlog.FLOWING)
    assert shop.looks >= looks + 2  # one that found it, one that found nothing
    assert not pump.leave_pending(ORDERS)


def test_the_doorbell_of_a_lane_that_flows_is_left_pending_and_cleared_at_its_end(run):
    shop = Shop([])
    shop.endless = True
    pump = run(shop)
    until(lambda: pump.leave_pending(ORDERS))
    assert shop.cleared == []
    shop.endless = False
    until(lambda: shop.cleared)
    looks = shop.looks
    until(lambda: shop.looks > looks)  # for what came before it was cleared
    time.sleep(0.1)
    assert shop.cleared == [ORDERS]


def test_a_limit_that_nobody_has_asked_lately_is_looked_at_before_a_commit(run):
    shop = Shop(["1"], passes=False)
    shop.is_open = True
    run(shop)
    until(lambda: shop.sent)
    assert (shop.taken, shop.claimed) == (["hook of 1"], [])
