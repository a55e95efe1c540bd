"""What becomes of the work in hand when a process stops, is killed, or is not told. One system for all tests."""

from __future__ import annotations

import contextlib
import functools
import signal
from collections import Counter
from typing import Any

import pytest

from tests.acceptance.proxy import Door
from tests.acceptance.system import PATIENT, System, nebulox_order, running, zeroxhost_order

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def door():
    with Door() as door:
        yield door


@pytest.fixture(scope="module", params=["embedded", "redis", "rabbitmq"])
def system(request, tmp_path_factory, brokers, door):
    """Intake and two workers; no beat: it is not needed. Before the first test one worker is killed amid its calls:
    what becomes of those shows half a minute later, in the last tests."""
    accounts: dict[str, dict[str, Any]] = {
        "zeroxhost": {"max_in_flight": 20},
        "patient-n": {"provider": "nebulox", **PATIENT},
        "patient-z": {"provider": "zeroxhost", **PATIENT},
        "far": {"provider": "zeroxhost", "timeout_seconds": 25, "base_url": f"http://127.0.0.1:{door.port}/zeroxhost"},
    }
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(brokers.open(request.param))
        system = System(tmp_path_factory.mktemp("s"), accounts=accounts, broker=broker)
        stack.enter_context(running(system, "intake", "worker"))
        host, port = system.sandbox.url.removeprefix("http://").split(":")
        door.target = (host, int(port))
        kill_amid_calls(system)
        system.start("worker", "worker2")
        yield system


def kill_amid_calls(system):
    for provider in ("nebulox", "zeroxhost"):
        delay(system, provider, 4.0, "kill-")  # longer than the time-out: none of them is answered
    orders = [nebulox_order(f"kill-n-{n}", lifetime_minutes="0.05") for n in range(10)]
    system.order(*orders, *(zeroxhost_order(f"kill-z-{n}", "~pay:1~") for n in range(10)))
    system.wait_for_calls("kill-", 5)
    assert system.kill("worker") == -signal.SIGKILL
    system.control("faults", method="DELETE")  # repeats must not come near their time-out: each would be one more doubt


def delay(system, provider, seconds, match):
    fault = {"provider": provider, "fault": "delay", "argument": seconds, "match": match}
    system.control("faults", fault)


def check_creates(system, prefix, orders):
    """One create an order at the provider, and one more for each doubt at most."""
    doubts = {order_id: row["doubts"] for order_id, row in system.invoices(prefix).items()}
    creates = system.creates(prefix)
    assert len(doubts) == len(creates) == orders
    repeated = {order_id: made for order_id, made in creates.items() if made > 1 + doubts[order_id]}
    assert not repeated, repeated


def test_two_workers_share_the_work_and_no_order_is_created_twice(system):
    delay(system, "zeroxhost", 1.0, "two-")

    orders = 0
    while not orders or not all('"invoice.pending"' in system.log(name) for name in ("worker", "worker2")):
        names = [f"two-{n}" for n in range(orders, orders + 120)]
        system.order(*(zeroxhost_order(name, account="patient-z") for name in names))
        orders += 120
        system.wait_for_statuses("two-", pending=orders)  # one that stood still meanwhile has made none of them

    assert system.creates("two-") == Counter({f"two-{n}": 1 for n in range(orders)})


def test_a_bell_nobody_hears_and_a_dead_beat_delay_an_order_by_a_sweep_only(system):
    for account in ("nebulox", "zeroxhost"):  # whoever would ring believes that somebody just did
        system.redis.set(f"invoices:bell:create:{account}", "1", px=600_000)

    system.order(nebulox_order("unheard-n"), zeroxhost_order("unheard-z", "~pay:1~"))

    system.wait_for_statuses("unheard-", pending=1, paid=1)
    assert system.redis.delete("invoices:bell:create:nebulox", "invoices:bell:create:zeroxhost") == 2  # none was heard


def test_sigterm_lets_calls_in_flight_finish_and_keeps_their_answers(system):
    system.kill("worker2", signal.SIGTERM)
    delay(system, "nebulox", 5, "stop-")
    system.order(*(nebulox_order(f"stop-{n}", account="patient-n") for n in range(10)))
    system.wait_for_calls("stop-", 10)

    assert system.kill("worker", signal.SIGTERM) == 0

    assert system.statuses("stop-") == {"pending": 10}
    assert {row["doubts"] for row in system.invoices("stop-").values()} == {0}
    assert system.creates("stop-").total() == 10

    system.broker.empty("invoices.work")
    system.start("beat")  # with nobody there to hear it, its sweeps can be counted
    for _ in range(2):
        system.wait_until(lambda: system.broker.waiting("invoices.work") == 1, "beat asks for a sweep every 5 s")
        system.broker.empty("invoices.work")
    system.wait_until(lambda: system.broker.waiting("invoices.work") == 1, "beat asks again")
    system.holds(lambda: system.broker.waiting("invoices.work") == 1, "one sweep waits, not one for each time", 6)
    assert system.kill("beat", signal.SIGTERM) == 0
    system.start("worker", "worker2")


def test_an_intake_that_is_told_to_stop_amid_a_burst_loses_nothing(system):
    system.order(*(nebulox_order(f"burst-{n}") for n in range(300)))
    system.wait_until(lambda: system.statuses("burst-"), "the first orders are taken")

    assert system.kill("intake", signal.SIGTERM) == 0

    taken = system.statuses("burst-").total()
    # RabbitMQ gives back what was held a moment later. In Redis nothing is held any more: no lease has to end.
    if system.broker.speaks_redis:
        assert not [one for one in system.redis.hvals("invoices.unacked") if b"invoices.intake" in one]
    there = functools.partial(system.broker.waiting, "invoices.intake")
    system.wait_until(lambda: taken + there() == 300, "all others are given back")
    system.start("intake")
    system.wait_for_statuses("burst-", pending=300)
    check_creates(system, "burst-", 300)


def test_a_provider_that_hangs_holds_up_its_own_expiries_by_one_time_out_and_nobody_else_s(system, door):
    near = [zeroxhost_order(f"hang-near-{n}", "~lifetime:12~") for n in range(3)]
    far = [zeroxhost_order(f"hang-far-{n}", "~lifetime:25~", account="far") for n in range(3)]
    system.order(*far, *near)
    system.wait_for_statuses("hang-far-", pending=3)
    door.stall()

    system.wait_for_statuses("hang-", expired=6)
    door.open()

    ended = [told["envelope"]["data"]["order_id"] for told in system.events() if told["type"] == "invoice.expired"]
    ended = [order_id for order_id in ended if order_id.startswith("hang-")]
    assert all(
        order_id.startswith("hang-near-") for order_id in ended[:3]
    )  # the others were asked once more, and waited for
    assert {row["reason"] for row in system.invoices("hang-far-").values()} == {"expires_at has passed"}


def test_a_sigkilled_worker_s_calls_are_in_doubt_and_every_order_still_ends(system):
    system.wait_for_statuses("kill-", expired=10, paid=10)
    check_creates(system, "kill-", 20)
    assert any(row["doubts"] for row in system.invoices("kill-").values())


def test_after_all_that_the_log_has_no_gap_and_everybody_was_told_everything(system):
    system.wait_until_told()
    system.check_history()
    system.check_told()
    assert not [line for line in system.errors() if "Traceback" in line]
