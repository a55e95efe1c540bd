"""Whether the database's clock was set, and rows whose times it left too far ahead."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from workers.cli.doctor.finding import Finding, ago, clock, lasting

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.agenda import Due
    from workers.store.clock import ClockState
    from workers.store.database import Database

#: How long a step of the clock is reported.
RECENTLY = timedelta(days=1)


def check_steps(database: Database, config: Settings) -> Iterator[Finding]:
    """What workers saw of that clock, and rows that are due later than any wait is long."""
    from workers.store.clock import read_clock

    now, state, far = database.time(), database.read(read_clock), _far(database, config)
    if state is not None:
        yield from _told_by(state, now)
    for due in far:
        what = f"{due.stage.value}/{due.lane} lies {lasting(due.in_seconds)} ahead, further than anything waits"
        yield Finding("clock", "wrong", f"{what}: the clock was set back; a running worker makes it due", "far_ahead")


def _told_by(state: ClockState, now: datetime) -> Iterator[Finding]:
    from domain.timekeeping import TOLERANCE_SECONDS

    if state.seen_at - now > timedelta(seconds=TOLERANCE_SECONDS):
        behind = lasting((state.seen_at - now).total_seconds())
        detail = f"the database's clock is {behind} behind what it has shown: it was set back; is a worker running?"
        yield Finding("clock", "wrong", detail, "clock_set_back", state.seen_at)
    elif state.moving_by is not None:
        detail = f"the database's clock was set back by {lasting(-state.moving_by.total_seconds())}"
        yield Finding("clock", "note", f"{detail}; waits are being moved with it", "clock_stepped", state.stepped_at)
    elif state.stepped_at and state.stepped_by and abs(now - state.stepped_at) < RECENTLY:
        seconds = state.stepped_by.total_seconds()
        way = "ahead" if seconds > 0 else "back"
        detail = f"the database's clock was set {way} by {lasting(abs(seconds))}, {ago(state.stepped_at, now)} ago"
        said = f"{detail} ({clock(state.stepped_at)}); leases and waits were moved with it: look at its NTP"
        yield Finding("clock", "note", said, "clock_stepped", state.stepped_at)


def _far(database: Database, config: Settings) -> list[Due]:
    from domain.decision import Stage
    from domain.looks import lanes_of, search_lane_of
    from domain.schedule import longest_wait
    from workers.store.agenda import STANDING, far_lanes
    from workers.store.endpoints import list_endpoints

    lanes = [(stage, lane, 0.0) for stage, lane in STANDING]
    for name, account in config.accounts.items():
        lanes += [(Stage.CREATE, lane, 0.0) for lane in (name, search_lane_of(name))]
        lanes += [(Stage.CHECK, lane, account.poll_seconds) for lane in lanes_of(name)]
    lanes += [(Stage.DELIVER, endpoint.id, 0.0) for endpoint in database.read(list_endpoints)]
    waits = {(stage, lane): wait for stage, lane, seconds in lanes if (wait := longest_wait(stage, seconds))}
    return database.read(far_lanes, database, waits)
