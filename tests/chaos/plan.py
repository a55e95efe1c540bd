"""What will happen in a run: orders, kills, outages, each with its time. Made from the seed and nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

from tests.acceptance.system import nebulox_order, zeroxhost_order
from tests.chaos.planned import Fault, Life, Payment, PlannedMark, PlannedMessage, Session
from workers.queue.fault_points import POINTS

PROCESSES = ("intake", "intake2", "worker", "worker2", "beat", "web")
#: The two hosts of `HOSTS=2`, and who runs there. The south's clock is wrong, and its cable may be pulled.
HOSTS = {"north": ("intake", "worker", "beat", "web"), "south": ("intake2", "worker2")}
#: Which steps which process takes; SQL statements are everybody's.
INTAKE_POINTS = tuple(p for p in POINTS if p.startswith(("message.", "order.", "sql.")))
WORKER_POINTS = tuple(p for p in POINTS if not p.startswith(("message.", "order.")))
#: Passes until the point kills, by the first part of its name: drawn from 1 to this.
PASSES = {"sql": 40, "message": 12, "order": 8, "create": 4, "judge": 4}
#: What is taken rarely, or by one process at a time: a process that waits for a third pass is killed before.
FEWEST_PASSES = 2
#: One life in so many starts as the Procfile says, by a new interpreter; the others are forks of one that has imported
#: everything.
COLD_SHARE = 0.1
#: Lives that only a random instant ends: without them a slow machine would get nothing done between two kills.
POINTLESS_SHARE = 0.35
CANCELLED_SHARE = 0.08
POSTED_SHARE = 0.3
#: Of Nebulox's orders so many are paid, these seconds after they were sent.
PAID_SHARE, PAID_SECONDS = 0.5, (1.0, 7.0)
#: How payments are told, and how often: once; again though it was answered; an older word afterwards; by a signed
#: callback although nobody has paid.
PAYMENTS = {"once": 0.55, "twice": 0.15, "reordered": 0.15, "lying": 0.15}
MARK_SECONDS = 10.0  #: between two marks, on average
#: How far the south's clock is ahead, by seed. Receivers refuse a webhook whose time is 5 minutes off.
CLOCK_SHIFTS = (0, 240, -240)
#: Between two kills at random instants.
KILL_SECONDS = (1.0, 3.4)

ENGINES = ("postgresql", "sqlite")
#: The account whose orders in doubt are never repeated.
HOLD_ACCOUNT = "holding"
CREATE, CREATE_MANY, CANCEL = "invoices.create", "invoices.create_many", "invoices.cancel"
#: Of so many orders in a row, some come in one message; the others in one each.
LOT_EVERY, LOT_ORDERS = 50, (2, 20)
CANCEL_REASON = "the shop has thought better of it"

#: What an outsider locks, a forgotten transaction say, and for how long: beyond any lease.
LOCKS = ("endpoints", "invoices", "calls", "stream")
LOCK_SECONDS = (40.0, 60.0)
#: SQLite has one lock for all that is written.
LOCK_SECONDS_SQLITE = (12.0, 20.0)
#: Seeds with this remainder by three have their database put back.
RESTORED_SEEDS = 2
#: Seeds with this remainder by three have their database's clock set back by a minute amid the run. Not ahead: then
#: invoices are over before the provider's time for them, and payments are missed with reason.
STEPPED_SEEDS = 1
STEP_SECONDS = -60
#: Faults that no create's answer is lost by: a run with these alone must not doubt any.
HARMLESS = ("lock", "receiver", "broker_kill", "broker_flush")
HARMLESS_DOORS = ("client", "broker", "receiver")


#: By seed.
SESSIONS = (
    Session(),
    Session(
        {
            "datestyle": "SQL, DMY",
            "intervalstyle": "sql_standard",
            "timezone": "Asia/Kathmandu",
            "default_transaction_isolation": "serializable",
            "synchronous_commit": "off",
            "standard_conforming_strings": "off",
            "bytea_output": "escape",
            "extra_float_digits": "-15",
        }
    ),
    Session(environment={"PGDATESTYLE": "German", "PGTZ": "America/Caracas", "PGCLIENTENCODING": "LATIN1"}),
)

#: Connections that go through a door: client and workers to the broker, workers to the rest.
DOORS = ("client", "broker", "database", "provider", "receiver")
#: What happens to one: cut; silent; answers lost; slow.
NETWORK = ("cut", "stall", "halve", "delay")


@dataclass(frozen=True, slots=True)
class Plan:
    """A run, wholly determined by these.

    ``hosts``: 2 has each half of the processes on a host of its own. ``engine``: the database, of ENGINES. ``calm``:
    only what is harmless to a create happens (HARMLESS): nobody dies, no answer of a provider is lost.
    """

    seed: int
    seconds: float
    orders_per_second: float
    hosts: int = 1
    engine: str = "postgresql"
    calm: bool = False

    @property
    def session(self) -> Session:
        """The odd session settings of this run."""
        return SESSIONS[0] if self.engine == "sqlite" else SESSIONS[self.seed % len(SESSIONS)]

    @property
    def restores(self) -> bool:
        """Whether the database is put back to a backup amid the run: in one seed of three, on one host."""
        return self.engine == "postgresql" and self.hosts == 1 and self.seed % 3 == RESTORED_SEEDS

    @property
    def step_seconds(self) -> int:
        """By how much the database's clock is set amid the run."""
        stepped = self.engine == "postgresql" and self.hosts == 1 and self.seed % 3 == STEPPED_SEEDS and not self.calm
        return STEP_SECONDS if stepped else 0

    @property
    def clock_shift_seconds(self) -> int:
        """How far the south's clock is ahead; with SQLite all processes are on one host, whose clock decides."""
        return 0 if self.engine == "sqlite" else CLOCK_SHIFTS[self.seed % len(CLOCK_SHIFTS)]

    def orders(self) -> list[PlannedMessage]:
        """Every order, by time."""
        dice = random.Random(f"{self.seed}/orders")
        count = int(self.seconds * self.orders_per_second)
        times = sorted(dice.uniform(0, self.seconds) for _ in range(count))
        orders = [_order(f"s{self.seed}-{n:05}", at, dice, self.calm) for n, at in enumerate(times)]
        return _in_lots(orders, random.Random(f"{self.seed}/lots"))

    def posted(self) -> list[PlannedMessage]:
        """Orders that are sent over HTTP. On one host only; none that is cancelled, perhaps before it was taken."""
        dice = random.Random(f"{self.seed}/posted")
        cancelled = {message.order_id for message in self.cancellations()}
        alone = [order for order in self.orders() if not order.lot and self.hosts == 1]
        return [order for order in alone if dice.random() < POSTED_SHARE and order.order_id not in cancelled]

    def cancellations(self) -> list[PlannedMessage]:
        """A share of the orders is cancelled: at once, or when it has been made."""
        dice = random.Random(f"{self.seed}/cancellations")
        return [_cancellation(order, dice) for order in self.orders() if dice.random() < CANCELLED_SHARE]

    def payments(self) -> list[Payment]:
        """Nebulox's orders that are paid: the provider tells of it by a callback. On one host only."""
        dice = random.Random(f"{self.seed}/payments")
        orders = [order for order in self.orders() if order.fields["account"] == "nebulox" and self.hosts == 1]
        paid = [order for order in orders if dice.random() < PAID_SHARE]
        told = [Payment(order.at + dice.uniform(*PAID_SECONDS), order.order_id) for order in paid]
        kinds = random.Random(f"{self.seed}/kinds")
        return [replace(payment, kind=kinds.choices(*zip(*PAYMENTS.items(), strict=True))[0]) for payment in told]

    def marks(self) -> list[PlannedMark]:
        """Some of 0xhost's orders, now and then: a command takes a second of the machine."""
        dice = random.Random(f"{self.seed}/marks")
        orders = [order for order in self.orders() if order.fields["account"] == "zeroxhost"]
        chosen = dice.sample(orders, min(len(orders), int(self.seconds / MARK_SECONDS)))
        marks = [PlannedMark(one.at + dice.uniform(1, 10), one.order_id, one.fields["account"]) for one in chosen]
        return sorted(marks, key=lambda mark: mark.at)

    def messages(self) -> list[PlannedMessage]:
        """Orders and cancellations, by time."""
        return sorted([*self.orders(), *self.cancellations()], key=lambda message: message.at)

    def faults(self) -> list[Fault]:
        """Every fault, by time."""
        dice = random.Random(f"{self.seed}/faults")
        faults = [*_outages(self.seconds, dice), *_moods(self.seconds, dice), *_kills(self.seconds, dice)]
        if self.restores:
            faults += [Fault(0.3 * self.seconds, "backup"), Fault(0.6 * self.seconds, "restore")]
        if self.step_seconds:
            faults.append(Fault(0.4 * self.seconds, "clock_step", seconds=self.step_seconds))
        faults += _locks(self.seconds, random.Random(f"{self.seed}/locks"), self.engine)
        if self.hosts > 1:
            cut = Fault(dice.uniform(0.1, 0.2) * self.seconds, "host_cut", "south", dice.uniform(33, 38))
            far = Fault(cut.at - 3, "host_delay", dice.choice(tuple(HOSTS)), 2.5)
            faults = [*(_spare(fault, cut) for fault in faults if fault.what != "pause"), cut, far]
        if self.engine == "sqlite":  # there is no server, and no way to it
            faults = [fault for fault in faults if "database" not in (fault.target, fault.what.partition("_")[0])]
        if self.calm:
            faults = [fault for fault in faults if is_harmless(fault)]
        return sorted(faults, key=lambda fault: fault.at)

    def lives(self, name: str) -> Iterator[Life]:
        """The lives of a process, one after the other."""
        table = {"intake": INTAKE_POINTS, "worker": WORKER_POINTS}.get(name.rstrip("0123456789"), ())
        if self.calm or (self.hosts > 1 and name in HOSTS["south"]):
            table = ()  # a host that is cut off is to come back as it was
        dice = random.Random(f"{self.seed}/lives/{name}")
        while True:
            for point in dice.sample(table, len(table)) or [""]:
                most = PASSES.get(point.partition(".")[0], FEWEST_PASSES)
                passes = f"{point}:{dice.randint(1, most)}" if point and dice.random() > POINTLESS_SHARE else ""
                yield Life(passes, dice.random() < COLD_SHARE)

    def printed(self) -> dict[str, Any]:
        """The schedule as JSON."""
        lives = {name: [asdict(life) for life in islice(self.lives(name), 12)] for name in PROCESSES}
        return {
            "seed": self.seed,
            "hosts": self.hosts,
            "engine": self.engine,
            "calm": self.calm,
            "session": {"database": dict(self.session.database), "environment": dict(self.session.environment)},
            "clock_shift_seconds": self.clock_shift_seconds,
            "step_seconds": self.step_seconds,
            "faults": [asdict(fault) for fault in self.faults()],
            "first_lives": lives,
            "cancellations": [{"at": one.at, "order_id": one.order_id} for one in self.cancellations()],
        }


def _order(order_id: str, at: float, dice: random.Random, calm: bool) -> PlannedMessage:
    faults = ("reset", "truncated", "accept_then_status", "html=502", "status=503", "accept_then_timeout=5")
    fault = f"~fault:{dice.choice(faults)}~" if dice.random() < 0.03 and not calm else ""
    kind = dice.choices(("nebulox", "paid", "confirmed", "underpaid", "unpaid", "hold"), (35, 25, 10, 5, 15, 10))[0]
    if kind == "nebulox":
        minutes = f"{dice.uniform(0.05, 0.3):.2f}"
        return PlannedMessage(at, order_id + fault, nebulox_order(order_id + fault, lifetime_minutes=minutes))
    pay = f"{dice.uniform(0.5, 4):.1f}"
    marker = {
        "paid": f"~pay:{pay}~",
        "confirmed": f"~confirm:{pay}~pay:6~",
        "underpaid": f"~underpay:{pay}~lifetime:8~",
        "unpaid": f"~lifetime:{dice.randint(3, 12)}~",
        "hold": f"~pay:{pay}~",
    }[kind]
    account = {"account": HOLD_ACCOUNT} if kind == "hold" else {}
    return PlannedMessage(at, order_id, zeroxhost_order(order_id, marker + fault, **account))


def _in_lots(orders: list[PlannedMessage], dice: random.Random) -> list[PlannedMessage]:
    """The same orders, some of them put together: a lot comes when its first order would have come."""
    for number, start in enumerate(range(0, len(orders), LOT_EVERY), start=1):
        first = start + dice.randrange(LOT_EVERY - LOT_ORDERS[1])
        lot = orders[first : first + dice.randint(*LOT_ORDERS)]
        orders[first : first + len(lot)] = [replace(order, at=lot[0].at, lot=number) for order in lot]
    return orders


def _cancellation(order: PlannedMessage, dice: random.Random) -> PlannedMessage:
    fields = {"account": order.fields["account"], "order_id": order.order_id, "reason": CANCEL_REASON}
    return PlannedMessage(order.at + dice.choice((0.2, 1.0, dice.uniform(1, 6))), order.order_id, fields, CANCEL)


def _kills(seconds: float, dice: random.Random) -> Iterator[Fault]:
    """SIGKILL at random instants, also while a process starts; now and then a worker sleeps through its leases."""
    pauses = [Fault((n + dice.uniform(0.2, 0.5)) * 75, "pause", "worker2", dice.uniform(15, 20)) for n in range(9)]
    pauses = [pause for pause in pauses if pause.at < max(seconds - 20, seconds / 2)]
    yield from pauses
    at = 2.0
    while at < seconds:
        target = dice.choices(PROCESSES, (20, 20, 28, 28, 4, 6))[0]
        if target == "worker2" and any(pause.at - 3 <= at <= pause.at + pause.seconds + 3 for pause in pauses):
            target = "intake"
        yield Fault(at, "kill", target)
        at += dice.uniform(*KILL_SECONDS)


def _outages(seconds: float, dice: random.Random) -> Iterator[Fault]:
    """The engines and the ways to them, in random order, so that each finds the others at work."""
    kinds = ["broker_kill", "broker_kill", "broker_flush", "database_kill"]
    ways = [f"{how} {door}" for door in DOORS for how in NETWORK]
    rounds = max(1, round(seconds / 90))
    kinds = [*kinds * rounds, *dice.sample(ways, min(len(ways), 8 * rounds))]
    dice.shuffle(kinds)
    share = seconds / len(kinds)
    for place, kind in enumerate(kinds):
        at, duration = (place + dice.uniform(0.1, 0.6)) * share, dice.uniform(0.3, 2.5)
        how, _, door = kind.partition(" ")
        yield Fault(at, f"network_{how}" if door else kind, door, duration)


def _locks(seconds: float, dice: random.Random, engine: str) -> Iterator[Fault]:
    """An outsider holds locks, some of them at the same time."""
    targets = LOCKS if engine == "postgresql" else ("database",)
    held = LOCK_SECONDS if engine == "postgresql" else LOCK_SECONDS_SQLITE
    for place in range(max(2, round(seconds / 45))):
        target = targets[place % len(targets)]
        yield Fault(dice.uniform(0.05, 0.7) * seconds, "lock", target, dice.uniform(*held))


def is_harmless(fault: Fault) -> bool:
    """Whether no create's answer can be lost by it."""
    return fault.what in HARMLESS or (fault.what.startswith("network_") and fault.target in HARMLESS_DOORS)


def _spare(fault: Fault, cut: Fault) -> Fault:
    """Nobody is killed on a host that is cut off, nor right after: somebody of the other host is instead."""
    spared = fault.what == "kill" and fault.target in HOSTS["south"]
    if spared and cut.at - 3 <= fault.at <= cut.at + cut.seconds + 8:
        return replace(fault, target=fault.target.rstrip("2"))
    return fault


def _moods(seconds: float, dice: random.Random) -> Iterator[Fault]:
    """Providers and receiver."""
    for place in range(max(2, int(seconds / 15))):
        at = (place + dice.random()) * 15
        yield Fault(at, "provider", dice.choice(("delay=2", "reset", "rate_limited", "status=500", "html")))
        yield Fault(at + dice.uniform(0, 7), "receiver", dice.choice(("slow", "refusing", "forgetful")))
