"""What the engine tells its observers at each step, and the phases of a lane."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from domain.decision import Stage
from tests.servers import wait_until
from workers.engine import Admission, EngineLog, Failure, Observer, Pump, Slots, Trouble, Work
from workers.engine.lane import LaneState, Phase
from workers.engine.observer import Observers
from workers.store.agenda import Claim, Due

LANE = (Stage.DELIVER, "ep")
PATIENCE_SECONDS = 60


class Steps(Observer):
    """Writes down what it hears."""

    def __init__(self):
        self.heard = []

    def started(self, stages):
        self.heard.append(("started", *stages))

    def stopped(self):
        self.heard.append(("stopped",))

    def claimed(self, stage, lane, asked, rows):
        self.heard.append(("claimed", stage, lane, asked, rows))

    def throttled(self, stage, lane, seconds):
        self.heard.append(("throttled", stage, lane, seconds))

    def performed(self, stage, lane, rows, seconds):
        assert seconds >= 0
        self.heard.append(("performed", stage, lane, rows))

    def committed(self, stage, results, left, seconds):
        assert seconds >= 0
        self.heard.append(("committed", stage, results, left))

    def failed(self, failure):
        self.heard.append(("failed", failure.trouble))


class Broken(Observer):
    """Can't stand hearing of anything."""

    def claimed(self, *_):
        raise ValueError("an observer's bug")

    performed = committed = claimed


def work_of(claim, perform, admit=None, commit=lambda _: None):
    slots = Slots(5)

    async def refund(_lane, _unused):
        """Nothing is counted."""

    return Work(
        stage=LANE[0],
        lanes=lambda: [LANE[1]],
        slots=lambda _: slots,
        claim=claim,
        claim_of=lambda item: Claim(*LANE, item, "t", False, datetime.now(UTC)),
        commit=commit,
        perform=perform,
        admission=admit and Admission(admit, refund),
    )


async def send(_lane, items):
    return items


@pytest.fixture
def run():
    """Runs one stage, told to these observers."""
    pumps = []

    def start(work, *observers):
        async def open_works(_):
            return [work]

        pump = Pump(
            open_works, lambda _: [Due(*LANE, -1.0)], lambda _: None, lambda _: None, observer=Observers(*observers)
        )
        pumps.append(pump)
        pump.start()
        return pump

    yield start
    for pump in pumps:
        pump.stop(2)


def test_each_step_of_a_row_is_told_in_its_order(run):
    rows, steps = ["a"], Steps()

    def claim(_lane, _limit):
        return [rows.pop()] if rows else []

    pump = run(work_of(claim, send), steps)
    wait_until(lambda: ("committed", Stage.DELIVER, 1, 0) in steps.heard, "it is committed", PATIENCE_SECONDS)
    pump.stop(5)
    assert [step for step in steps.heard if step != ("claimed", *LANE, 5, 0)] == [
        ("started", Stage.DELIVER),
        ("claimed", *LANE, 5, 1),
        ("performed", *LANE, 1),
        ("committed", Stage.DELIVER, 1, 0),
        ("stopped",),
    ]


def test_a_limit_that_lets_nothing_through_is_told_with_its_wait(run):
    steps = Steps()

    async def admit(_lane, _asked):
        return 0, 60.0

    run(work_of(lambda *_: [], send, admit), steps)
    wait_until(lambda: ("throttled", *LANE, 60.0) in steps.heard, "it is told", PATIENCE_SECONDS)


def test_a_call_that_raises_is_told_as_a_failure_and_ends_all_the_same(run):
    steps = Steps()

    async def fail(_lane, _items):
        raise ValueError("a bug")

    rows = ["a"]
    run(work_of(lambda *_: [rows.pop()] if rows else [], fail), steps)
    wait_until(lambda: ("performed", *LANE, 1) in steps.heard, "its end is told", PATIENCE_SECONDS)
    assert ("failed", Trouble.WORK_FAILED) in steps.heard
    assert not [step for step in steps.heard if step[0] == "committed"]


def test_an_observer_that_fails_holds_up_neither_the_work_nor_the_others(run):
    rows, committed, steps = list("abc"), [], Steps()
    done = threading.Event()

    def commit(results):
        committed.extend(results)
        if len(committed) == 3:
            done.set()

    with capture_logs() as lines:
        run(work_of(lambda *_: [rows.pop()] if rows else [], send, commit=commit), Broken(), steps)
        assert done.wait(PATIENCE_SECONDS)
        wait_until(lambda: ("committed", Stage.DELIVER, 1, 0) in steps.heard, "others hear of it", PATIENCE_SECONDS)
    assert {line["step"] for line in lines if line["event"] == "pump.observer_failed"} >= {"claimed", "performed"}


def test_slots_are_used_while_their_rows_are_under_way(run):
    rows, begun, go_on = list("abc"), threading.Semaphore(0), threading.Event()

    async def wait(_lane, items):
        begun.release()
        await asyncio.to_thread(go_on.wait)
        return items

    def claim(_lane, limit):
        taken, rows[:] = rows[:limit], rows[limit:]
        return taken

    pump = run(work_of(claim, wait))
    for _ in range(3):
        assert begun.acquire(timeout=PATIENCE_SECONDS)
    wait_until(lambda: pump.slots_used(Stage.DELIVER) == 3, "only what is under way takes slots", PATIENCE_SECONDS)
    assert pump.slots_used(Stage.CREATE) == 0
    go_on.set()
    wait_until(lambda: pump.slots_used(Stage.DELIVER) == 0, "its slots are free again", PATIENCE_SECONDS)


def logged(failure):
    with capture_logs() as lines:
        Observers(EngineLog()).failed(failure)
    (line,) = lines
    return line


def test_a_bug_is_logged_with_its_traceback_and_what_was_to_be_expected_in_one_line():
    error = ValueError("first\nsecond")
    bug = logged(Failure(Trouble.LANE_FAILED, Stage.CHECK, error, {"lane": "shop"}))
    assert bug == {
        "event": "pump.lane_failed",
        "log_level": "error",
        "stage": "check",
        "lane": "shop",
        "exc_info": error,
    }
    away = logged(Failure(Trouble.STORE_AWAY, error=error))
    assert away == {"event": "store.unavailable", "log_level": "warning", "error": "first"}
    assert logged(Failure(Trouble.NOT_KEPT, Stage.CREATE, error))["log_level"] == "info"
    assert logged(Failure(Trouble.GIVEN_UP, Stage.CREATE))["log_level"] == "error"


def test_a_lane_goes_only_where_its_diagram_leads():
    lane = LaneState(work_of(lambda *_: [], send), "ep")
    for phase in (Phase.FULL, Phase.FULL, Phase.LATE, Phase.CLAIMING, Phase.IDLE):
        lane.enter(phase)
    with pytest.raises(RuntimeError, match="a lane does not go from IDLE to THROTTLED"):
        lane.enter(Phase.THROTTLED)


def test_a_throttled_lane_is_woken_when_its_time_is_over_unless_it_has_ended():
    async def run(ended):
        lane = LaneState(work_of(lambda *_: [], send), "ep", phase=Phase.CLAIMING)
        lane.throttle(0.0)
        assert (lane.phase, lane.takes_new_rows) == (Phase.THROTTLED, False)
        if ended:
            lane.enter(Phase.DRAINING)
        await asyncio.wait_for(lane.wake.wait(), PATIENCE_SECONDS)
        return lane.phase

    assert asyncio.run(run(ended=False)) is Phase.IDLE
    assert asyncio.run(run(ended=True)) is Phase.DRAINING
