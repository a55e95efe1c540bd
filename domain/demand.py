"""How much work there is, from the rows that are due at each look and from the workers' reports.

Arrivals are not counted. They follow from two things: the work that was done, and how many more rows are due than at
the look before.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from domain.account import Account
from domain.decision import Stage
from domain.scaling import Load, Pool, Seen, Wanted, workers_wanted
from domain.work_report import ROWS, WEBHOOKS, Part, Report, Worked

SLOTS_OF_ROWS = 1000

WINDOW_SECONDS = 10.0  #: arrivals are counted in windows of this length, at least
REMEMBERED_SECONDS = 60.0  #: the busiest window of this time counts
SHRINKING = 0.1  #: a backlog is being worked off if it shrinks by more than this share of the work that is done
#: Assumed until workers have reported their own.
CALL_SECONDS = 1.0
CORE_SECONDS = 0.0016
#: With fewer results most of the measured core time would be that of an idle worker.
ENOUGH_RESULTS = 100


@dataclass(frozen=True, slots=True)
class Arrived:
    """The arrivals of one window. ``tells`` is false while a backlog is worked off: the work done and the rows due are
    then not of quite the same seconds, and their difference says nothing."""

    rows_per_second: float
    tells: bool


_NONE = Arrived(0.0, tells=True)


class Demand:
    """Gives the number of workers wanted at each look. It remembers what was due at the last one, and the windows."""

    def __init__(self, pools: Mapping[str, Pool], rates: Mapping[Part, float]) -> None:
        """``pools``: one for each account, and WEBHOOKS. ``rates``: of single stages (``look_ups_per_second``)."""
        own = {ROWS: Pool(SLOTS_OF_ROWS)}
        self._pools = {**own, **pools}
        self._rates = rates
        self._due: Mapping[Part, int] = {}
        self._looked_at: float | None = None
        self._arrived: deque[tuple[float, Mapping[Part, Arrived]]] = deque()

    def look(self, now: float, due: Mapping[Part, int], running: int, reports: Sequence[Report]) -> Wanted:
        """``now``: seconds of a clock that never goes back. Rows of removed accounts (no pool) are left out."""
        due = {part: rows for part, rows in due.items() if part[1] in self._pools}
        worked = _together(reports)
        self._count_arrivals(now, due, worked)
        parts = sorted({*due, *(part for part in worked if part[1] in self._pools)})
        core = _core_seconds(reports)
        loads = [self._load(part, due.get(part, 0), worked.get(part), core) for part in parts]
        return workers_wanted(loads, self._pools, _seen(running, worked.values(), reports))

    def _load(self, part: Part, due: int, worked: Worked | None, core_seconds: float) -> Load:
        return Load(
            pool=part[1],
            due=due,
            arrivals_per_second=self._arrivals(part),
            call_seconds=0.0 if part[1] == ROWS else worked.call_seconds if worked else CALL_SECONDS,
            core_seconds=core_seconds,
            rate_per_second=self._rates.get(part),
        )

    def _arrivals(self, part: Part) -> float:
        """Rows a second, in the busiest of the windows that tell; if none does, in the newest."""
        windows = [arrived.get(part, _NONE) for _, arrived in self._arrived]
        return max((one.rows_per_second for one in windows if one.tells), default=windows[-1].rows_per_second)

    def _count_arrivals(self, now: float, due: Mapping[Part, int], worked: Mapping[Part, Worked]) -> None:
        if self._looked_at is not None and now - self._looked_at < WINDOW_SECONDS:
            return
        # At the first look nothing is known to compare with: only the work that is done counts.
        before, seconds = (due, WINDOW_SECONDS) if self._looked_at is None else (self._due, now - self._looked_at)
        more = {part: (due.get(part, 0) - before.get(part, 0)) / seconds for part in {*due, *before}}
        done = {part: one.rows_per_second for part, one in worked.items()}
        arrived = {part: _arrived(done.get(part, 0.0), more.get(part, 0.0)) for part in {*more, *done}}
        self._arrived.append((now, arrived))
        while self._arrived and self._arrived[0][0] < now - REMEMBERED_SECONDS:
            self._arrived.popleft()
        self._looked_at, self._due = now, due


def demand_of(accounts: Mapping[str, Account], webhook_slots: int) -> Demand:
    """The demand on these accounts. ``webhook_slots``: how many webhooks one worker sends at a time."""
    pools = {name: Pool(account.max_in_flight, account.rate_per_second) for name, account in accounts.items()}
    rates = {
        (Stage.CHECK, name): account.look_ups_per_second
        for name, account in accounts.items()
        if account.look_ups_per_second is not None
    }
    return Demand({**pools, WEBHOOKS: Pool(webhook_slots)}, rates)


def _arrived(done: float, more: float) -> Arrived:
    return Arrived(max(done + more, 0.0), tells=more >= -SHRINKING * done)


def _together(reports: Iterable[Report]) -> dict[Part, Worked]:
    """The work of all workers."""
    rows: defaultdict[Part, float] = defaultdict(float)
    held: defaultdict[Part, float] = defaultdict(float)
    slowest: dict[Part, float] = {}
    for report in reports:
        for part, worked in report.work.items():
            rows[part] += worked.rows_per_second
            held[part] += worked.rows_per_second * worked.call_seconds
            slowest[part] = max(slowest.get(part, 0.0), worked.call_seconds)
    return {part: Worked(count, held[part] / count if count else slowest[part]) for part, count in rows.items()}


def _core_seconds(reports: Sequence[Report]) -> float:
    results = sum(report.results for report in reports)
    return sum(report.core_seconds for report in reports) / results if results >= ENOUGH_RESULTS else CORE_SECONDS


def _seen(running: int, worked: Iterable[Worked], reports: Sequence[Report]) -> Seen:
    commits = sum(report.commits for report in reports)
    return Seen(
        running=running,
        finished_per_second=sum(one.rows_per_second for one in worked),
        commit_seconds=sum(report.commit_seconds for report in reports) / commits if commits else 0.0,
    )
