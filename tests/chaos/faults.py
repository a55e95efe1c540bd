"""Plays faults by their names, and writes down what an emptied or killed broker may have taken with it."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import redis

from tests.acceptance.facts import RECEIVER
from tests.acceptance.messages import INTAKE_QUEUE
from tests.chaos.audit import Sent, answered_cancellations
from tests.chaos.crew import Crew
from tests.chaos.grounds import Grounds
from tests.chaos.outsider import Outsider
from tests.chaos.plan import CANCEL, CANCEL_REASON, CREATE, HOSTS, is_harmless
from tests.chaos.planned import Fault
from tests.chaos.postgres import back_up, kill_and_restart, restore
from tests.chaos.restored import Before
from workers.embedded.valkey import ensure_valkey

STREAM = "invoices:events"
UNACKED = "invoices.unacked"
#: A slow way: each piece of data so much later, each way.
DELAY_SECONDS = 0.15
HOST_DELAY_MILLISECONDS = 80


class Faults:
    """A fault's name is a method here."""

    def __init__(self, grounds: Grounds, crew: Crew, sent: Sent) -> None:
        self._grounds = grounds
        self._system = grounds.system
        self._crew = crew
        self._sent = sent
        self._ends: list[tuple[float, Callable[[], Any]]] = []
        self.done: Counter[str] = Counter()
        self.stepped_by = 0  #: the database's clock was set by so many seconds
        self.doubtful: list[tuple[float, float]] = []  #: epoch seconds: when a create's answer may have been lost

    def play(self, fault: Fault) -> None:
        """Let it happen now."""
        began = time.time()
        getattr(self, f"_{fault.what}")(fault)
        if not is_harmless(fault):
            self.doubtful.append((began, time.time() + fault.seconds))
        if fault.what != "kill":
            place = f" {fault.target}" if fault.what.startswith(("network_", "lock")) else ""
            self.done[fault.what + place] += 1

    def tick(self) -> None:
        """End what is over."""
        now = time.monotonic()
        for end in [end for end in self._ends if end[0] <= now]:
            self._ends.remove(end)
            end[1]()

    def end(self) -> None:
        """End all faults, and let nobody die at a point any more."""
        self._crew.armed = False
        self._end_all()
        self._system.control("faults", method="DELETE")
        self._system.ask(f"{self._system.sandbox.receiver_url(RECEIVER)}/faults", method="DELETE")

    def _end_all(self) -> None:
        for _, action in self._ends:
            action()
        self._ends.clear()

    def _after(self, seconds: float, action: Callable[[], Any]) -> None:
        self._ends.append((time.monotonic() + seconds, action))

    # ------------------------------------------------------------ processes

    def _kill(self, fault: Fault) -> None:
        self._crew.kill(fault.target)

    def _pause(self, fault: Fault) -> None:
        """Asleep for longer than its leases: its late answers are evidence like any other."""
        process = self._system.processes[fault.target]
        process.send_signal(signal.SIGSTOP)
        self._after(fault.seconds, lambda: process.send_signal(signal.SIGCONT))  # harmless once it has ended

    # ------------------------------------------------------------ engines

    def _broker_kill(self, fault: Fault) -> None:
        pid = int(self._system.redis.info("server")["process_id"])
        self._sent.broker_kills.append(time.monotonic())
        os.kill(pid, signal.SIGKILL)
        time.sleep(fault.seconds)
        ensure_valkey(self._system.home)

    def _broker_flush(self, fault: Fault) -> None:
        """Empty the broker, and in the same step see what was in it."""
        client: redis.Redis = self._system.redis
        lists = [INTAKE_QUEUE, *(f"{INTAKE_QUEUE}\x06\x16{level}" for level in (3, 6, 9))]
        asked = time.monotonic()
        with client.pipeline(transaction=True) as pipeline:
            for name in lists:
                pipeline.lrange(name, 0, -1)
            pipeline.hvals(UNACKED)
            pipeline.xrange(STREAM)
            pipeline.flushall()
            *waiting, unacked, stream, _ = pipeline.execute()
        self._sent.flushes.append((asked, time.monotonic()))
        for item in [*(item for found in waiting for item in found), *unacked]:
            self._sent.flushed |= set(_messages(item))
        self._sent.flushed_stream += [json.loads(fields[b"event"]) for _, fields in stream]

    def _database_kill(self, fault: Fault) -> None:
        assert self._grounds.postgres is not None
        kill_and_restart(self._grounds.postgres, fault.seconds)

    def _clock_step(self, fault: Fault) -> None:
        clock = self._grounds.database_clock
        if clock is None:
            self.done["clock_step: no C compiler"] += 1
            return
        clock.set_ahead(int(fault.seconds))
        self.stepped_by = int(fault.seconds)

    def _backup(self, fault: Fault) -> None:
        assert self._grounds.postgres is not None
        back_up(self._grounds.postgres)

    def _restore(self, fault: Fault) -> None:
        """What an operator does: everything is stopped, the backup put back, the system told of it and started."""
        assert self._grounds.postgres is not None
        self._end_all()
        self._crew.stop()
        invoices, events = self._system.invoices(), self._system.rows("SELECT id FROM event")
        answered = answered_cancellations(self._system)
        self._sent.restores.append(Before(invoices, frozenset(row["id"] for row in events), frozenset(answered)))
        restore(self._grounds.postgres)
        (told,) = self._system.command("restored", "--json")
        self.done["restored: epoch"] = told["epoch"]
        self._crew.start()

    def _lock(self, fault: Fault) -> None:
        outsider = Outsider(self._system.direct_database_url)
        rows = outsider.lock(fault.target)
        if rows is None:
            self.done["lock: not got"] += 1
        else:
            self.done[f"rows locked: {fault.target}"] += rows
            self._after(fault.seconds, outsider.end)

    # ------------------------------------------------------------ the network

    def _network_cut(self, fault: Fault) -> None:
        door = self._grounds.doors[fault.target]
        door.shut()
        self._after(fault.seconds, door.open)

    def _network_stall(self, fault: Fault) -> None:
        door = self._grounds.doors[fault.target]
        door.stall()
        self._after(fault.seconds, door.open)

    def _network_halve(self, fault: Fault) -> None:
        """What is asked is done, and its answer lost."""
        door = self._grounds.doors[fault.target]
        door.halve()

        def end() -> None:
            door.shut()
            door.open()

        self._after(fault.seconds, end)

    def _network_delay(self, fault: Fault) -> None:
        door = self._grounds.doors[fault.target]
        door.delay_seconds = DELAY_SECONDS
        self._after(fault.seconds, door.open)

    def _host_cut(self, fault: Fault) -> None:
        """Longer than any lease; what it then brings is evidence like any other."""
        hosts = self._grounds.hosts
        assert hosts is not None
        before = self._pids(HOSTS[fault.target])
        hosts.cut(fault.target)

        def end() -> None:
            hosts.mend(fault.target)
            for name in before.items() & self._pids(HOSTS[fault.target]).items():
                self.done[f"lived through a cut: {name[0]}"] += 1

        self._after(fault.seconds, end)

    def _pids(self, names: Iterable[str]) -> dict[str, int]:
        return {name: self._system.processes[name].pid for name in names if name in self._system.processes}

    def _host_delay(self, fault: Fault) -> None:
        hosts = self._grounds.hosts
        assert hosts is not None
        try:
            hosts.delay(fault.target, HOST_DELAY_MILLISECONDS)
        except RuntimeError:  # a kernel without netem
            self.done["host_delay: no netem here"] += 1
        else:
            self._after(fault.seconds, lambda: hosts.delay(fault.target, 0))

    # ------------------------------------------------------------ providers and receiver

    def _provider(self, fault: Fault) -> None:
        name, _, argument = fault.target.partition("=")
        for provider in ("nebulox", "zeroxhost"):
            rule: dict[str, Any] = {"provider": provider, "fault": name, "times": 60 if name == "delay" else 4}
            self._system.control("faults", rule | ({"argument": float(argument)} if argument else {}))

    def _receiver(self, fault: Fault) -> None:
        script: dict[str, Any] = {
            "slow": {"delay_seconds": 1, "keep": True, "status": 204, "times": 40},
            "refusing": {"status": 503, "times": 8},
            "forgetful": {"status": 500, "keep": True, "times": 8},  # it has the event, and says that it has not
        }[fault.target]
        self._system.ask(f"{self._system.sandbox.receiver_url(RECEIVER)}/faults", script)


def _messages(item: bytes) -> Iterator[tuple[str, str]]:
    """(task, order id) of what is in a broker's list item or in a record of an unacknowledged one."""
    for body in re.findall(rb'"body": "([A-Za-z0-9+/=]+)"', item.replace(rb"\"", b'"')):
        text = base64.b64decode(body).decode()
        task = CANCEL if CANCEL_REASON in text else CREATE
        yield from ((task, order_id) for order_id in re.findall(r'"order_id": "([^"]+)"', text))
