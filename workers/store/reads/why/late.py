"""All that is late, by cause: each counted by an index, up to ``COUNTED``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select, text

from domain.decision import Stage
from domain.exact_json import read_json
from domain.looks import account_of
from domain.status import Status
from domain.why import Cause, Late, Verdict, assess_health
from domain.why.beside import SOON
from domain.why.facts import LATE
from domain.why.patience import AT_ACCOUNT, Pace
from domain.why.processes import WORKER, Crew
from domain.why.whose import Due, Part, of_all, oldest_due, within
from workers.store.agenda import STANDING
from workers.store.database import Database
from workers.store.deliveries import DUE
from workers.store.outbox import NO_SEQUENCE
from workers.store.pairs import pair_of
from workers.store.reads.contradictions import settled, unsettled
from workers.store.reads.gauges import COUNTED, LaneLoad, count_found, read_endpoints, read_loads, read_put_off
from workers.store.reads.processes import read_crew
from workers.store.reads.stream import Untold, read_untold
from workers.store.reads.why.held_up import NOW_HELD_UP, read_held_up
from workers.store.tables import AGENDA, DELIVERY, EVENT, EVIDENCE, INVOICE, REJECTED
from workers.store.tables.columns import UtcTime
from workers.store.tables.conditions import FAILING


@dataclass(frozen=True, slots=True)
class Overview:
    """How the system is doing at ``now``, by the database's clock. ``late``: in the order of the causes. ``parts`` and
    ``due``: what it was computed from, by account."""

    now: datetime
    verdict: Verdict
    late: Sequence[Late]
    crew: Crew
    untold: Untold
    parts: Sequence[Part] = ()
    due: Sequence[Due] = ()
    orders: Mapping[str, str] = field(default_factory=dict)  #: of the examples, by invoice id

    def within(self, accounts: Collection[str], endpoints: Collection[str]) -> Overview:
        """The same for somebody who sees only these accounts and endpoints."""
        parts = within(self.parts, accounts, endpoints)
        late = of_all(parts, self.now)
        verdict = assess_health(late, self.crew, oldest_due(self.due, accounts))
        return replace(self, verdict=verdict, late=late, parts=parts, due=())


def read_overview(connection: Connection, database: Database, pace: Pace) -> Overview:
    """All of it, by a few dozen index look-ups."""
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
    late = of_all(found, now)
    due = list(_due(_hurried(connection, loads, now, pace), crew))
    verdict = assess_health(late, crew, oldest_due(due))
    owners, orders = _invoices(connection, {part.late.example for part in found if part.late.example is not None})
    parts = [replace(part, owner=part.owner or owners.get(part.late.example or "")) for part in found]
    return Overview(now, verdict, late, crew, untold, parts, due, orders)


def _invoices(connection: Connection, ids: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The accounts and the orders of invoices, by id. An example may be another account's order, which fell back to
    this."""
    query = select(INVOICE.c.id, INVOICE.c.account, INVOICE.c.order_id).where(INVOICE.c.id.in_(sorted(ids)))
    rows = connection.execute(query).all() if ids else ()
    return {row.id: row.account for row in rows}, {row.id: row.order_id for row in rows}


def _rejected(connection: Connection) -> Iterator[Part]:
    """The example is the oldest message's order, if that can be read."""
    waiting = REJECTED.c.redriven_at.is_(None)
    count = count_found(connection, select(REJECTED.c.id).where(waiting).order_by(REJECTED.c.id))
    oldest = select(REJECTED).where(waiting).order_by(REJECTED.c.id).limit(1)
    row = connection.execute(oldest).one_or_none() if count else None
    if row is not None:  # it may have been sent again since the count
        yield Part(late=Late(Cause.REJECTED_MESSAGE, count, row.at, _order_in(row.excerpt)))


def _order_in(excerpt: str) -> str | None:
    try:
        fields = read_json(excerpt)
    except (ValueError, RecursionError):
        return None
    order_id = fields.get("order_id") if isinstance(fields, dict) else None
    return order_id if isinstance(order_id, str) else None


def _contradictions(connection: Connection) -> Iterator[Part]:
    newest = unsettled(COUNTED).subquery()
    first, invoices = func.min(newest.c.id), func.count(newest.c.invoice_id.distinct())
    owned = newest.outerjoin(INVOICE, INVOICE.c.id == newest.c.invoice_id)
    counted = select(INVOICE.c.account, invoices, func.min(newest.c.at, type_=UtcTime), first).select_from(owned)
    for account, count, since, first_id in connection.execute(
        counted.where(~settled(newest)).group_by(INVOICE.c.account)
    ).all():
        example = connection.scalar(select(EVIDENCE.c.invoice_id).where(EVIDENCE.c.id == first_id))
        yield Part(late=Late(Cause.CONTRADICTION, count, since, example), account=account, owner=account)


def _parked(connection: Connection, loads: Sequence[LaneLoad]) -> Iterator[Part]:
    """Since the invoice's last change: a row does not tell when it was parked."""
    for load in loads:
        if load.parked:
            lane = AGENDA.c.stage == load.stage.value, AGENDA.c.lane == load.lane, AGENDA.c.due_at.is_(None)
            subject = connection.scalar(select(AGENDA.c.subject).where(*lane).limit(1))
            example = _invoice_of(connection, load.stage, subject)
            since = select(INVOICE.c.updated_at).where(INVOICE.c.id == example)
            late = Late(Cause.PARKED, load.parked, connection.scalar(since), example)
            yield Part(late=late, account=(account := _account_of(load)), at=account)


def _held_up(connection: Connection) -> Iterator[Part]:
    for held in read_held_up(connection):
        late = Late(held.cause, held.invoices, held.since, held.example)
        yield Part(late=late, account=held.owner, owner=held.owner, at=held.account)


def _in_doubt(connection: Connection) -> Iterator[Part]:
    """Except those that their accounts hold up: ``_held_up`` counts them."""
    is_doubt = INVOICE.c.status == Status.IN_DOUBT.value
    doubt = select(INVOICE.c.id, INVOICE.c.account, INVOICE.c.updated_at).where(is_doubt, text(f"NOT {NOW_HELD_UP}"))
    found = doubt.order_by(INVOICE.c.id).limit(COUNTED).subquery()
    counted = select(found.c.account, func.count(), func.min(found.c.updated_at, type_=UtcTime), func.min(found.c.id))
    for account, *told in connection.execute(counted.group_by(found.c.account)):
        yield Part(late=Late(Cause.IN_DOUBT, *told), account=account, owner=account)


def _webhooks(connection: Connection) -> Iterator[Part]:
    """Invoices with webhooks that were tried in vain, or wait for an endpoint that is disabled. An event of no invoice
    counts by itself, and is no example: ``invoices why`` does not find it."""
    disabled = [endpoint for endpoint, is_disabled in read_endpoints(connection).items() if is_disabled]
    unfinished = select(DELIVERY.c.invoice_id, DELIVERY.c.sequence, DELIVERY.c.created_at, DELIVERY.c.endpoint_id)
    untried = unfinished.where(DELIVERY.c.state == DUE, DELIVERY.c.tries == 0)
    waiting = [unfinished.where(text(FAILING)).order_by(DELIVERY.c.id)]
    waiting += [untried.where(DELIVERY.c.endpoint_id == one) for one in disabled]
    for query in waiting:
        found = query.limit(COUNTED).subquery()
        is_of_invoice = found.c.sequence != NO_SEQUENCE
        counted = (
            func.count(found.c.invoice_id.distinct()),
            func.min(found.c.created_at, type_=UtcTime),
            func.min(found.c.invoice_id).filter(is_of_invoice),
        )
        of_none = func.count(found.c.invoice_id.distinct()).filter(~is_of_invoice)
        count, since, example, others = connection.execute(select(*counted, of_none)).one()
        if not count:
            continue
        yield Part(late=Late(Cause.WEBHOOK_WAITS, count, since, example, others))
        owned = found.join(INVOICE, INVOICE.c.id == found.c.invoice_id)
        shares = select(INVOICE.c.account, found.c.endpoint_id, *counted).select_from(owned)
        for account, endpoint, *told in connection.execute(shares.group_by(INVOICE.c.account, found.c.endpoint_id)):
            late = Late(Cause.WEBHOOK_WAITS, *told)
            yield Part(late=late, account=account, owner=account, endpoint=endpoint, is_share=True)


def _stream(connection: Connection, untold: Untold, now: datetime) -> Iterator[Part]:
    if untold.oldest_at is not None and now - untold.oldest_at > SOON:
        untold_of_invoices = EVENT.c.published_at.is_(None), EVENT.c.sequence != NO_SEQUENCE
        oldest = select(EVENT.c.invoice_id).where(*untold_of_invoices).order_by(EVENT.c.number).limit(1)
        yield Part(late=Late(Cause.STREAM_BEHIND, untold.events, untold.oldest_at, connection.scalar(oldest)))


def _lanes(connection: Connection, loads: Sequence[LaneLoad], crew: Crew, pace: Pace) -> Iterator[Part]:
    """What is due and not taken up: without a worker at once, with one after a while."""
    disabled = {endpoint for endpoint, is_disabled in read_endpoints(connection).items() if is_disabled}
    gone_at = None if crew.alive(WORKER) else crew.seen_at(WORKER)
    due = {(load.stage, load.lane): load.due for load in loads}
    found = []
    for load in loads:
        cause = _cause_of(load, crew, pace.promise((load.stage, load.lane), due, COUNTED))
        if cause is not None and load.lane not in disabled:
            late = Late(cause, load.due, gone_at or load.oldest, _example(connection, load))
            found.append(Part(late=late, account=(account := _account_of(load)), at=account))
    if not found and not crew.alive(WORKER):
        found = [Part(late=Late(Cause.NO_WORKER, 1, gone_at, None))]  # nothing waits, but the role is missing
    yield from found


def _cause_of(load: LaneLoad, crew: Crew, promise: timedelta | None) -> Cause | None:
    """``promise``: how long its rows may wait for their turn; None: without end."""
    if not load.due or load.oldest is None:
        return None
    of_account = load.stage in AT_ACCOUNT
    if not crew.works_for(account_of(load.lane) if of_account else None):
        return Cause.NO_WORKER
    if promise is None or crew.now - load.oldest <= LATE + promise or load.stage is Stage.DELIVER:
        return None
    return Cause.WAITS_FOR_ACCOUNT if of_account else Cause.NO_WORKER


def _hurried(connection: Connection, loads: Sequence[LaneLoad], now: datetime, pace: Pace) -> list[LaneLoad]:
    """Those whose due work does not wait for a time that workers were asked to wait for."""
    put_off = read_put_off(connection, loads, now)
    return [load for load in loads if not pace.waits_rightly((load.stage, load.lane), put_off)]


def _due(loads: Sequence[LaneLoad], crew: Crew) -> Iterator[Due]:
    """The oldest due work of each lane that running workers should take up. Not webhooks: those wait for receivers."""
    for load in loads:
        if load.due and load.oldest is not None and load.stage is not Stage.DELIVER:
            account = _account_of(load)
            if crew.works_for(account):
                yield Due(account, load.oldest)


def _account_of(load: LaneLoad) -> str | None:
    return account_of(load.lane) if load.stage in AT_ACCOUNT else None


def _example(connection: Connection, load: LaneLoad) -> str | None:
    lane = AGENDA.c.stage == load.stage.value, AGENDA.c.lane == load.lane
    first = select(AGENDA.c.subject).where(*lane, AGENDA.c.due_at == load.oldest).limit(1)
    return _invoice_of(connection, load.stage, connection.scalar(first))


def _invoice_of(connection: Connection, stage: Stage, subject: str | None) -> str | None:
    """The invoice that a row is about. A callback's row is of none yet, and a webhook may be of none."""
    if subject is None or stage is Stage.CALLBACK:
        return None
    if stage is Stage.DELIVER:
        return connection.scalar(select(INVOICE.c.id).where(INVOICE.c.id == pair_of(subject)[1]))
    return subject
