"""Runs of a Celery worker that is killed again and again, and what they cost in messages."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import redis
from kombu import pools

from tests.acceptance.awaited import Running
from tests.contracts.broker_client import connect_redis
from tests.servers import START_SECONDS

_numbers = itertools.count()

OPTIONS = {
    "visibility_timeout": 4,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
    "unacked_mutex_expire": 2,
    "socket_timeout": 10,
    "socket_connect_timeout": 2,
    "health_check_interval": 5,
}


@dataclass
class Figures:
    """What a run came to. ``lost``: never handled; ``repeated``: handled more than once, every extra time counted."""

    messages: int
    kills: int = 0
    lost: int = 0
    repeated: int = 0
    deaths: int = 0  #: of the worker, by itself
    left: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)


class Run:
    """A queue full of messages and a worker process on it."""

    def __init__(self, broker_url, *, database, ours, pool="threads", options=None, nursery=None):
        """``nursery`` starts workers as forks; without one each imports everything anew, which takes seconds of CPU."""
        self._nursery = nursery
        self.client, self.url = connect_redis(broker_url, database)
        self.client.flushdb()
        self.ours = ours
        self.options = {**OPTIONS, **(options or {})}
        settings = {
            "url": self.url,
            "socket": broker_url.removeprefix("redis+socket://"),
            "database": database,
            "ours": ours,
            "options": self.options,
        }
        self.environment = {**os.environ, "BROKER_WORKER": json.dumps(settings), "PYTHONPATH": str(Path.cwd())}
        self.pool = pool
        self.standstills = 0  #: how often it had to be killed because it did nothing any more
        self.process: Running | None = None

    def fill(self, messages):
        """Put so many calls of ``count`` into the queue, as Celery writes them."""
        from celery import Celery

        app = Celery("sender", broker=self.url)
        app.conf.task_default_queue = "crash"
        call = app.signature("count")
        with app.connection_for_write() as connection:
            call.apply_async(("first",), connection=connection)
        (template,) = self.client.lrange("crash", 0, -1)
        self.client.delete("crash")
        text = json.loads(template)
        with self.client.pipeline(transaction=False) as pipe:
            for number in range(messages):
                text["body"] = json.dumps([[number], {}, {"callbacks": None}])
                text["properties"]["body_encoding"] = "utf-8"
                text["properties"]["delivery_tag"] = f"{number}"
                text["headers"]["id"] = text["properties"]["correlation_id"] = f"task-{number}"
                pipe.lpush("crash", json.dumps(text))
            pipe.execute()
        pools.reset()

    def start(self):
        argv = ["celery", "-A", "tests.contracts.broker_worker", "worker", "-P", self.pool, "-c", "4", "-l", "ERROR"]
        argv += ["--without-mingle", "--without-gossip", "-n", f"w{next(_numbers)}@test"]
        if self._nursery is not None:
            self.process = self._nursery.start(argv, self.environment, Path(os.devnull))
            return
        self.process = subprocess.Popen(
            [sys.executable, "-m", *argv], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def stop(self, *, kill=False):
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            self.process.wait(START_SECONDS)

    def kept_alive(self):
        """Start the worker again if it ended by itself; whether it had to be."""
        if self.process is not None and self.process.poll() is None:
            return False
        self.start()
        return True

    def handled(self):
        """Calls so far, repetitions included."""
        try:
            return sum(int(times) for times in self.client.hvals("seen"))
        except redis.RedisError:
            return 0

    def distinct(self):
        try:
            return self.client.hlen("seen")
        except redis.RedisError:
            return 0

    def await_progress(self, seconds=START_SECONDS):
        """Until the worker handles messages, or there are none left."""
        before, end = self.distinct(), time.monotonic() + seconds
        while self.distinct() == before and not self.idle():
            if time.monotonic() > end:
                self._start_anew()
                end = time.monotonic() + seconds
            time.sleep(0.02)

    def _start_anew(self):
        """kombu's own transport sometimes stands still for good after its broker was killed; ours never may."""
        assert not self.ours, "the worker does nothing"
        self.standstills += 1
        self.stop(kill=True)
        self.start()

    def idle(self):
        try:
            return not self.client.exists("crash") and not self.client.hlen("unacked")
        except redis.RedisError:
            return False

    def drain(self, seconds=2 * START_SECONDS):
        """Until nothing is waiting or recorded, and the last task under way has been counted."""
        end = time.monotonic() + seconds
        while not self.idle():
            assert time.monotonic() < end, f"{self.client.llen('crash')} wait, {self.client.hlen('unacked')} recorded"
            if not self.ours and not self.kept_alive():
                self.await_progress()
            self.kept_alive()
            time.sleep(0.05)
        self.stop()

    def count(self, messages):
        seen = {int(number): int(times) for number, times in self.client.hgetall("seen").items()}
        figures = Figures(messages)
        figures.lost = messages - len(seen)
        figures.repeated = sum(seen.values()) - len(seen)
        figures.left = (self.client.zcard("unacked_index"), self.client.hlen("unacked"))
        return figures


def run_kills(run, messages, kills, seed, *, longest_life=0.25, drain_seconds=2 * START_SECONDS):
    """Kill the worker at ``kills`` instants drawn from ``seed`` while it works off ``messages``."""
    random, began, done = Random(seed), time.monotonic(), 0
    run.fill(messages)
    try:
        for _ in range(kills):
            run.start()
            run.await_progress()
            if run.idle():
                run.stop()
                break
            time.sleep(random.uniform(0.0, longest_life))
            run.stop(kill=True)
            done += 1
        run.drain(drain_seconds)
    finally:
        run.stop(kill=True)
    figures = run.count(messages)
    figures.kills, figures.seconds = done, time.monotonic() - began
    return figures
