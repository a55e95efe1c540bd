"""What kills cost in messages: of the worker, and of the broker under it; ours, with kombu's own as the control."""

from __future__ import annotations

import os
import signal
import time
from random import Random

import pytest

from tests.contracts.broker_client import Broker, Reader, connect_redis
from tests.contracts.crash_runs import Run, run_kills
from tests.nursery import Nursery
from workers.embedded.valkey import ensure_valkey, stop_valkey

SEED = 4


@pytest.fixture(scope="module")
def nursery():
    """Starts workers with all imports done: forty lives take as long as five."""
    with Nursery() as nursery:
        yield nursery


@pytest.mark.timeout(900)
def test_a_worker_killed_over_and_over_loses_nothing(valkey_broker_url):
    figures = run_kills(
        Run(valkey_broker_url, database=8, ours=True, options={"visibility_timeout": 2}),
        messages=6000,
        kills=4,
        seed=SEED,
    )
    print(figures)
    assert figures.kills  # the fewer, the faster it is
    assert (figures.lost, figures.left) == (0, (0, 0))
    assert figures.repeated <= figures.kills * 8


def test_a_worker_that_is_told_to_stop_gives_its_messages_back_at_once(valkey_broker_url):
    run = Run(valkey_broker_url, database=8, ours=True)
    run.fill(20_000)
    run.start()
    run.await_progress()
    run.stop()
    assert run.client.hlen("unacked") == run.client.zcard("unacked_index") == 0
    figures = run.count(20_000)
    assert figures.lost == run.client.llen("crash") > 0
    assert figures.repeated == 0


@pytest.mark.engines
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("pool", ["threads", "solo"])
@pytest.mark.parametrize("ours", [False, True], ids=["stock", "ours"])
def test_forty_kills_under_load(valkey_broker_url, nursery, ours, pool):
    messages, kills = 20_000, 40
    run = Run(valkey_broker_url, database=8, ours=ours, pool=pool, nursery=nursery)
    figures = run_kills(run, messages, kills, seed=SEED, drain_seconds=600)
    print(f"\n{'ours' if ours else 'stock'}, {pool}: {figures}")
    if ours:
        assert (figures.lost, figures.left) == (0, (0, 0))
        assert figures.repeated <= figures.kills * 8


@pytest.mark.engines
@pytest.mark.timeout(900)
@pytest.mark.parametrize("ours", [False, True], ids=["stock", "ours"])
def test_a_broker_killed_under_load_and_started_again_loses_nothing(tmp_path, nursery, ours):
    messages, random = 12_000, Random(SEED)
    run = Run(ensure_valkey(tmp_path).broker_url, database=0, ours=ours, nursery=nursery)
    run.fill(messages)
    deaths = kills = 0
    try:
        run.start()
        while kills < 8:
            run.await_progress()
            if run.idle():
                break
            time.sleep(random.uniform(0.1, 0.5))
            os.kill(run.client.info("server")["process_id"], signal.SIGKILL)
            kills += 1
            time.sleep(random.uniform(0.1, 1.0))
            ensure_valkey(tmp_path)
            deaths += run.kept_alive()
        run.drain(400)
        figures = run.count(messages)
    finally:
        run.stop(kill=True)
        stop_valkey(tmp_path)
    figures.kills, figures.deaths = kills, deaths + run.standstills
    print(f"\n{'ours' if ours else 'stock'}, broker killed: {figures}")
    if ours:
        assert (figures.lost, figures.left, figures.deaths) == (0, (0, 0), 0)


@pytest.mark.engines
@pytest.mark.timeout(900)
def test_speed_beside_kombus_own_is_printed(valkey_broker_url):
    speed, latency = {}, {}
    for name, ours in (("stock", False), ("ours", True), ("stock again", False), ("ours again", True)):
        run = Run(valkey_broker_url, database=8, ours=ours)
        run.fill(12_000)
        try:
            run.start()
            run.await_progress()
            began, before = time.monotonic(), run.handled()
            while run.client.llen("crash") > 1000:
                time.sleep(0.02)
            speed[name] = (run.handled() - before) / (time.monotonic() - began)
        finally:
            run.stop(kill=True)
            run.client.flushdb()
    for name in ("stock", "ours"):
        for priority in (0, 9):
            latency[f"{name}, priority {priority}"] = _idle_latency_ms(valkey_broker_url, name, priority)
    print(f"\nmessages/s: { {name: round(value) for name, value in speed.items()} }")
    print(f"ours/stock: {(speed['ours'] + speed['ours again']) / (speed['stock'] + speed['stock again']):.2f}")
    print(f"idle latency ms (median, p95): {latency}")


def _idle_latency_ms(broker_url, transport, priority, messages=100):
    """From a publish to its delivery to an idle consumer of four priority lists, in a thread-free ping-pong."""
    client, url = connect_redis(broker_url, 8)
    client.flushdb()
    broker, taken = Broker(url, client, transport), []
    reader = Reader(broker)
    with broker.connect() as connection:
        producer = connection.Producer(serializer="json")
        for number in range(messages):
            reader.look(0.12)  # now it waits
            began = time.perf_counter()
            producer.publish(number, routing_key="orders", priority=priority)
            reader.read(number + 1)
            taken.append((time.perf_counter() - began) * 1000)
            reader.messages[-1].ack()
    reader.close()
    taken.sort()
    return round(taken[len(taken) // 2], 1), round(taken[int(len(taken) * 0.95)], 1)
