"""Workers, providers and a database, in steps of half a second: orders wait, are called for, are committed."""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass, field

from domain.demand import WINDOW_SECONDS
from tests.scaling.loads import Scene, Shop

STEP_SECONDS = 0.5
#: Of ten calls, so many take this much of the mean.
SPREAD = ((3, 0.5), (4, 1.0), (2, 1.5), (1, 2.0))
RECENT_STEPS = round(WINDOW_SECONDS / STEP_SECONDS)
MEAN_SPREAD = sum(tenths * much for tenths, much in SPREAD) / 10
FASTEST_COMMIT_SECONDS = 0.01

Orders = tuple[int, int]  #: the step they came in, and how many


@dataclass(slots=True)
class Line:
    """Orders in the order in which they came."""

    waiting: deque[Orders] = field(default_factory=deque)
    count: int = 0

    def add(self, came: int, count: int) -> None:
        """At the end."""
        if count:
            self.waiting.append((came, count))
            self.count += count

    def take(self, most: int) -> list[Orders]:
        """The first ones, at most so many."""
        taken: list[Orders] = []
        while most > 0 and self.waiting:
            came, count = self.waiting.popleft()
            some = min(count, most)
            taken.append((came, some))
            if some < count:
                self.waiting.appendleft((came, count - some))
            most -= some
            self.count -= some
        return taken


@dataclass(slots=True)
class Budget:
    """So much a second; what is left of a step is kept, up to a step's worth."""

    left: float = 0.0

    def fill(self, per_second: float) -> int:
        """What there is now, in whole orders."""
        self.left = min(self.left, 1.0) + per_second * STEP_SECONDS
        return int(self.left)


@dataclass(slots=True)
class Counter:
    """An account at work."""

    shop: Shop
    line: Line = field(default_factory=Line)
    rate: Budget = field(default_factory=Budget)
    called: int = 0  #: in slots, until they are committed
    ended: deque[int] = field(
        default_factory=lambda: deque([0], maxlen=RECENT_STEPS)
    )  #: calls, in each of the last steps


class Plant:
    """A scene at work. ``late`` and ``done`` are counted by the step in which the orders came."""

    def __init__(self, scene: Scene, seed: int, *, goal_seconds: float, begin_step: int = 0) -> None:
        self._scene = scene
        self._random = random.Random(seed)
        self.step = begin_step
        self.counters = [Counter(shop) for shop in scene.shops]
        self._ends: dict[int, list[tuple[Counter, int, int]]] = {}
        self._commits: deque[tuple[Counter, int, int]] = deque()
        self._uncommitted = 0
        self._cores, self._database = Budget(), Budget()
        self._goal_steps = goal_seconds / STEP_SECONDS
        self.ages: dict[int, int] = {}  #: steps from order to payable: how many
        self.done = self.late = 0

    def advance(self, workers: int) -> None:
        """One step with so many workers."""
        for counter in self.counters:
            counter.ended.append(0)
        for counter, came, count in self._ends.pop(self.step, ()):
            counter.ended[-1] += count
            self._commits.append((counter, came, count))
            self._uncommitted += count
        self._commit(self._database.fill(self._scene.database_per_second))
        for counter in self.counters:
            count = poisson(self._random, counter.shop.arrivals(self.step * STEP_SECONDS) * STEP_SECONDS)
            counter.line.add(self.step, count)
        self._call(workers)
        self.step += 1

    def _call(self, workers: int) -> None:
        able = self._cores.fill(workers / self._scene.core_seconds)
        for counter in self.counters:
            shop = counter.shop
            most = min(max(workers * shop.slots_per_worker - counter.called, 0), able)
            if shop.rate_per_second is not None:
                most = min(most, counter.rate.fill(shop.rate_per_second))
            begun = 0
            for came, count in counter.line.take(most):
                begun += count
                self._begin(counter, came, count)
            counter.called += begun
            counter.rate.left -= begun
            able -= begun
            self._cores.left -= begun

    def _begin(self, counter: Counter, came: int, count: int) -> None:
        rest = count
        for tenths, much in SPREAD:
            some = (
                rest
                if (tenths, much) == SPREAD[-1]
                else min(rest, round(count * tenths / 10 + self._random.random() - 0.5))
            )
            steps = max(round(counter.shop.call_seconds * much / STEP_SECONDS), 1)
            if some > 0:
                self._ends.setdefault(self.step + steps, []).append((counter, came, some))
                rest -= some

    def _commit(self, most: int) -> None:
        able = most
        while able > 0 and self._commits:
            counter, came, count = self._commits.popleft()
            some = min(count, able)
            if some < count:
                self._commits.appendleft((counter, came, count - some))
            able -= some
            counter.called -= some
            self._uncommitted -= some
            age = self.step - came
            self.ages[age] = self.ages.get(age, 0) + some
            self.done += some
            self.late += some if age > self._goal_steps else 0
        self._database.left -= most - able

    @property
    def commit_seconds(self) -> float:
        """How long a commit takes now."""
        return FASTEST_COMMIT_SECONDS + self._uncommitted / self._scene.database_per_second

    @property
    def waiting(self) -> int:
        """Orders that are not payable yet."""
        return sum(counter.line.count + counter.called for counter in self.counters)

    def give_up_waiting(self) -> None:
        """Counts what is still waiting as it stands: the end of a stretch must not hide a backlog."""
        came = [one for counter in self.counters for one in counter.line.waiting]
        came += [(came, count) for _, came, count in self._commits]
        for when, count in came:
            if self.step - when > self._goal_steps:
                self.done += count
                self.late += count
                self.ages[self.step - when] = self.ages.get(self.step - when, 0) + count

    def age_of(self, share: float) -> float:
        """Seconds within which this share of orders became payable."""
        left = self.done * share
        for steps in sorted(self.ages):
            left -= self.ages[steps]
            if left <= 0:
                return steps * STEP_SECONDS
        return math.inf if not self.ages else max(self.ages) * STEP_SECONDS


def poisson(source: random.Random, mean: float) -> int:
    """How many come where so many are expected."""
    if mean > 30:
        return max(round(source.gauss(mean, math.sqrt(mean))), 0)
    limit, count, product = math.exp(-mean), 0, source.random()
    while product > limit:
        count += 1
        product *= source.random()
    return count
