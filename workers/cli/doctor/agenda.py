"""Work that is not done: parked rows, and overdue rows that nobody works on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from workers.cli.doctor.finding import Finding, ago, counted
from workers.cli.doctor.look_ups import has_budget, tell_budgets

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database
    from workers.store.reads.agenda import Lane

#: Workers take up what is due within a second: something is wrong with what is overdue for longer than this.
OVERDUE = timedelta(seconds=60)
#: Old rows are removed every ten minutes, and nothing waits for that.
REMOVAL_OVERDUE = timedelta(hours=1)
#: A failing receiver is left alone for less than this: after a longer pause no worker works on it.
LEFT_ALONE = timedelta(minutes=2)

WORK = {"create": "orders to be made", "check": "look-ups", "clock": "times that have run out", "deliver": "webhooks"}


def check_agenda(database: Database, config: Settings) -> Iterator[Finding]:
    """Rows that nobody takes up. Rows that wait for a reason of their own are left to the check of that: the stream, a
    disabled endpoint, an account that is no longer configured."""
    from workers.store.reads.agenda import read_lanes

    now = database.time()
    lanes = database.read(read_lanes, now, OVERDUE)
    excused = _excuses(database, config, lanes, now)
    found = [*_parked(lanes), *(finding for lane in lanes if (finding := _late(lane, now, config, excused)))]
    yield from found
    yield from tell_budgets(lanes, config)
    if not any(finding.state == "wrong" for finding in found):
        rows = sum(lane.rows for lane in lanes)
        yield Finding("agenda", "ok", f"{counted(rows, 'row')}, none parked, none waits for a worker")


def _parked(lanes: Sequence[Lane]) -> Iterator[Finding]:
    parked = [lane for lane in lanes if lane.parked]
    if parked:
        where = ", ".join(f"{lane.stage}/{lane.lane}: {lane.parked}" for lane in parked)
        rows = sum(lane.parked for lane in parked)
        detail = f"{counted(rows, 'row was', 'rows were')} parked, whose holders died again and again ({where})"
        yield Finding("agenda", "wrong", detail, "parked", count=rows, command="invoices redrive parked")


def _late(lane: Lane, now: datetime, config: Settings, excused: set[tuple[str, str]]) -> Finding | None:
    if lane.oldest_due_at is None or lane.stage == "publish":  # its row is always due, see `stream`
        return None
    since = lane.oldest_due_at
    if lane.stage == "retain":
        late = config.retention_days and now - since > REMOVAL_OVERDUE
        detail = f"the removal of what is old has been due for {ago(since, now)}"
        return Finding("agenda", "note", detail, "removal_overdue", since) if late else None
    if (lane.stage, lane.lane) in excused:
        return None
    what = f"{counted(lane.overdue, 'row')} of {lane.stage}/{lane.lane} ({WORK.get(lane.stage, lane.stage)})"
    if lane.in_hand and lane.stage != "clock":
        detail = f"{what} wait their turn, the oldest for {ago(since, now)}; {lane.in_hand} are in hand"
        return Finding("agenda", "note", detail, "backlog", since, lane.overdue)
    detail = f"{what} are overdue, the oldest for {ago(since, now)}, and nobody works on them: is a worker running?"
    return Finding("agenda", "wrong", detail, "overdue", since, lane.overdue, "invoices up")


def _excuses(database: Database, config: Settings, lanes: Sequence[Lane], now: datetime) -> set[tuple[str, str]]:
    """Late lanes that wait for a reason which another check reports."""
    from domain.looks import account_of

    overdue = [lane for lane in lanes if lane.oldest_due_at is not None]
    late = [lane for lane in overdue if not lane.in_hand or has_budget(config, lane)]
    calls = {(lane.stage, lane.lane) for lane in late if lane.stage in {"create", "check"}}
    receivers = {lane.lane for lane in late if lane.stage == "deliver"}
    excused = {(stage, lane) for stage, lane in calls if account_of(lane) not in config.accounts}
    excused |= _asked_to_wait(database, config, calls - excused, now)
    return excused | {("deliver", endpoint) for endpoint in _left_alone(database, receivers, now)}


def _asked_to_wait(
    database: Database, config: Settings, calls: set[tuple[str, str]], now: datetime
) -> set[tuple[str, str]]:
    """Lanes whose provider has answered 429, or whose account already gets all the calls that it allows."""
    if not calls:
        return set()
    from domain.decision import Stage
    from domain.why.patience import accounts_of
    from workers.cli.health import read_pace
    from workers.store.reads.put_off import find_put_off

    pace, lanes = read_pace(config), [(Stage(stage), lane) for stage, lane in calls]
    put_off = database.read(find_put_off, now, accounts_of(lanes))
    return {(stage.value, lane) for stage, lane in lanes if pace.waits_rightly((stage, lane), put_off)}


def _left_alone(database: Database, receivers: set[str], now: datetime) -> set[str]:
    """Endpoints that are disabled or gone, and failing ones that were tried lately."""
    if not receivers:
        return set()
    from workers.store.endpoints import list_endpoints
    from workers.store.reads.receivers import read_failing

    enabled = {endpoint.id for endpoint in database.read(list_endpoints) if endpoint.disabled_at is None}
    tried = {endpoint: database.read(read_failing, endpoint) for endpoint in sorted(receivers & enabled)[:100]}
    probed = {endpoint for endpoint, failing in tried.items() if failing and now - failing.last_at < LEFT_ALONE}
    return (receivers - enabled) | probed
