"""The log of events by position, in pages: a reader only has to remember the last position it saw."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Executable, bindparam, or_, select, true

from workers.store.rows import BINARY
from workers.store.tables import EVENT, LOG, POSITION


class Entry(NamedTuple):
    """An event of the log. ``account``: whose it is; None for everybody's."""

    position: int
    account: str | None
    body: bytes


class Page(NamedTuple):
    """Events by position, and the position to ask for the next page with."""

    entries: Sequence[Entry]
    next: int


class Bounds(NamedTuple):
    """The positions after which a reader may go on: from ``oldest`` to ``newest``."""

    oldest: int
    newest: int


class PositionGone(Exception):  # noqa: N818 - reads as what happened
    """What comes after this position can't be told: some of it was removed, or it was never given."""

    def __init__(self, after: int, bounds: Bounds) -> None:
        super().__init__(f"after {after}: only {bounds.oldest} to {bounds.newest} can be followed")
        self.after = after
        self.bounds = bounds


def read_bounds(connection: Connection) -> Bounds:
    """As they are at this moment."""
    row = connection.execute(select(LOG.c.removed, LOG.c.newest)).one()
    return Bounds(row.removed, row.newest)


def read_page(connection: Connection, after: int, limit: int, accounts: Collection[str] | None = None) -> Page:
    """The first ``limit`` events after a position; if ``accounts`` are given, only theirs and everybody's.

    One statement, so that events and bounds are of the same moment. Raises PositionGone.
    """
    given: dict[str, object] = {"after": after, "limit": limit}
    if accounts is not None:
        given["accounts"] = sorted(accounts)
    rows = connection.execute(_page(accounts is not None), given).all()
    bounds = Bounds(rows[0].removed, rows[0].newest)
    found = [row for row in rows if row.position is not None]
    gone = max((row.position for row in found if row.number is None), default=0)  # the release before removed these
    bounds = bounds._replace(oldest=max(bounds.oldest, gone))
    if not bounds.oldest <= after <= bounds.newest:
        raise PositionGone(after, bounds)
    entries = [Entry(row.position, row.account, bytes(row.body)) for row in found]
    return Page(entries, entries[-1].position if len(entries) == limit else bounds.newest)


@functools.cache
def _page(limited: bool) -> Executable:
    chosen = select(POSITION).where(POSITION.c.position > bindparam("after"))
    if limited:
        among = POSITION.c.account.in_(bindparam("accounts", expanding=True))
        chosen = chosen.where(or_(POSITION.c.account.is_(None), among))
    page = chosen.order_by(POSITION.c.position).limit(bindparam("limit")).subquery()
    rows = LOG.outerjoin(page, true()).outerjoin(EVENT, EVENT.c.number == page.c.event_number)
    columns = (LOG.c.newest, LOG.c.removed, page.c.position, page.c.account, EVENT.c.number, EVENT.c.body)
    return select(*columns).select_from(rows).order_by(page.c.position).execution_options(**{BINARY: True})
