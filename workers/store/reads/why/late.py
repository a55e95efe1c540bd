"""What of everything is late, by cause: each count by an index, and no further than ``COUNTED``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Select, func, literal_column, select, text

from domain.decision import Stage
from domain.exact_json import read_json
from domain.looks import account_of
from domain.status import Status
from domain.why import Cause, Late, Verdict, judge_health
from domain.why.beside import SOON
from domain.why.facts import LATE
from domain.why.patience import AT_ACCOUNT, Pace
from domain.why.processes import WORKER, Crew
from workers.store.agenda import STANDING
from workers.store.database import Database
from workers.store.reads.contradictions import settled, unsettled
from workers.store.reads.gauges import COUNTED, LaneLoad, read_endpoints, read_loads, read_put_off
from workers.store.reads.processes import read_crew
from workers.store.reads.stream import Untold, read_untold
from workers.store.reads.why.held_up import NOW_HELD_UP, read_held_up
from workers.store.tables import AGENDA, DELIVERY, EVENT, EVIDENCE, INVOICE, REJECTED
from workers.store.tables.columns import UtcTime
from workers.store.tables.events import FAILING


@dataclass(frozen=True, slots=True)
class Overview:
    """How the whole does at ``now``, by the database's clock. ``late``: in the order of the causes."""

    now: datetime
    verdict: Verdict
    late: Sequence[Late]
    crew: Crew
    untold: Untold


def read_overview(connection: Connection, database: Database, pace: Pace) -> Overview:
    """All of it, by a few dozen looks into indexes."""
    now = database.now(connection)
    crew, loads, untold = read_crew(connection, now), read_loads(connection, now), read_untold(connection, now)
    loads = [load for load in loads if (load.stage, load.lane) not in STANDING]
    found = [
        *_rejected(connection),
        *_contradictions(connection),
        *_parked(connection, loads),
        *_held_up(connection),
        *_in_doubt(connection),
        *_webhooks(connection),
        *_stream(connection, untold, now),
        *_lanes(connection, loads, crew, pace),
    ]
    late = sorted(_together(found, now), key=lambda one: list(Cause).index(one.cause))
    due_since = _due_since(_hurried(connection, loads, now, pace), crew)
    return Overview(now, judge_health(late, crew, due_since), late, crew, untold)


def _together(found: Sequence[Late], now: datetime) -> Iterator[Late]:
    """One of each cause, with the oldest's example."""
    by_cause: dict[Cause, list[Late]] = defaultdict(list)
    for one in found:
        by_cause[one.cause].append(one)
    for cause, parts in by_cause.items():
        oldest = min(parts, key=lambda one: (one.oldest_since or now, one.example is None))
        yield Late(cause, sum(one.count for one in parts), oldest.oldest_since, oldest.example)


def _rejected(connection: Connection) -> Iterator[Late]:
    """The example is its order, where that can be read."""
    waiting = REJECTED.c.redriven_at.is_(None)
    count = _count(connection, select(REJECTED.c.id).where(waiting).order_by(REJECTED.c.id))
    oldest = select(REJECTED).where(waiting).order_by(REJECTED.c.id).limit(1)
    row = connection.execute(oldest).one_or_none() if count else None
    if row is not None:  # it may have been sent again since it was counted
        yield Late(Cause.REJECTED_MESSAGE, count, row.at, _order_in(row.excerpt))


def _order_in(excerpt: str) -> str | None:
    try:
        fields = read_json(excerpt)
    except (ValueError, RecursionError):
        return None
    order_id = fields.get("order_id") if isinstance(fields, dict) else None
    return order_id if isinstance(order_id, str) else None


def _contradictions(connection: Connection) -> Iterator[Late]:
    newest = unsettled(COUNTED).subquery()
    first = func.min(newest.c.id)
    counted = select(func.count(newest.c.invoice_id.distinct()), func.min(newest.c.at, type_=UtcTime), first)
    count, since, first_id = connection.execute(counted.select_from(newest).where(~settled(newest))).one()
    if count:
        example = connection.scalar(select(EVIDENCE.c.invoice_id).where(EVIDENCE.c.id == first_id))
        yield Late(Cause.CONTRADICTION, count, since, example)


def _parked(connection: Connection, loads: Sequence[LaneLoad]) -> Iterator[Late]:
    """A row does not say when it was parked: since its invoice's last change."""
    for load in loads:
        if load.parked:
            lane = AGENDA.c.stage == load.stage.value, AGENDA.c.lane == load.lane, AGENDA.c.due_at.is_(None)
            subject = connection.scalar(select(AGENDA.c.subject).where(*lane).limit(1))
            example = _invoice_of(load.stage, subject)
            since = select(INVOICE.c.updated_at).where(INVOICE.c.id == example)
            yield Late(Cause.PARKED, load.parked, connection.scalar(since), example)


def _held_up(connection: Connection) -> Iterator[Late]:
    for held in read_held_up(connection):
        yield Late(held.cause, held.invoices, held.since, held.example)


def _in_doubt(connection: Connection) -> Iterator[Late]:
    """Those that are held up are told with what holds them up."""
    is_doubt = INVOICE.c.status == Status.IN_DOUBT.value
    doubt = select(INVOICE.c.id, INVOICE.c.updated_at).where(is_doubt, text(f"NOT {NOW_HELD_UP}"))
    found = doubt.order_by(INVOICE.c.id).limit(COUNTED).subquery()
    counted = select(func.count(), func.min(found.c.updated_at, type_=UtcTime), func.min(found.c.id))
    count, since, example = connection.execute(counted).one()
    if count:
        yield Late(Cause.IN_DOUBT, count, since, example)


def _webhooks(connection: Connection) -> Iterator[Late]:
    """Invoices with webhooks that were tried in vain, or wait for an endpoint that is disabled."""
    failing = select(DELIVERY.c.invoice_id, DELIVERY.c.created_at, DELIVERY.c.endpoint_id).where(text(FAILING))
    disabled = [endpoint for endpoint, is_disabled in read_endpoints(connection).items() if is_disabled]
    waiting = [failing.order_by(DELIVERY.c.id)]
    due = DELIVERY.c.state == literal_column("'due'")
    columns = DELIVERY.c.invoice_id, DELIVERY.c.created_at, DELIVERY.c.endpoint_id
    waiting += [select(*columns).where(DELIVERY.c.endpoint_id == one, due, DELIVERY.c.tries == 0) for one in disabled]
    for query in waiting:
        found = query.limit(COUNTED).subquery()
        counted = select(
            func.count(found.c.invoice_id.distinct()),
            func.min(found.c.created_at, type_=UtcTime),
            func.min(found.c.invoice_id),
        )
        count, since, example = connection.execute(counted).one()
        if count:
            yield Late(Cause.WEBHOOK_WAITS, count, since, example)


def _stream(connection: Connection, untold: Untold, now: datetime) -> Iterator[Late]:
    if untold.oldest_at is not None and now - untold.oldest_at > SOON:
        oldest = select(EVENT.c.invoice_id).where(EVENT.c.published_at.is_(None)).order_by(EVENT.c.number).limit(1)
        yield Late(Cause.STREAM_BEHIND, untold.events, untold.oldest_at, connection.scalar(oldest))


def _lanes(connection: Connection, loads: Sequence[LaneLoad], crew: Crew, pace: Pace) -> Iterator[Late]:
    """What is due and not taken up: without a worker at once, with one after a while."""
    disabled = {endpoint for endpoint, is_disabled in read_endpoints(connection).items() if is_disabled}
    gone_at = None if crew.alive(WORKER) else crew.seen_at(WORKER)
    due = {(load.stage, load.lane): load.due for load in loads}
    found = []
    for load in loads:
        cause = _cause_of(load, crew, pace.promise((load.stage, load.lane), due, COUNTED))
        if cause is not None and load.lane not in disabled:
            found.append(Late(cause, load.due, gone_at or load.oldest, _example(connection, load)))
    if not found and not crew.alive(WORKER):
        found = [Late(Cause.NO_WORKER, 1, gone_at, None)]  # nothing waits: the role itself is missed
    yield from found


def _cause_of(load: LaneLoad, crew: Crew, promise: timedelta | None) -> Cause | None:
    """``promise``: how long its rows may wait for their turn; None: for good."""
    if not load.due or load.oldest is None:
        return None
    of_account = load.stage in AT_ACCOUNT
    if not crew.works_for(account_of(load.lane) if of_account else None):
        return Cause.NO_WORKER
    if promise is None or crew.now - load.oldest <= LATE + promise or load.stage is Stage.DELIVER:
        return None
    return Cause.WAITS_FOR_ACCOUNT if of_account else Cause.NO_WORKER


def _hurried(connection: Connection, loads: Sequence[LaneLoad], now: datetime, pace: Pace) -> list[LaneLoad]:
    """Those whose due work does not wait because workers were asked to wait."""
    put_off = read_put_off(connection, loads, now)
    return [load for load in loads if not pace.waits_rightly((load.stage, load.lane), put_off)]


def _due_since(loads: Sequence[LaneLoad], crew: Crew) -> datetime | None:
    """The oldest work that workers who run would take up. Webhooks wait for receivers, which nobody hurries."""
    return min(
        (
            load.oldest
            for load in loads
            if load.due and load.oldest is not None and load.stage is not Stage.DELIVER
            if crew.works_for(account_of(load.lane) if load.stage in AT_ACCOUNT else None)
        ),
        default=None,
    )


def _example(connection: Connection, load: LaneLoad) -> str | None:
    lane = AGENDA.c.stage == load.stage.value, AGENDA.c.lane == load.lane
    first = select(AGENDA.c.subject).where(*lane, AGENDA.c.due_at == load.oldest).limit(1)
    return _invoice_of(load.stage, connection.scalar(first))


def _invoice_of(stage: Stage, subject: str | None) -> str | None:
    """A callback's row is of none yet."""
    if subject is None or stage is Stage.CALLBACK:
        return None
    return subject.rpartition("/")[2]


def _count(connection: Connection, found: Select[int]) -> int:
    counted = select(func.count()).select_from(found.limit(COUNTED).subquery())
    return int(connection.execute(counted).scalar_one())
