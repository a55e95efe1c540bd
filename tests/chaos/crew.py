"""Keeps the processes running, as a supervisor would, and writes down how each ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.chaos.grounds import Grounds
from tests.chaos.plan import PROCESSES, Plan
from tests.chaos.planned import Life
from workers.queue.fault_points import LAST_WORDS, VARIABLE


@dataclass(slots=True)
class Deaths:
    """How processes ended: by a kill at a random instant, at a point of their own, or of themselves."""

    random: Counter[str] = field(default_factory=Counter)  #: process -> kills
    points: Counter[str] = field(default_factory=Counter)  #: point -> kills
    exits: Counter[str] = field(default_factory=Counter)  #: process -> ends that nobody asked for
    cold_starts: int = 0

    def kills(self) -> int:
        """All SIGKILLs of our processes."""
        return self.random.total() + self.points.total()


class Crew:
    """The Procfile's processes over one run."""

    def __init__(self, grounds: Grounds, plan: Plan) -> None:
        self._grounds = grounds
        self._system = grounds.system
        self._lives: dict[str, Iterator[Life]] = {name: plan.lives(name) for name in PROCESSES}
        self.armed = True
        self.deaths = Deaths()
        self.workers_ended: list[float] = []  #: epoch seconds

    def start(self) -> None:
        """Launch everybody."""
        for name in PROCESSES:
            self._launch(name)

    def stop(self) -> None:
        """SIGKILL for everybody, and nobody is started again."""
        for name in list(self._system.processes):
            self._system.kill(name)
            self.deaths.random[name] += 1
            self._note_end(name)

    def kill(self, name: str) -> None:
        """SIGKILL; one that is dead already died at a point."""
        process = self._system.processes.get(name)
        if process is not None and process.poll() is None:
            self._system.kill(name)
            self.deaths.random[name] += 1
            self._note_end(name)
            self._launch(name)

    def tend(self) -> None:
        """Start again whoever has ended."""
        for name, process in list(self._system.processes.items()):
            code = process.poll()
            if code is not None:
                del self._system.processes[name]
                self._write_down(name, code)
                self._note_end(name)
                self._launch(name)

    def _launch(self, name: str) -> None:
        life = next(self._lives[name])
        self._system.environment[VARIABLE] = life.point if self.armed else ""
        self.deaths.cold_starts += life.cold
        self._grounds.spawn(name, cold=life.cold)

    def _note_end(self, name: str) -> None:
        if name.startswith("worker"):
            self.workers_ended.append(time.time())

    def _write_down(self, name: str, code: int) -> None:
        for line in self._system.new_log(name).splitlines():
            if line.startswith(LAST_WORDS):
                self.deaths.points[line.removeprefix(LAST_WORDS).strip()] += 1
                return
        self.deaths.exits[f"{name}:{code}"] += 1
