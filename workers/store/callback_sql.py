"""Statements about kept callbacks and the invoices that they may be about."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Unpack

from sqlalchemy import ARRAY, Executable, bindparam, select, text

from domain.decision import Stage
from workers.store.bulk import How, keyed, numbered
from workers.store.rows import Query
from workers.store.tables import AGENDA, CALLBACK, INVOICE

#: The columns that are written of a callback.
KEPT = ("account", "digest", "body", "headers", "order_id", "reference", "word", "amount", "state")

# Each callback and its agenda row; one that is kept already gets neither.
_KEEP = """
WITH kept AS (
    INSERT INTO callback ({columns}, at)
    SELECT {columns}, clock_timestamp() FROM unnest({arrays}) AS given ({columns})
    ON CONFLICT DO NOTHING RETURNING id, account, digest, at
), lines AS (
    INSERT INTO agenda (stage, subject, lane, due_at, claims, pokes)
    SELECT '{stage}', CAST(id AS text), account, at, 0, 0 FROM kept
)
SELECT account, digest FROM kept
"""
KEEP_POSTGRESQL = text(
    _KEEP.format(columns=", ".join(KEPT), arrays=", ".join(f":{name}" for name in KEPT), stage=Stage.CALLBACK.value)
).bindparams(*(bindparam(name, type_=ARRAY(CALLBACK.c[name].type)) for name in KEPT))


def arrays_of(rows: Sequence[Mapping[str, object]]) -> dict[str, list[object]]:
    """The values of ``KEEP_POSTGRESQL``."""
    return {name: [row[name] for row in rows] for name in KEPT}


@functools.cache
def ids(dialect: str) -> Query:
    return select(CALLBACK.c.id).where(numbered(dialect, CALLBACK.c.id)).order_by(CALLBACK.c.id)


@functools.cache
def locked_ids(dialect: str, **how: Unpack[How]) -> Executable:
    return ids(dialect).with_for_update(**how)


@functools.cache
def lines(dialect: str) -> Query:
    rows = AGENDA.c.stage == Stage.CALLBACK.value, keyed(dialect, AGENDA.c.subject)
    return select(AGENDA.c.subject).where(*rows).order_by(AGENDA.c.subject)


@functools.cache
def locked_lines(dialect: str, **how: Unpack[How]) -> Executable:
    return lines(dialect).with_for_update(**how)


@functools.cache
def by_id(dialect: str) -> Executable:
    return select(CALLBACK).where(numbered(dialect, CALLBACK.c.id)).order_by(CALLBACK.c.id)


@functools.cache
def of_orders(dialect: str) -> Executable:
    # A fallback account makes invoices for other accounts' orders: the account that made it is called back.
    key = INVOICE.c.provider_account, INVOICE.c.order_id
    asking = INVOICE.c.provider_ref, INVOICE.c.asked_by, INVOICE.c.twins
    found = INVOICE.c.id, INVOICE.c.status, INVOICE.c.doubts, INVOICE.c.created_at, *asking
    return select(*found, *key).where(keyed(dialect, *key)).order_by(INVOICE.c.id.desc())


# Without a condition on the state: SQLite would use the index on that, and read all callbacks in that state.
@functools.cache
def of_references(dialect: str) -> Executable:
    key = CALLBACK.c.account, CALLBACK.c.reference
    return select(CALLBACK.c.state, CALLBACK.c.invoice_id, *key).where(keyed(dialect, *key)).order_by(CALLBACK.c.id)


@functools.cache
def of_order_ids(dialect: str) -> Executable:
    key = CALLBACK.c.account, CALLBACK.c.order_id
    return select(CALLBACK.c.id, CALLBACK.c.account, CALLBACK.c.state).where(keyed(dialect, *key))
