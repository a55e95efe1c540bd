"""How many workers the work takes, and what keeps it from going faster.

A worker is one core, and so many slots for each pool: an account's calls, or the webhooks. It is planned to use
``PLANNED_USE`` of both. What the provider's rate or the database does not let through asks for no worker.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

PLANNED_USE = 0.8  #: the share of slots and core that is planned for: orders come in lumps
TARGET_SECONDS = 20.0  #: what is due is to be done within this, beside what arrives meanwhile ...
#: ... by at most this much more than what arrives: a backlog of a minute asks for no tenfold workers ...
CATCH_UP = 0.2
LONGEST_SECONDS = 300.0  #: ... and within this, however little arrives
#: No more are wanted than this times those that run: only then does anybody know whether the database bears it.
GROWTH = 1.5
#: A commit that takes longer waits in the database. Then no more is planned for than ``PROBE`` times what was finished:
#: where the database takes more after all, each look plans for more.
SLOW_COMMIT_SECONDS = 0.1
PROBE = 1.1


class Bound(StrEnum):
    """What keeps the work from going faster."""

    NONE = "none"
    WORKERS = "workers"  #: their cores: fewer run than are wanted
    PROVIDER_SLOTS = "provider_slots"  #: the same, and a higher ``max_in_flight`` of the account would do as well
    PROVIDER_RATE = "provider_rate"  #: more is due than the account's calls a second
    DATABASE = "database"  #: commits wait there


@dataclass(frozen=True, slots=True)
class Load:
    """The work of one stage in one pool (an account's name, or ``webhooks``)."""

    pool: str
    due: int  #: rows that are due and in nobody's hands
    arrivals_per_second: float  #: rows that became due, in the busiest ten seconds of the last minute
    call_seconds: float  #: mean time of a call
    core_seconds: float  #: of a worker's core, for each row
    rate_per_second: float | None = None  #: of this stage alone: ``look_ups_per_second``


@dataclass(frozen=True, slots=True)
class Pool:
    """What the calls of a pool share."""

    slots_per_worker: int  #: ``max_in_flight``
    rate_per_second: float | None = None  #: over all workers


@dataclass(frozen=True, slots=True)
class Seen:
    """What workers do."""

    running: int
    finished_per_second: float  #: rows that were committed, of all stages in the loads
    commit_seconds: float  #: mean time of a commit


@dataclass(frozen=True, slots=True)
class Wanted:
    """The figure, at least 1, and its reason."""

    workers: int
    bound_by: Bound


def workers_wanted(
    loads: Iterable[Load], pools: Mapping[str, Pool], seen: Seen, target_seconds: float = TARGET_SECONDS
) -> Wanted:
    """Due work times its mean time over the target, and what arrives, bounded by rates, slots and the database.

    Every load's pool must be among ``pools`` (KeyError).
    """
    plan, rate_binds = _within_rates([(load, _asked(load, target_seconds)) for load in loads], pools)
    is_slow = seen.commit_seconds > SLOW_COMMIT_SECONDS
    share = _share_of_database(sum(rows for _, rows in plan), seen.finished_per_second) if is_slow else 1.0
    held = 0.0 if is_slow else seen.commit_seconds  # what waits in the database needs no worker that waits with it
    cores, slots = _use(plan, pools, share, held)
    needed = max(math.ceil(round(max(cores, slots) / PLANNED_USE, 6)), 1)
    workers = min(needed, max(math.floor(seen.running * GROWTH), seen.running + 1))
    waits_for_commits = is_slow and any(load.due for load, _ in plan)
    return Wanted(workers, _bound(workers > seen.running, slots > cores, rate_binds, waits_for_commits))


def _asked(load: Load, target_seconds: float) -> float:
    """Rows a second."""
    arrive = load.arrivals_per_second
    rows = arrive + max(min(load.due / target_seconds, arrive * CATCH_UP), load.due / LONGEST_SECONDS)
    return rows if load.rate_per_second is None else min(rows, load.rate_per_second)


def _within_rates(plan: list[tuple[Load, float]], pools: Mapping[str, Pool]) -> tuple[list[tuple[Load, float]], bool]:
    """The rows a second of each load within its pool's rate, and whether a rate lets less through than is asked for."""
    asked: defaultdict[str, float] = defaultdict(float)
    for load, rows in plan:
        asked[load.pool] += rows
    shares = {name: _share_of_rate(rows, pools[name].rate_per_second) for name, rows in asked.items()}
    binds = any(share < 1 for share in shares.values()) or any(
        load.rate_per_second is not None and rows >= load.rate_per_second for load, rows in plan
    )
    return [(load, rows * shares[load.pool]) for load, rows in plan], binds


def _share_of_rate(asked: float, rate: float | None) -> float:
    return 1.0 if rate is None or asked <= rate else rate / asked


def _share_of_database(asked: float, finished: float) -> float:
    return min(finished * PROBE / asked, 1.0) if asked else 1.0


def _use(
    plan: list[tuple[Load, float]], pools: Mapping[str, Pool], share: float, held_seconds: float
) -> tuple[float, float]:
    """Cores that are busy, and workers whose slots of the fullest pool are all taken."""
    taken: defaultdict[str, float] = defaultdict(float)
    for load, rows in plan:
        taken[load.pool] += rows * share * (load.call_seconds + held_seconds)
    cores = sum(rows * share * load.core_seconds for load, rows in plan)
    return cores, max((slots / pools[name].slots_per_worker for name, slots in taken.items()), default=0.0)


def _bound(too_few: bool, slots_decide: bool, rate_binds: bool, database_binds: bool) -> Bound:
    """More workers are no help where the database or a rate decides; the first that can be helped is named first."""
    if database_binds:
        return Bound.DATABASE
    if too_few:
        return Bound.PROVIDER_SLOTS if slots_decide else Bound.WORKERS
    return Bound.PROVIDER_RATE if rate_binds else Bound.NONE
