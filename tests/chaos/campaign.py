"""One run: orders flow in, faults happen as planned, then everything may come to rest and is audited."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from sqlalchemy.engine import make_url

from tests.acceptance.proxy import Door
from tests.acceptance.system import INTAKE_QUEUE, RECEIVER, System
from tests.chaos.audit import Finding, Sent, audit, unfinished
from tests.chaos.crew import Crew, Deaths
from tests.chaos.plan import HOLD_ACCOUNT, Fault, Plan, PlannedOrder
from tests.chaos.postgres import kill_and_restart, run_mortal_postgres
from workers.embedded.valkey import ensure_valkey

TICK_SECONDS = 0.02
DRAIN_SECONDS = 300.0
STREAM = "invoices:events"
UNACKED = "invoices.unacked"
#: Tells how far a run is: (phase, done 0..1, a few words).
Progress = Callable[[str, float, str], None]


@dataclass(slots=True)
class Result:
    """What a run came to. ``findings`` are breaches; an empty list is what is promised."""

    seed: int
    deaths: Deaths
    faults: Counter[str]
    findings: list[Finding]
    figures: dict[str, Any] = field(default_factory=dict)


def run(plan: Plan, folder: Path, tell: Progress) -> Result:
    """Run a plan on engines of its own."""
    with contextlib.ExitStack() as stack:
        url, server_folder = stack.enter_context(run_mortal_postgres())
        parts = make_url(url)
        door = stack.enter_context(Door(f"{server_folder}/.s.PGSQL.5432"))
        through = parts.set(host="127.0.0.1", port=door.port, query={}).render_as_string(hide_password=False)
        system = System(
            folder,
            database_url=through,
            direct_database_url=url,
            accounts={HOLD_ACCOUNT: {"provider": "zeroxhost", "on_doubt": "hold"}},
        )
        stack.enter_context(system)
        system.environment["INVOICES_MONITOR_MINUTES"] = "0.2"
        system.add_receiver()
        return _Run(plan, system, door, server_folder, tell).go()


class _Run:
    def __init__(self, plan: Plan, system: System, door: Door, postgres: Path, tell: Progress) -> None:
        self._plan = plan
        self._system = system
        self._tell = tell
        self._crew = Crew(system, plan)
        self._sent = Sent()
        self._faults = Faults(system, self._crew, door, postgres, self._sent)
        self._stop = threading.Event()

    def go(self) -> Result:
        began = time.monotonic()
        self._crew.start()
        sender = threading.Thread(target=self._send, args=(self._plan.orders(), time.monotonic()), daemon=True)
        sender.start()
        self._let_faults_happen(time.monotonic())
        self._faults.end()
        sender.join(60)
        assert not sender.is_alive(), "the sender could not publish its last orders"
        flow_seconds = time.monotonic() - began
        drained = self._drain("drain")
        lost = self._system_lacks()
        self._publish([order for order in self._plan.orders() if order.order_id in self._sent.at])
        healed = self._drain("heal")
        findings = audit(self._system, self._sent, lost)
        figures = {
            "orders": len(self._sent.at),
            "flow_seconds": round(flow_seconds),
            "drain_seconds": round(drained),
            "heal_seconds": round(healed),
            "lost_in_emptied_broker": len(self._sent.emptied(lost)),
            "lost_in_killed_broker": len(self._sent.excused_by_broker_kill(lost)),
            **self._counts(),
        }
        return Result(self._plan.seed, self._crew.deaths, self._faults.done, findings, figures)

    def _let_faults_happen(self, began: float) -> None:
        faults = self._plan.faults()
        while (now := time.monotonic() - began) < self._plan.seconds or faults:
            while faults and faults[0].at <= now:
                self._faults.play(faults.pop(0))
            self._faults.tick()
            self._crew.tend()
            words = f"{len(self._sent.at)} orders, {self._crew.deaths.kills()} kills"
            self._tell("flow", min(now / self._plan.seconds, 1.0), words)
            time.sleep(TICK_SECONDS)

    def _drain(self, phase: str) -> float:
        """Until everything is at rest; how long that took. What never rests is the auditor's to find."""
        began = time.monotonic()
        while (passed := time.monotonic() - began) < DRAIN_SECONDS:
            self._crew.tend()
            left = unfinished(self._system)
            if not left:
                break
            self._tell(phase, passed / DRAIN_SECONDS, ", ".join(f"{name} {count}" for name, count in left.items()))
            time.sleep(0.5)
        return passed

    # ------------------------------------------------------------ orders

    def _send(self, orders: list[PlannedOrder], began: float) -> None:
        while orders:
            now = time.monotonic() - began
            due = [order for order in orders if order.at <= now]
            if due:
                self._publish(due)
                del orders[: len(due)]
            time.sleep(0.1)

    def _publish(self, orders: list[PlannedOrder]) -> None:
        """Until the broker has confirmed them: what a producer does, and what makes repeats."""
        began = time.monotonic()
        while True:
            try:
                self._system.order(*(order.fields for order in orders))
            except Exception as error:
                self._faults.done[f"publish repeated: {type(error).__name__}"] += 1
                time.sleep(0.2)
            else:
                now = time.monotonic()
                for order in orders:
                    self._sent.begun.setdefault(order.order_id, began)
                    self._sent.at.setdefault(order.order_id, now)
                return

    def _system_lacks(self) -> set[str]:
        return set(self._sent.at) - self._system.invoices().keys()

    def _counts(self) -> dict[str, Any]:
        rows = self._system.rows("SELECT sum(doubts) AS doubts, count(*) AS invoices FROM invoice")[0]
        received = self._system.received()
        return {
            "invoices": rows["invoices"],
            "doubts": int(rows["doubts"] or 0),
            "statuses": dict(self._system.statuses()),
            "creates_seen": self._system.creates().total(),
            "events": self._system.rows("SELECT count(*) AS n FROM event")[0]["n"],
            "webhooks_received": received["received"],
            "webhook_repeats": received["duplicates"],
        }


class Faults:
    """Plays faults by their names."""

    def __init__(self, system: System, crew: Crew, door: Door, postgres: Path, sent: Sent) -> None:
        self._system = system
        self._crew = crew
        self._door = door
        self._postgres = postgres
        self._sent = sent
        self._ends: list[tuple[float, Callable[[], Any]]] = []
        self.done: Counter[str] = Counter()

    def play(self, fault: Fault) -> None:
        """Let it happen now."""
        getattr(self, f"_{fault.what}")(fault)
        if fault.what != "kill":
            self.done[fault.what] += 1

    def tick(self) -> None:
        """End what is over."""
        now = time.monotonic()
        for end in [end for end in self._ends if end[0] <= now]:
            self._ends.remove(end)
            end[1]()

    def end(self) -> None:
        """End all faults, and let nobody die at a point any more."""
        self._crew.armed = False
        for _, action in self._ends:
            action()
        self._ends.clear()
        self._system.control("faults", method="DELETE")
        self._system.ask(f"{self._system.sandbox.receiver_url(RECEIVER)}/faults", method="DELETE")

    def _after(self, seconds: float, action: Callable[[], Any]) -> None:
        self._ends.append((time.monotonic() + seconds, action))

    def _kill(self, fault: Fault) -> None:
        self._crew.kill(fault.target)

    def _pause(self, fault: Fault) -> None:
        """Asleep for longer than its leases: its late answers are evidence like any other."""
        process = self._system.processes[fault.target]
        process.send_signal(signal.SIGSTOP)
        self._after(fault.seconds, lambda: process.send_signal(signal.SIGCONT))  # harmless once it has ended

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
        with client.pipeline(transaction=True) as pipeline:
            for name in lists:
                pipeline.lrange(name, 0, -1)
            pipeline.hvals(UNACKED)
            pipeline.xrange(STREAM)
            pipeline.flushall()
            *waiting, unacked, stream, _ = pipeline.execute()
        self._sent.flushes.append(time.monotonic())
        for item in [*(item for found in waiting for item in found), *unacked]:
            self._sent.flushed |= set(_order_ids(item))
        self._sent.flushed_stream += [json.loads(fields[b"event"]) for _, fields in stream]

    def _database_cut(self, fault: Fault) -> None:
        self._door.shut()
        self._after(fault.seconds, self._door.open)

    def _database_stall(self, fault: Fault) -> None:
        self._door.stall()
        self._after(fault.seconds, self._door.open)

    def _database_kill(self, fault: Fault) -> None:
        kill_and_restart(self._postgres, fault.seconds)

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


def _order_ids(item: bytes) -> Iterator[str]:
    """The orders in a broker's list item or in a record of an unacknowledged one."""
    for body in re.findall(rb'"body": "([A-Za-z0-9+/=]+)"', item.replace(rb"\"", b'"')):
        yield from re.findall(r'"order_id": "([^"]+)"', base64.b64decode(body).decode())
