"""Repairs the agenda after somebody has set the database's clock: leases last as long as they should, waits no longer.

Set ahead, leases look over while their holders are at work: all are moved at once, before anybody trusts the clock
again. Set back, everything planned lies too far away: it is moved page by page, each page with a note of how far this
has come. After a crash in between, the next to look at the clock goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, Executable, select, tuple_

from domain.decision import Stage
from domain.timekeeping import moved
from workers.store.bulk import execute_keyed, key_rows, update_rows
from workers.store.clock import ClockState, write_clock
from workers.store.pairs import Pair, pair_of
from workers.store.rows import StoredRow
from workers.store.tables import AGENDA, DELIVERY

PAGE = 2000

_KEY = AGENDA.c.stage, AGENDA.c.subject
_ROWS = select(*_KEY, AGENDA.c.due_at, AGENDA.c.lease_token).order_by(*_KEY)


def prolong_leases(connection: Connection, by: timedelta, now: datetime, lease: timedelta) -> int:
    """The clock was set ahead: let leases that were not over end later by as much. Returns how many there were.

    Locked rows are waited for: a claim that has just taken one as lost finds that nobody trusts the clock, and is
    undone.
    """
    then = now - by
    held = AGENDA.c.lease_token.is_not(None), AGENDA.c.due_at > then, AGENDA.c.due_at <= then + lease
    rows = connection.execute(_ROWS.where(*held).with_for_update()).all()
    _move(connection, [(row, row.due_at + by) for row in rows])
    return len(rows)


def move_page(connection: Connection, state: ClockState, now: datetime, lease: timedelta) -> int:
    """The clock was set back: move the next page of the agenda with it. Returns how many rows were moved.

    Locked rows are left out: whoever has one locked plans it anew.
    """
    by = state.moving_by
    if by is None:
        return 0
    ahead = AGENDA.c.due_at > now, tuple_(*_KEY) > tuple_(*state.moved_to)
    rows = connection.execute(_ROWS.where(*ahead).limit(PAGE).with_for_update(skip_locked=True)).all()
    found = [
        (row, moved(Stage(row.stage), row.due_at, leased=row.lease_token is not None, by=by, now=now, lease=lease))
        for row in rows
    ]
    changed = [(row, due_at) for row, due_at in found if due_at != row.due_at]
    _move(connection, changed)
    pairs = [pair_of(row.subject) for row, _ in changed if row.stage == Stage.DELIVER.value]
    _move_tries(connection, pairs, by, now)
    if len(rows) == PAGE:
        write_clock(connection, moved_to=f"{rows[-1].stage}/{rows[-1].subject}")
    else:
        write_clock(connection, moving_by=None, moved_to=None)
    return len(changed)


def _move(connection: Connection, rows: Sequence[tuple[StoredRow, datetime]]) -> None:
    new = [{"stage": row.stage, "subject": row.subject, "due_at": due_at} for row, due_at in rows]
    update_rows(connection, AGENDA, ("stage", "subject"), new)


def _move_tries(connection: Connection, pairs: Sequence[Pair], by: timedelta, now: datetime) -> None:
    """Move the deliveries' own times too: a pair is pointed at them again. The pairs' agenda rows are locked."""
    if not pairs:
        return
    rows = execute_keyed(connection, _tries, ("endpoint_id", "invoice_id"), pairs).all()
    new = [{"id": row.id, "next_try_at": max(row.next_try_at + by, now)} for row in rows if row.next_try_at > now]
    update_rows(connection, DELIVERY, ("id",), new)


def _tries(dialect: str) -> Executable:
    pair = key_rows(dialect, ("endpoint_id", "invoice_id"))
    same = (DELIVERY.c.endpoint_id == pair.c.endpoint_id) & (DELIVERY.c.invoice_id == pair.c.invoice_id)
    rows = select(DELIVERY.c.id, DELIVERY.c.next_try_at).select_from(pair.join(DELIVERY, same))
    return rows.where(DELIVERY.c.state == "due", DELIVERY.c.next_try_at.is_not(None)).order_by(DELIVERY.c.id)
