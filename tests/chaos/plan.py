"""What will happen in a run: orders, kills, outages, each with its time. Made from the seed and nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tests.acceptance.system import nebulox_order, zeroxhost_order
from workers.fault_points import POINTS

PROCESSES = ("intake", "worker", "worker2", "beat")
#: Which steps which process takes; SQL statements are everybody's.
INTAKE_POINTS = tuple(p for p in POINTS if p.startswith(("message.", "order.", "sql.")))
WORKER_POINTS = tuple(p for p in POINTS if not p.startswith(("message.", "order.")))
#: Passes until the point kills, by the first part of its name: drawn from 1 to this.
PASSES = {"sql": 40, "message": 12, "order": 8, "create": 4, "judge": 4}
FEWEST_PASSES = 3

#: The account whose orders in doubt are never repeated.
HOLD_ACCOUNT = "holding"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens ``at`` so many seconds after the start. ``what`` is a method of ``Faults``."""

    at: float
    what: str
    target: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """An order as it is published, and when."""

    at: float
    order_id: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """A run, wholly determined by these three."""

    seed: int
    seconds: float
    orders_per_second: float

    def orders(self) -> list[PlannedOrder]:
        """Every order, by time."""
        dice = random.Random(f"{self.seed}/orders")
        count = int(self.seconds * self.orders_per_second)
        times = sorted(dice.uniform(0, self.seconds) for _ in range(count))
        return [_order(f"s{self.seed}-{n:05}", at, dice) for n, at in enumerate(times)]

    def faults(self) -> list[Fault]:
        """Every fault, by time."""
        dice = random.Random(f"{self.seed}/faults")
        faults = [*_outages(self.seconds, dice), *_kills(self.seconds, dice), *_moods(self.seconds, dice)]
        return sorted(faults, key=lambda fault: fault.at)

    def points(self, name: str) -> Iterator[str]:
        """For each life of a process the point and pass it dies at; empty: it lives until something else kills it."""
        table = {"intake": INTAKE_POINTS, "worker": WORKER_POINTS, "worker2": WORKER_POINTS}.get(name, ())
        dice = random.Random(f"{self.seed}/points/{name}")
        while True:
            for point in dice.sample(table, len(table)):
                most = PASSES.get(point.partition(".")[0], FEWEST_PASSES)
                yield f"{point}:{dice.randint(1, most)}"
                if dice.random() < 0.1:
                    yield ""
            if not table:
                yield ""

    def printed(self) -> dict[str, Any]:
        """The schedule as JSON."""
        lives = {name: [next(points) for points in [self.points(name)] for _ in range(12)] for name in PROCESSES}
        return {"seed": self.seed, "faults": [asdict(fault) for fault in self.faults()], "first_lives": lives}


def _order(order_id: str, at: float, dice: random.Random) -> PlannedOrder:
    faults = ("reset", "truncated", "accept_then_status", "html=502", "status=503", "accept_then_timeout=5")
    fault = f"~fault:{dice.choice(faults)}~" if dice.random() < 0.03 else ""
    kind = dice.choices(("nebulox", "paid", "confirmed", "underpaid", "unpaid", "hold"), (35, 25, 10, 5, 15, 10))[0]
    if kind == "nebulox":
        minutes = f"{dice.uniform(0.05, 0.3):.2f}"
        return PlannedOrder(at, order_id + fault, nebulox_order(order_id + fault, lifetime_minutes=minutes))
    pay = f"{dice.uniform(0.5, 4):.1f}"
    marker = {
        "paid": f"~pay:{pay}~",
        "confirmed": f"~confirm:{pay}~pay:6~",
        "underpaid": f"~underpay:{pay}~lifetime:8~",
        "unpaid": f"~lifetime:{dice.randint(3, 12)}~",
        "hold": f"~pay:{pay}~",
    }[kind]
    account = {"account": HOLD_ACCOUNT} if kind == "hold" else {}
    return PlannedOrder(at, order_id, zeroxhost_order(order_id, marker + fault, **account))


def _kills(seconds: float, dice: random.Random) -> Iterator[Fault]:
    """SIGKILL at random instants, also while a process starts; one worker sleeps through its leases."""
    pause = Fault(dice.uniform(0.2, 0.5) * seconds, "pause", "worker2", dice.uniform(15, 20))
    yield pause
    at = 3.0
    while at < seconds:
        target = dice.choices(PROCESSES, (30, 35, 30, 5))[0]
        if target == "worker2" and pause.at - 3 <= at <= pause.at + pause.seconds + 3:
            target = "intake"
        yield Fault(at, "kill", target)
        at += dice.uniform(2.0, 7.0)


def _outages(seconds: float, dice: random.Random) -> Iterator[Fault]:
    """The engines: one after the other in random order, so that each finds the others at work."""
    kinds = ["broker_kill", "broker_kill", "broker_flush", "database_cut", "database_cut", "database_stall"]
    kinds += ["database_kill"]
    dice.shuffle(kinds)
    share = seconds / len(kinds)
    for place, kind in enumerate(kinds):
        at = (place + dice.uniform(0.2, 0.8)) * share
        yield Fault(at, kind, seconds=dice.uniform(0.3, 2.5))


def _moods(seconds: float, dice: random.Random) -> Iterator[Fault]:
    """Providers and receiver."""
    for place in range(max(2, int(seconds / 15))):
        at = (place + dice.random()) * 15
        yield Fault(at, "provider", dice.choice(("delay=2", "reset", "rate_limited", "status=500", "html")))
        yield Fault(at + dice.uniform(0, 7), "receiver", dice.choice(("slow", "refusing", "forgetful")))
