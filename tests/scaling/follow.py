"""An autoscaler that follows the figure as Kubernetes' would, and how many workers would have been needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from domain.decision import Stage
from domain.demand import Demand
from domain.scaling import Bound, Load, Pool, Seen, workers_wanted
from domain.work_report import Part, Report, Worked
from tests.scaling.loads import Scene
from tests.scaling.plant import MEAN_SPREAD, STEP_SECONDS, Plant

GOAL_SECONDS = 5.0
GOAL_SHARE = 0.99
LOOK_SECONDS = 15.0  #: between two looks of the autoscaler ...
STALE_SECONDS = 15.0  #: ... at a figure that Prometheus read so long ago
START_SECONDS = 20.0  #: until a new worker works
CALM_SECONDS = 300.0  #: fewer only after this long: Kubernetes' own default
TOLERANCE = 0.1  #: a difference of at most a tenth is left alone: the same
STRETCH_SECONDS = 600.0  #: needed workers are found for each stretch of this length
MOST_EXCESS = 1.5
MANY = 64  #: more than any scene needs


@dataclass(slots=True)
class Autoscaler:
    """Up at once, down to the highest figure of the calm time."""

    running: int = 1
    starting: deque[tuple[float, int]] = field(default_factory=deque)
    figures: deque[tuple[float, int]] = field(default_factory=deque)

    def look(self, now: float, wanted: int) -> None:
        """The figure as it is read now."""
        self.figures.append((now, wanted))
        while self.figures[0][0] < now - CALM_SECONDS:
            self.figures.popleft()
        have = self.running + sum(count for _, count in self.starting)
        if wanted > have * (1 + TOLERANCE):
            self.starting.append((now + START_SECONDS, wanted - have))
        elif (calm := max(figure for _, figure in self.figures)) < have * (1 - TOLERANCE):
            self.starting.clear()
            self.running = min(calm, self.running)

    def advance(self, now: float) -> None:
        """Workers that have started."""
        while self.starting and self.starting[0][0] <= now:
            self.running += self.starting.popleft()[1]


@dataclass(frozen=True, slots=True)
class Result:
    """What following came to."""

    scene: str
    p99_seconds: float
    on_time: float  #: share of orders
    best_p99_seconds: float  #: with more workers than are ever needed
    best_on_time: float
    #: Workers that ran over those needed, in this stretch or the one before, at the worst moment. Two where one is
    #: enough are no excess: half of one can't be had.
    most: float
    run: float  #: mean workers that ran
    needed: float  #: mean workers needed
    bounds: Mapping[str, float]  #: share of the looks

    @property
    def keeps_goal(self) -> bool:
        """Where the goal can be kept at all; otherwise nearly as many are on time as can be."""
        return self.on_time >= min(GOAL_SHARE, self.best_on_time - (1 - GOAL_SHARE))

    @property
    def is_thrifty(self) -> bool:
        """Never more than half as many again as were needed."""
        return self.most <= MOST_EXCESS


def pools_of(scene: Scene) -> dict[str, Pool]:
    """The accounts' limits."""
    return {str(number): Pool(shop.slots_per_worker, shop.rate_per_second) for number, shop in enumerate(scene.shops)}


def reported(plant: Plant, scene: Scene) -> Report:
    """What all workers together would report."""
    work = {
        (Stage.CREATE, str(number)): Worked(
            sum(counter.ended) / (len(counter.ended) * STEP_SECONDS), counter.shop.call_seconds * MEAN_SPREAD
        )
        for number, counter in enumerate(plant.counters)
    }
    rows = round(60 * sum(worked.rows_per_second for worked in work.values()))
    return Report(60.0, rows * scene.core_seconds, rows, 1000, 1000 * plant.commit_seconds, work)


def due(plant: Plant) -> dict[Part, int]:
    """What the agenda would say."""
    return {(Stage.CREATE, str(number)): counter.line.count for number, counter in enumerate(plant.counters)}


def follow(scene: Scene, minutes: float, seed: int) -> tuple[Plant, list[int], list[Bound]]:
    """The scene with an autoscaler: the workers that ran in each step, and what bound them at each look."""
    plant, scaler = Plant(scene, seed, goal_seconds=GOAL_SECONDS), Autoscaler()
    scaler.running, demand = figure_before(scene), Demand(pools_of(scene), {})
    ran: list[int] = []
    bounds: list[Bound] = []
    known: deque[tuple[float, int]] = deque()
    for step in range(int(minutes * 60 / STEP_SECONDS)):
        now = step * STEP_SECONDS
        scaler.advance(now)
        if step and now % LOOK_SECONDS == 0:
            wanted = demand.look(now, due(plant), scaler.running, [reported(plant, scene)])
            bounds.append(wanted.bound_by)
            known.append((now, wanted.workers))
            while len(known) > 1 and known[1][0] <= now - STALE_SECONDS:
                known.popleft()
            scaler.look(now, known[0][1])
        ran.append(scaler.running)
        plant.advance(scaler.running)
    return plant, ran, bounds


def figure_before(scene: Scene) -> int:
    """What ran before the scene began: the figure for its first second's arrivals and nothing due."""
    loads = [
        Load(str(number), 0, shop.arrivals(0.0), shop.call_seconds, scene.core_seconds)
        for number, shop in enumerate(scene.shops)
    ]
    return workers_wanted(loads, pools_of(scene), Seen(MANY, 0.0, 0.0)).workers


def needed(scene: Scene, minutes: float, seed: int) -> list[int]:
    """For each stretch: the fewest workers, running all through it, that keep the goal; where none can, the fewest that
    get as much done as any number would."""
    count = int(minutes * 60 / STRETCH_SECONDS)
    return [_fewest(scene, int(number * STRETCH_SECONDS / STEP_SECONDS), seed + number) for number in range(count)]


def _fewest(scene: Scene, begin_step: int, seed: int) -> int:
    on_time, done = _stretch(scene, begin_step, seed, MANY)
    low, high = 1, MANY
    while low < high:
        middle = (low + high) // 2
        is_enough = _stretch(scene, begin_step, seed, middle)
        if is_enough[0] >= GOAL_SHARE if on_time >= GOAL_SHARE else is_enough[1] >= GOAL_SHARE * done:
            high = middle
        else:
            low = middle + 1
    return low


def _stretch(scene: Scene, begin_step: int, seed: int, workers: int) -> tuple[float, int]:
    """The share that is on time, and how much gets done."""
    plant = Plant(scene, seed, goal_seconds=GOAL_SECONDS, begin_step=begin_step)
    for _ in range(int(STRETCH_SECONDS / STEP_SECONDS)):
        plant.advance(workers)
    done = plant.done
    plant.give_up_waiting()
    return 1 - plant.late / max(plant.done, 1), done


def judge(scene: Scene, minutes: float, seed: int) -> Result:
    """Follow the figure, and compare."""
    plant, ran, bounds = follow(scene, minutes, seed)
    best = Plant(scene, seed, goal_seconds=GOAL_SECONDS)
    for _ in ran:
        best.advance(MANY)
    least = needed(scene, minutes, seed)
    per_stretch = int(STRETCH_SECONDS / STEP_SECONDS)
    ratios = []
    for step, running in enumerate(ran):
        stretch = min(step // per_stretch, len(least) - 1)
        before = max(stretch - 1, 0)
        enough = max(least[stretch], least[before])
        ratios.append(1.0 if (running, enough) == (2, 1) else running / enough)
    return Result(
        scene=scene.name,
        p99_seconds=plant.age_of(GOAL_SHARE),
        on_time=1 - plant.late / plant.done,
        best_p99_seconds=best.age_of(GOAL_SHARE),
        best_on_time=1 - best.late / best.done,
        most=max(ratios),
        run=sum(ran) / len(ran),
        needed=sum(least) / len(least),
        bounds={bound: bounds.count(bound) / len(bounds) for bound in Bound},
    )
