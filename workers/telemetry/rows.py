"""The web process's metrics that are read from the database's rows: at most every five seconds, in a thread."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

import structlog
from redis.exceptions import RedisError

from domain.decision import Stage
from domain.demand import Demand
from domain.looks import account_of
from domain.scaling import Bound
from domain.why.patience import Pace
from domain.work_report import ROWS, WEBHOOKS, Part
from workers.store.agenda import Lane
from workers.store.database import ANY_FAILURE, Database, first_line
from workers.store.reads.gauges import LaneLoad, Watched, read_watched
from workers.telemetry.metrics import Rows, Values

log = structlog.get_logger()

FRESH_SECONDS = 5.0
#: The state of each endpoint's breaker: closed, open or probing.
ReadBreakers = Callable[[Sequence[str]], Mapping[str, str]]
Found = dict[str, Values]


class RowReader:
    """Reads the rows and shows what it found. ``refresh`` may be called by several threads."""

    def __init__(
        self,
        database: Database,
        rows: Rows,
        accounts: Collection[str],
        read_pace: Callable[[], Pace],
        read_breakers: ReadBreakers,
        demand: Demand,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``read_pace`` is called at each reading."""
        self._database = database
        self._rows = rows
        self._accounts = sorted(accounts)
        self._read_pace = read_pace
        self._read_breakers = read_breakers
        self._demand = demand
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at = -FRESH_SECONDS
        self._next: Mapping[Lane, datetime | None] = {}  #: when each lane's next row was due at the last reading
        self._is_away = False

    def refresh(self) -> None:
        """Read again if the last reading is too old. While the database can't be read, only that is shown."""
        with self._lock:
            if self._clock() - self._read_at < FRESH_SECONDS:
                return
            try:
                found = self._read()
            except ANY_FAILURE as error:
                self._tell_away(error)
            except Exception:
                log.exception("metrics.rows_failed", traceback=True)  # a bug: the other metrics are shown all the same
                self.give_up()
            else:
                self._is_away = False
                self._rows.show({**found, "invoices_store_readable": {(): 1.0}})
            finally:
                self._read_at = self._clock()

    def give_up(self) -> None:
        """Show that the rows could not be read."""
        self._rows.show({"invoices_store_readable": {(): 0.0}})

    def _tell_away(self, error: BaseException) -> None:
        self.give_up()
        if not self._is_away:
            log.warning("metrics.rows_unread", error=first_line(error))
        self._is_away = True

    def _read(self) -> Found:
        seen = read_watched(self._database)
        breakers = self._breakers(seen.endpoints)
        held = {endpoint for endpoint, state in breakers.items() if state != "closed"}
        held |= {endpoint for endpoint, is_disabled in seen.endpoints.items() if is_disabled}
        return self._agenda(seen, held) | self._counts(seen) | self._scale(seen, held) | _endpoints(seen, breakers)

    def _counts(self, seen: Watched) -> Found:
        accounts = sorted({*self._accounts, *seen.refused})
        return {
            "invoices_in_doubt": _one(seen.in_doubt.invoices),
            "invoices_in_doubt_oldest_seconds": _one(_age(seen.in_doubt.since, seen.now)),
            "invoices_contradictions_open": _one(seen.contradictions),
            "invoices_unmatched_callbacks": _one(seen.unmatched),
            "invoices_rejected_messages": _one(seen.rejected),
            "invoices_account_refused": {(name,): float(name in seen.refused) for name in accounts},
            "invoices_provider_drift_open": {
                (name,): float(seen.drift.get(name, 0)) for name in sorted({*self._accounts, *seen.drift})
            },
            "invoices_clock_skew_seconds": _one(seen.host_ahead_seconds),
        }

    def _agenda(self, seen: Watched, held: Collection[str]) -> Found:
        """A lane moves if its next row is another one than at the last reading: what waits there waits for its turn."""
        overdue: dict[Stage, float] = dict.fromkeys(Stage, 0.0)
        pace = self._read_pace()
        for load in seen.loads:
            moves = self._next.get((load.stage, load.lane), load.oldest) != load.oldest
            waits_rightly = _is_held(load, held) or pace.waits_rightly((load.stage, load.lane), seen.put_off)
            if not moves and not waits_rightly:
                overdue[load.stage] = max(overdue[load.stage], _age(load.oldest, seen.now))
        untold = _age(seen.untold_since, seen.now)
        # The stream's row is always due; that means something only while an event is untold.
        overdue[Stage.PUBLISH] = min(overdue[Stage.PUBLISH], untold)
        self._next = {(load.stage, load.lane): load.oldest for load in seen.loads}
        return {
            "invoices_agenda_overdue_seconds": {(stage.value,): seconds for stage, seconds in overdue.items()},
            "invoices_parked": _one(sum(load.parked for load in seen.loads)),
            "invoices_stream_behind_seconds": _one(untold),
        }

    def _scale(self, seen: Watched, held: Collection[str]) -> Found:
        """How many workers the work takes."""
        due: Counter[Part] = Counter()
        for load in seen.loads:
            pool = _pool_of(load)
            if pool is not None and not _is_held(load, held):
                due[load.stage, pool] += load.due
        reports = [report for report in seen.workers if report is not None]
        wanted = self._demand.look(self._clock(), due, len(seen.workers), reports)
        return {
            "invoices_workers_wanted": _one(wanted.workers),
            "invoices_bound_by": {(reason.value,): float(reason is wanted.bound_by) for reason in Bound},
        }

    def _breakers(self, endpoints: Collection[str]) -> Mapping[str, str]:
        """Empty while Redis is away: then no endpoint is left alone."""
        try:
            return self._read_breakers(sorted(endpoints)) if endpoints else {}
        except (RedisError, OSError) as error:
            log.debug("metrics.breakers_unread", error=first_line(error))
            return {}


def _is_held(load: LaneLoad, held: Collection[str]) -> bool:
    """Whether it waits for an endpoint that is disabled or left alone."""
    return load.stage is Stage.DELIVER and load.lane in held


def _pool_of(load: LaneLoad) -> str | None:
    """Whose slots its rows take; None: more workers would not make it faster."""
    match load.stage:
        case Stage.CREATE | Stage.CHECK:
            return account_of(load.lane)
        case Stage.DELIVER:
            return WEBHOOKS
        case Stage.CLOCK | Stage.CALLBACK:
            return ROWS
        case _:
            return None


def _endpoints(seen: Watched, breakers: Mapping[str, str]) -> Found:
    waiting = {one: _age(seen.waiting_since.get(one), seen.now) for one in seen.endpoints}
    return {
        "invoices_endpoint_disabled": {(one,): float(is_disabled) for one, is_disabled in seen.endpoints.items()},
        "invoices_endpoint_backlog_seconds": {(one,): seconds for one, seconds in waiting.items()},
        "invoices_endpoint_breaker_open": {(one,): float(state != "closed") for one, state in breakers.items()},
    }


def _one(value: float) -> Values:
    """The values of a metric without labels."""
    return {(): float(value)}


def _age(at: datetime | None, now: datetime) -> float:
    """Seconds since then; 0 where it is still to come."""
    return 0.0 if at is None else max(0.0, (now - at).total_seconds())
