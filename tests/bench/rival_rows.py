"""The whole way against the best of others: our processes and each rival's in turns, rate and CPU, servers included."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import statistics
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tests.bench.ground import ROOT, SECRET, Ground, order_fields
from tests.bench.process_rows import AT_A_TIME, INTAKE, subscribe, whole_rate
from tests.bench.processes import Processes, creates, lists, ours, wait_until
from tests.bench.results import Row
from tests.bench.rivals.kept import best_settings
from tests.engines import new_postgres_database

PYTHON = ROOT / ".venv" / "rivals" / "bin" / "python"


class Rival(NamedTuple):
    """A queue, and the settings that suit it best, by the sweep that is kept."""

    name: str
    settings: Mapping[str, str] = {}
    processes: int = 2
    part: int = 1  #: it gets one in so many orders: a slow one is not to take minutes
    turns: int = 1  #: so many times the usual rounds: two medians of three differ by a tenth for the same code


PARTS = {"pgqueuer": 1, "arq": 1, "procrastinate": 1, "dbos": 4}
BEST = "pgqueuer"  #: the others are far behind, and slow
RIVALS = tuple(Rival(name, *best_settings(name), part, 3 if name == BEST else 1) for name, part in PARTS.items())
#: How many times its rate and how much of its CPU, by the kind of message. Bounds are for the best of them.
RATE_GOALS, CPU_GOAL = {"create": 2.0, "create_many": 3.0}, 0.5
#: A go has so many times the whole way's orders: the first webhook comes after 0.4 s at ours, sooner at theirs, and a
#: rate is what goes on and on.
LONGER = 4


def rival_rows(ground: Ground, rival: Rival) -> list[Row]:
    """The whole way by both kinds of message: rate and CPU of all processes and both servers, in turns."""
    rows: list[Row] = []
    with contextlib.ExitStack() as stack:
        our_url = stack.enter_context(ground.database_url())
        subscribe(ground, our_url, AT_A_TIME)
        names = ("intake", "worker", "worker2", "beat")
        processes = stack.enter_context(ours(ground, our_url, *names, max_in_flight=AT_A_TIME))
        theirs = stack.enter_context(running(ground, rival))
        our_side = Side(ground, lambda kind, count: our_rate(ground, kind, count), processes.cpu_seconds)
        their_side = Side(ground, theirs.rate, theirs.processes.cpu_seconds)
        for kind, goal in RATE_GOALS.items():
            rows += _pair(ground, rival, kind, goal, our_side, their_side)
    return rows


def _pair(ground: Ground, rival: Rival, kind: str, goal: float, ours: Side, theirs: Side) -> list[Row]:
    key, what = f"rival-{rival.name}-{kind.replace('_', '-')}", f"whole way by {kind}, 100 ms stand-in, 2 workers"
    rate = Row(key, what, rival.name, "invoices/s", goal)
    cpu = Row(f"{key}-cpu", f"CPU of it, servers included, by {kind}", rival.name, "CPU-ms", CPU_GOAL, "less")
    return in_turns(ground, kind, (rate, cpu), ours, theirs, rival.part, rival.turns)


def in_turns(
    ground: Ground, kind: str, rows: tuple[Row, Row], ours: Side, theirs: Side, part: int = 1, turns: int = 1
) -> list[Row]:
    """Measure rate and CPU of both sides. ``part`` and ``turns``: see ``Rival``."""
    count, (rate, cpu) = ground.sizes.whole * LONGER, rows
    for side in (ours, theirs):
        side.go(kind, max(100, count // (20 * LONGER)))  # first calls, first connections
        side.used.clear()
    rate.run(
        ground.sizes.rounds * turns,
        lambda: ours.go(kind, count, cpu.ours),
        lambda: theirs.go(kind, count // part, cpu.theirs),
    )
    shares = {f"{rate.against}: {name}": used for name, used in theirs.shares().items()}
    rate.cpu_ms = cpu.cpu_ms = ours.shares() | shares
    return [rate, cpu]


class Side:
    """One of the two, with what it uses. ``counted``: CPU seconds of its processes so far, by their kinds."""

    def __init__(
        self, ground: Ground, rate: Callable[[str, int], float], counted: Callable[[], dict[str, float]] = dict
    ) -> None:
        self._ground, self._rate, self.counted = ground, rate, counted
        self.used: dict[str, list[float]] = {}  #: CPU-milliseconds an invoice, by process and server, of each go

    def go(self, kind: str, count: int, cpu: list[float] | None = None) -> float:
        """Invoices a second; ``cpu`` learns what each needed in all, in CPU-milliseconds."""
        before = self._counted()
        rate = self._rate(kind, count)
        needed = {name: (now - before[name]) / count * 1000 for name, now in self._counted().items()}
        for name, milliseconds in needed.items():
            self.used.setdefault(name, []).append(milliseconds)
        if cpu is not None:
            cpu.append(sum(needed.values()))
        return rate

    def shares(self) -> dict[str, float]:
        """The median of each."""
        return {name: round(statistics.median(values), 2) for name, values in self.used.items()}

    def _counted(self) -> dict[str, float]:
        return self.counted() | self._ground.engine_cpu()


def our_rate(ground: Ground, kind: str, count: int) -> float:
    make = lists if kind == "create_many" else creates
    return whole_rate(ground, INTAKE, make(count, f"invoices.{kind}", INTAKE), count)


class Running:
    """A rival's worker processes over a database of their own."""

    def __init__(self, ground: Ground, rival: Rival, environment: Mapping[str, str], processes: Processes) -> None:
        self._ground, self._rival, self._environment = ground, rival, environment
        self.processes = processes

    def rate(self, kind: str, count: int) -> float:
        """Invoices a second, from the first job until the last webhook was answered."""
        ask, run = self._ground.ask, uuid.uuid4().hex[:8]
        ask("reset", "POST")
        with self._sender(kind, [order_fields(f"{run}-{number}") for number in range(count)]) as sender:
            start = time.time()
            sender.communicate("\n")
            wait_until(lambda: ask("stats")["hooks"] >= count, f"{count} webhooks came")
        return float(count / (ask("stats")["last_hook_at"] - start))

    @contextlib.contextmanager
    def _sender(self, kind: str, orders: Sequence[Mapping[str, Any]]) -> Iterator[subprocess.Popen[str]]:
        """A process that has all orders and waits for a line."""
        command, environment = _command(self._rival, "send", kind), os.environ | self._environment
        pipe = subprocess.PIPE
        with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdin=pipe, stdout=pipe) as sender:
            assert sender.stdin is not None
            assert sender.stdout is not None
            print(json.dumps(orders), file=sender.stdin, flush=True)
            if sender.stdout.readline() != "ready\n":
                raise RuntimeError(f"{self._rival.name} can't send: see what it printed")
            yield sender


@contextlib.contextmanager
def running(ground: Ground, rival: Rival) -> Iterator[Running]:
    """Its tables made, its workers ready."""
    if not PYTHON.exists():
        raise RuntimeError("the rivals are not installed: make rivals")
    with new_postgres_database(ground.server_url) as url:
        environment = _environment(ground, url, rival)
        subprocess.run(_command(rival, "setup"), cwd=ROOT, env=os.environ | environment, check=True)
        with Processes(ground.folder / f"rival-{rival.name}", environment) as processes:
            for number in range(rival.processes):
                processes.start(f"{rival.name}{number}", _command(rival, "work"), b"rival ready.")
            yield Running(ground, rival, environment, processes)


def _environment(ground: Ground, url: str, rival: Rival) -> dict[str, str]:
    return {
        "RIVAL_DATABASE_URL": url.replace("postgresql+psycopg", "postgresql"),
        "RIVAL_REDIS_URL": ground.valkey.redis_url,
        "RIVAL_PROVIDER_URL": ground.provider_url(100),
        "RIVAL_HOOK_URL": ground.hook_url,
        "RIVAL_SECRET": SECRET,
        **rival.settings,
    }


def _command(rival: Rival, *arguments: str) -> list[str]:
    return [str(PYTHON), "-m", f"tests.bench.rivals.{rival.name}_app", *arguments]


def rows(ground: Ground) -> dict[str, Callable[[], list[Row]]]:
    """By key; they need `make rivals`."""
    return {f"rival-{rival.name}": functools.partial(rival_rows, ground, rival) for rival in RIVALS}
