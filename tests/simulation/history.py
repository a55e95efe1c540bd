"""One history: the world is built from a plan, runs until everything is at rest, and is audited."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from tests.simulation.audit import UNHEARD_WATCH, audit
from tests.simulation.caller import Caller
from tests.simulation.database import SLACK_SECONDS, Engine, WorldClock, moment
from tests.simulation.engines import BELL_FAULTS, Broker, Keys, Scripts
from tests.simulation.hosts import SECRET, Intake, Process, Worker
from tests.simulation.loop import Loop
from tests.simulation.outside import Providers, Receiver
from tests.simulation.plan import FREEZE_IN_CALL_SHARE, FREEZE_SECONDS, Luck, Plan, draw_luck, make_plan
from tests.simulation.platform import standing_on
from tests.simulation.web import Operator, Shelf, Web
from workers.store.endpoints import NewEndpoint, add_endpoint

LEASES_END_SECONDS = 1000.0
LONGEST_SECONDS = 8000.0  #: who is not at rest by then is stuck; what a clock an hour ahead has planned may stay
MOST_STEPS = 60_000
LEAP_MARGIN_SECONDS = 0.05  #: who was suspended sweeps at once, and is on time again

_WAITING = (
    "SELECT (SELECT count(*) FROM agenda WHERE stage NOT IN ('publish', 'retain') AND due_at IS NOT NULL{but})"
    " + (SELECT count(*) FROM event WHERE published_at IS NULL) + (SELECT count(*) FROM delivery WHERE state = 'due')"
)
#: Looked at until somebody answers, for a month at most: a provider that knows nothing of a number never does.
_BUT_UNHEARD = f" AND (lease_token NOTNULL OR NOT {UNHEARD_WATCH})"
_LEASED = "SELECT max(due_at) FROM agenda WHERE lease_token IS NOT NULL"
#: The stream's row counts while there is something to tell.
_NEXT = (
    "SELECT min(due_at) FROM agenda WHERE stage NOT IN ('publish', 'retain')"
    " OR stage = 'publish' AND EXISTS (SELECT 1 FROM event WHERE published_at IS NULL)"
)


@dataclass(slots=True)
class History:
    """What came of a seed."""

    seed: int
    profile: str
    findings: list[str]
    trace: list[str]
    seconds: float
    steps: int

    @property
    def digest(self) -> str:
        """The same for the same history."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()


class World:
    """Everything there is in one history."""

    def __init__(self, plan: Plan, engine: Engine) -> None:
        self.plan = plan
        self.engine = engine
        self.dice = Random(f"world {plan.seed}")
        self.loop = Loop(self.dice)
        self.loop.idle = self._leap
        self.clock = WorldClock(self)
        self.clock_step = 0.0
        self.acting: Any = None  #: the host whose transaction is under way
        self.in_flight = 0  #: calls that somebody may still wait for
        self.errors: list[str] = []
        self.lines: list[tuple[Any, ...]] = []
        self.broker = Broker(self)
        self.keys, self.scripts = Keys(self), Scripts(self)
        self.providers = Providers(self, plan.fates, refused=plan.refused)
        self.receiver = Receiver(self)
        self.workers: list[Worker] = []
        self.intakes: list[Intake] = []
        self.webs: list[Web] = []
        self.operators: list[Operator] = []
        self.shelf, self.caller = Shelf(self), Caller(self)
        self.planned: list[float] = []  #: seconds at which something was planned to happen

    # ------------------------------------------------------------ what hosts ask

    def note(self, *what: Any) -> None:
        """A line of the trace."""
        self.lines.append((self.loop.now, *what))

    def database_now(self) -> datetime:
        return moment(self.loop.now + self.clock_step)

    def clock_of(self, host: Process) -> datetime:
        return self.database_now() + timedelta(seconds=host.skew_seconds)

    def is_calm(self) -> bool:
        return self.loop.now >= self.plan.calm_at

    def latency(self) -> float:
        return 0.0005 + self.dice.random() * (0.01 if self.dice.random() < 0.9 else 0.15)

    def draw(self, table: Sequence[tuple[str, float]]) -> str | None:
        """What goes wrong now, if anything does."""
        if "network" not in self.plan.faults or self.is_calm():
            return None
        roll = self.dice.random()
        for fault, share in table:
            roll -= share
            if roll < 0:
                return fault
        return None

    def perhaps_freeze(self, host: Any) -> None:
        """A host may be suspended in the middle of a call."""
        if "freeze" in self.plan.faults and not self.is_calm() and self.dice.random() < FREEZE_IN_CALL_SHARE:
            seconds = self.dice.choice(FREEZE_SECONDS)
            self.note(host.name, "freezes", seconds)
            self.loop.at_world(self.latency(), host.freeze, seconds)

    def draw_luck(self, *, busy: bool) -> Luck:
        return Luck() if self.is_calm() else draw_luck(self.plan, self.dice, busy=busy)

    def database_is_down(self) -> bool:
        return any(at <= self.loop.now < at + seconds for at, seconds in self.plan.outages)

    def database_is_locked(self) -> bool:
        return any(at <= self.loop.now < at + seconds for at, seconds in self.plan.locks)

    def send_bell(self, stage: str, lane: str) -> None:
        """A message on the work queue: to one of the workers, later."""
        fault = self.draw(BELL_FAULTS)
        for _ in range({"lost": 0, "twice": 2}.get(fault or "", 1)):
            self.loop.at_world(self.latency(), self._hear, stage, lane)

    def _hear(self, stage: str, lane: str) -> None:
        alive = [worker for worker in self.workers if not worker.dead]
        if not alive:
            self.loop.at_world(0.5, self._hear, stage, lane)
            return
        worker = self.dice.choice(alive)
        self.loop.call_later(self.latency(), worker.runtime.wake, stage, lane, context=worker.context.copy())

    # ------------------------------------------------------------ hosts come and go

    def bury(self, host: Process) -> None:
        """It is gone; supervision starts another one."""
        if host.dead:
            return
        self.note(host.name, "gone")
        self.loop.kill(host)
        wait = self.dice.uniform(0.05, 4)
        self.planned.append(self.loop.now + wait)
        self.loop.at_world(wait, self._start, type(host), host.name)

    def _start(self, kind: type[Process], name: str) -> None:
        host = kind(self, name)
        groups: dict[type[Process], list[Any]] = {
            Worker: self.workers,
            Intake: self.intakes,
            Web: self.webs,
            Operator: self.operators,
        }
        group = groups[kind]
        group[:] = [other for other in group if other.name != name] + [host]
        self.loop.start(host, host.main())

    # ------------------------------------------------------------ a history

    def run(self) -> History:
        self.engine.begin_history(self)
        with standing_on(self.loop, self.plan.seed, self.errors):
            self._subscribe()
            self._schedule()
            at_rest = self._run_until_rest()
            findings = audit(self, at_rest=at_rest)
        self.engine.world = None
        trace = [" ".join(map(str, (f"{line[0]:.4f}", *line[1:]))) for line in self.lines]
        return History(self.plan.seed, self.plan.profile, findings, trace, self.loop.now, self.loop.steps)

    def _subscribe(self) -> None:
        with self.engine.transaction("BEGIN") as connection:
            add_endpoint(connection, "ep_1", NewEndpoint("https://shop.example/hook", SECRET), self.database_now())

    def _schedule(self) -> None:
        plan, at_world = self.plan, self.loop.at_world
        for number in range(plan.intakes):
            at_world(0, self._start, Intake, f"intake{number + 1}")
        for number in range(plan.workers):
            at_world(self.dice.random() * 0.1, self._start, Worker, f"worker{number + 1}")
        for number in range(plan.webs):
            at_world(0, self._start, Web, f"web{number + 1}")
        for name, mark in plan.marks.items():
            at_world(mark.at, self._start, Operator, name)
        for at, message in plan.letters:
            at_world(at, self.broker.publish, message)
        for at, seconds in plan.clock_steps:
            at_world(at, self._step_clock, seconds)
        for at in plan.stops:
            at_world(at, lambda: self.dice.choice(self.workers).stop())
        times = [letter[0] for letter in plan.letters] + plan.stops + [step[0] for step in plan.clock_steps]
        marks = [mark.at + 1 for mark in plan.marks.values()]
        self.planned = [*times, *marks, *(at + seconds for at, seconds in plan.outages + plan.locks)]

    def _step_clock(self, seconds: float) -> None:
        self.note("clock", seconds)
        self.clock_step += seconds

    def _run_until_rest(self) -> bool:
        last = max(self.planned)
        until = last
        while until < LONGEST_SECONDS + LEASES_END_SECONDS and self.loop.steps < MOST_STEPS:
            until = max(until, self.loop.now) + 1.0
            while self.loop.step(until):
                if self.loop.steps >= MOST_STEPS:
                    return False
            if self.loop.now > last and self._rests("" if until < LONGEST_SECONDS else _BUT_UNHEARD):
                return True
        return False

    def _rests(self, but: str) -> bool:
        broker = self.broker
        frozen = any(host.frozen_until > self.loop.now for host in self.hosts)
        busy = (
            broker.queue
            or broker.held
            or self.shelf.kept
            or self.in_flight
            or frozen
            or max(self.planned) > self.loop.now
        )
        if busy or self.engine.rows(_WAITING.format(but=but))[0][0]:
            return False
        lease_end = self.engine.rows(_LEASED)[0][0]
        return lease_end is None or datetime.fromisoformat(lease_end).replace(tzinfo=UTC) <= self.database_now()

    def _leap(self, due: float) -> None:
        """Nothing but sweeps lies ahead for a while: as if all hosts had been suspended until shortly before."""
        loop = self.loop
        if due - loop.now < 0.3 or self.in_flight or self.broker.held or self.shelf.kept or self._is_unseen():
            return
        ahead = [
            at
            for at in (loop.next_outside(), *(host.frozen_until for host in self.hosts))
            if loop.now < at < LONGEST_SECONDS
        ]
        found = self.engine.rows(_NEXT)[0][0]
        if found is not None:
            wait = datetime.fromisoformat(found) - self.database_now().replace(tzinfo=None)
            ahead.append(loop.now + wait.total_seconds())
        if ahead:
            loop.now = max(loop.now, min(ahead) - LEAP_MARGIN_SECONDS)

    def _is_unseen(self) -> bool:
        """The clock was set, and nobody who is awake has looked at it since."""
        if "steps" not in self.plan.faults:
            return False
        now = self.database_now().replace(tzinfo=None)
        return any(
            moving_by is not None or abs((datetime.fromisoformat(seen_at) - now).total_seconds()) > SLACK_SECONDS
            for seen_at, moving_by in self.engine.rows("SELECT seen_at, moving_by FROM clock")
        )

    @property
    def hosts(self) -> list[Any]:
        """Those of now."""
        return [*self.workers, *self.intakes, *self.webs, *self.operators]


_engine: list[Engine] = []


def run_history(seed: int, profile: str | None = None) -> History:
    """What a seed makes of the core."""
    if not _engine:
        _engine.append(Engine())
    return World(make_plan(seed, profile), _engine[0]).run()


@dataclass(slots=True)
class Tally:
    """Many histories."""

    histories: int = 0
    steps: int = 0
    broken: list[History] = field(default_factory=list)


def explore(first: int, count: int, profile: str | None = None, *, stop_at_first: bool = True) -> Tally:
    """Histories one after the other, until one is broken."""
    tally = Tally()
    for seed in range(first, first + count):
        history = run_history(seed, profile)
        tally.histories += 1
        tally.steps += history.steps
        if history.findings:
            tally.broken.append(history)
            if stop_at_first:
                break
    return tally
