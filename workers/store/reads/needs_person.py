"""Invoices for which nothing goes on by itself: a person is needed."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, func, select, text, tuple_

from domain.decision import Stage
from domain.status import Status
from workers.store.reads.contradictions import settled, unsettled
from workers.store.reads.record import STAGES
from workers.store.tables import AGENDA, INVOICE

# A loose scan over the lanes of a stage, with a look into the index on (stage, lane, due_at) for each.
_PARKED_LANES = text("""
WITH RECURSIVE lanes (lane) AS (
    SELECT min(lane) FROM agenda WHERE stage = :stage
    UNION ALL
    SELECT (SELECT min(lane) FROM agenda WHERE stage = :stage AND lane > lanes.lane) FROM lanes
    WHERE lanes.lane IS NOT NULL
)
SELECT lane FROM lanes
WHERE (SELECT count(*) FROM (SELECT 1 FROM agenda WHERE stage = :stage AND agenda.lane = lanes.lane AND due_at IS NULL
                             LIMIT 1) AS parked) > 0
""")

#: How many of a kind are told, the newest, and how many are looked at to find them.
MOST, LOOKED_AT = 1_000, 10_000


def needy_ids(connection: Connection) -> list[str]:
    """Invoices in doubt that are held, contradicted ones, parked ones. Not those that wait for an endpoint or an
    account: these have pages of their own."""
    found = {*_held(connection), *_contradicted(connection), *_parked(connection)}
    return sorted(found)[-MOST:]


def is_held(invoice_id: ColumnElement[str]) -> ColumnElement[bool]:
    """No create of an invoice in doubt is planned."""
    # Counted: for a NOT EXISTS a planner may read all creates.
    planned = AGENDA.c.stage == Stage.CREATE.value, AGENDA.c.subject == invoice_id
    return select(func.count()).select_from(AGENDA).where(*planned).scalar_subquery() == 0


def _held(connection: Connection) -> Iterator[str]:
    pair, doubt = tuple_(INVOICE.c.status, INVOICE.c.id), Status.IN_DOUBT.value
    newest = select(INVOICE.c.id).where(pair >= tuple_(doubt, "inv_"), pair < tuple_(doubt, "inv_g"))
    walked = newest.order_by(INVOICE.c.status.desc(), INVOICE.c.id.desc()).limit(LOOKED_AT).subquery()
    query = select(walked.c.id).where(is_held(walked.c.id)).order_by(walked.c.id.desc())
    yield from connection.execute(query.limit(MOST)).scalars()


def _contradicted(connection: Connection) -> Iterator[str]:
    newest = unsettled(LOOKED_AT).subquery()
    query = select(newest.c.invoice_id).distinct().where(~settled(newest))
    yield from connection.execute(query.limit(MOST)).scalars()


def _parked(connection: Connection) -> Iterator[str]:
    for stage in (*STAGES, Stage.DELIVER.value):
        for lane in connection.execute(_PARKED_LANES, {"stage": stage}).scalars().all():
            parked = AGENDA.c.stage == stage, AGENDA.c.lane == lane, AGENDA.c.due_at.is_(None)
            for subject in connection.execute(select(AGENDA.c.subject).where(*parked).limit(MOST)).scalars():
                yield subject.rpartition("/")[2]
