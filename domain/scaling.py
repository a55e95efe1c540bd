"""How many workers the work needs, and what keeps it from going faster.

A worker has one core, and a number of slots for each pool: an account's calls, or the webhooks. PLANNED_USE of both is
planned for. Work that the provider's rate or the database does not let through needs no worker.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

PLANNED_USE = 0.8  #: the share of slots and core that is planned for: orders come in bursts
TARGET_SECONDS = 20.0  #: rows that are due are to be done within this, besides those that arrive meanwhile ...
#: ... but with at most this share more than what arrives: a backlog of a minute needs no tenfold workers ...
CATCH_UP = 0.2
LONGEST_SECONDS = 300.0  #: ... and within this in any case, however little arrives
#: At most this many times the running workers are wanted at once: only then does it show whether the database can take
#: more.
GROWTH = 1.5
#: A commit that takes longer waits in the database. Then at most PROBE times the finished work is planned for; if the
#: database can take more after all, each look plans for more.
SLOW_COMMIT_SECONDS = 0.1
PROBE = 1.1


class Bound(StrEnum):
    """What keeps the work from going faster."""

    NONE = "none"
    WORKERS = "workers"  #: their cores: fewer run than are wanted
    PROVIDER_SLOTS = "provider_slots"  #: fewer run than are wanted; a higher ``max_in_flight`` would help as well
    PROVIDER_RATE = "provider_rate"  #: more is due than the account's calls per second allow
    DATABASE = "database"  #: commits wait there


@dataclass(frozen=True, slots=True)
class Load:
    """The work of one stage in one pool (an account's name, or ``webhooks``)."""

    pool: str
    due: int  #: rows that are due, and that no worker has in hand
    arrivals_per_second: float  #: rows that became due, in the busiest ten seconds of the last minute
    call_seconds: float  #: mean time of a call
    core_seconds: float  #: time of a worker's core for each row
    rate_per_second: float | None = None  #: of this stage alone: ``look_ups_per_second``


@dataclass(frozen=True, slots=True)
class Pool:
    """The limits that the calls of a pool share."""

    slots_per_worker: int  #: ``max_in_flight``
    rate_per_second: float | None = None  #: over all workers


@dataclass(frozen=True, slots=True)
class Seen:
    """What the workers do now."""

    running: int
    finished_per_second: float  #: committed rows, of all stages in the loads
    commit_seconds: float  #: mean time of a commit


@dataclass(frozen=True, slots=True)
class Wanted:
    """The number of workers, at least 1, and what bounds the work."""

    workers: int
    bound_by: Bound


def workers_wanted(
    loads: Iterable[Load], pools: Mapping[str, Pool], seen: Seen, target_seconds: float = TARGET_SECONDS
) -> Wanted:
    """The workers for what arrives and for what is due, which is to be done in ``target_seconds``; within the bounds of
    rates, slots and the database.

    Raises KeyError for a load whose pool is not in ``pools``.
    """
    plan, rate_binds = _within_rates([(load, _asked(load, target_seconds)) for load in loads], pools)
    is_slow = seen.commit_seconds > SLOW_COMMIT_SECONDS
    share = _share_of_database(sum(rows for _, rows in plan), seen.finished_per_second) if is_slow else 1.0
    held = 0.0 if is_slow else seen.commit_seconds  # work that waits in the database needs no worker to wait with it
    cores, slots = _use(plan, pools, share, held)
    needed = max(math.ceil(round(max(cores, slots) / PLANNED_USE, 6)), 1)
    workers = min(needed, max(math.floor(seen.running * GROWTH), seen.running + 1))
    waits_for_commits = is_slow and any(load.due for load, _ in plan)
    return Wanted(workers, _bound(workers > seen.running, slots > cores, rate_binds, waits_for_commits))


def _asked(load: Load, target_seconds: float) -> float:
    """The rows per second that this load asks for."""
    arrive = load.arrivals_per_second
    rows = arrive + max(min(load.due / target_seconds, arrive * CATCH_UP), load.due / LONGEST_SECONDS)
    return rows if load.rate_per_second is None else min(rows, load.rate_per_second)


def _within_rates(plan: list[tuple[Load, float]], pools: Mapping[str, Pool]) -> tuple[list[tuple[Load, float]], bool]:
    """Each load's rows per second within its pool's rate, and whether a rate lets less through than is asked for."""
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
    """How many cores are busy, and how many workers' slots of the fullest pool are taken."""
    taken: defaultdict[str, float] = defaultdict(float)
    for load, rows in plan:
        taken[load.pool] += rows * share * (load.call_seconds + held_seconds)
    cores = sum(rows * share * load.core_seconds for load, rows in plan)
    return cores, max((slots / pools[name].slots_per_worker for name, slots in taken.items()), default=0.0)


def _bound(too_few: bool, slots_decide: bool, rate_binds: bool, database_binds: bool) -> Bound:
    """What bounds the work. More workers don't help against the database or a rate."""
    if database_binds:
        return Bound.DATABASE
    if too_few:
        return Bound.PROVIDER_SLOTS if slots_decide else Bound.WORKERS
    return Bound.PROVIDER_RATE if rate_binds else Bound.NONE
