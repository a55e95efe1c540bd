"""A lane that makes quick calls claims its next batch meanwhile: never more calls than its cap, and nothing is kept."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime

import pytest

from domain.decision import Stage
from tests.servers import wait_until
from workers.engine import Pump, ReadAhead, Slots, Work
from workers.store.agenda import Claim, Due

LANE = (Stage.DELIVER, "ep")
LIMIT = 4
ROWS = 200
PATIENCE_SECONDS = 60
QUICK = ReadAhead(quick_seconds=60.0)  #: calls are quick even where the host stands still for a moment


class Hooks:
    """Webhooks that are due, and how many are claimed and not yet ended: the most at once."""

    def __init__(self, read_ahead=QUICK):
        self.read_ahead = read_ahead
        self.due, self.claimed, self.sent, self.released = list(range(ROWS)), [], [], []
        self.slots, self.slow = Slots(LIMIT), set()
        self.begun = self.under_way = self.most_under_way = self.most_claimed = 0
        self.wait_at = ROWS + 1  #: this call and all that are begun after it wait until ``go_on`` is set
        self.go_on = threading.Event()

    def claim(self, _lane, limit):
        found, self.due = self.due[:limit], self.due[limit:]
        self.claimed += found
        self.most_claimed = max(self.most_claimed, len(self.claimed) - len(self.sent))
        return found

    async def send(self, _lane, rows):
        self.begun += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        if self.begun >= self.wait_at:
            await asyncio.to_thread(self.go_on.wait)
        else:
            await asyncio.sleep(2 * self.read_ahead.quick_seconds if rows[0] in self.slow else 0.002)
        self.under_way -= 1
        self.sent += rows
        return rows

    async def open_works(self, _):
        hooks = Work(
            stage=LANE[0],
            lanes=lambda: [LANE[1]],
            slots=lambda _: self.slots,
            claim=self.claim,
            claim_of=lambda row: Claim(*LANE, str(row), "t", False, datetime.now(UTC)),
            commit=lambda _: None,
            perform=self.send,
            read_ahead=self.read_ahead,
        )
        return [hooks]


@pytest.fixture
def run():
    """Runs the pump of these webhooks."""
    started = []

    def start(hooks):
        def release(claims):
            hooks.released += [int(claim.subject) for claim in claims]

        one = Pump(hooks.open_works, lambda _: [Due(*LANE, -1.0)], release, lambda _: None)
        started.append((one, hooks))
        one.start()
        return one

    yield start
    for one, hooks in started:
        hooks.go_on.set()
        one.stop(2)


def test_the_next_rows_are_claimed_while_quick_calls_are_under_way_and_each_is_sent_once(run):
    hooks = Hooks()
    run(hooks)
    wait_until(lambda: len(hooks.sent) == ROWS, "all are sent", PATIENCE_SECONDS)
    assert sorted(hooks.sent) == list(range(ROWS))
    assert hooks.most_under_way <= LIMIT < hooks.most_claimed <= 3 * LIMIT


def test_slow_calls_are_waited_for_before_more_is_claimed(run):
    hooks = Hooks(ReadAhead(quick_seconds=0.0))
    run(hooks)
    wait_until(lambda: len(hooks.sent) == ROWS, "all are sent", PATIENCE_SECONDS)
    assert hooks.most_claimed <= LIMIT


def test_one_slow_call_among_quick_ones_is_enough_to_claim_nothing_ahead_for_a_while(run):
    """Others may hang by now, and what is ready would wait for them while another worker could send it."""
    hooks = Hooks(ReadAhead())
    hooks.slow.add(0)
    hooks.wait_at = 3 * ROWS  # none
    run(hooks)
    wait_until(lambda: len(hooks.sent) == ROWS, "the slow one and all others have ended", PATIENCE_SECONDS)
    hooks.most_claimed = 0
    hooks.due += range(ROWS, 2 * ROWS)
    wait_until(lambda: len(hooks.sent) == 2 * ROWS, "all are sent", PATIENCE_SECONDS)
    assert hooks.most_claimed <= LIMIT


def test_at_the_end_what_was_claimed_and_not_begun_is_given_back(run):
    hooks = Hooks()
    hooks.wait_at = 20
    one = run(hooks)
    wait_until(lambda: hooks.under_way == LIMIT and len(hooks.claimed) > hooks.begun, "more is ready", PATIENCE_SECONDS)
    stopping = threading.Thread(target=one.stop, args=(PATIENCE_SECONDS,))
    stopping.start()
    wait_until(lambda: hooks.released, "it is given back before the calls have ended", PATIENCE_SECONDS)
    hooks.go_on.set()
    stopping.join(PATIENCE_SECONDS)
    assert not set(hooks.released) & set(hooks.sent)
    assert sorted(hooks.released + hooks.sent) == sorted(hooks.claimed)


def test_what_is_ready_for_an_endpoint_that_is_closed_is_told_so_instead_of_being_kept(run):
    hooks = Hooks()
    hooks.wait_at = 20
    run(hooks)
    wait_until(lambda: hooks.under_way == LIMIT and len(hooks.claimed) > hooks.begun, "more is ready", PATIENCE_SECONDS)
    hooks.slots.limit = 0
    hooks.go_on.set()
    wait_until(lambda: len(hooks.sent) == len(hooks.claimed), "all that was claimed is handled", PATIENCE_SECONDS)
    assert hooks.due
