"""Where a time begins in a table whose rows are numbered in order: a few look-ups by key, without an index on the
time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, func, select

#: Rows are numbered nearly in the order of their times: transactions run in parallel, and clocks are set. A search that
#: must not miss a row widens its bounds by this.
SLACK = timedelta(days=1)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def earlier(time: datetime) -> datetime:
    """Earlier by ``SLACK``, or the earliest time that there is."""
    return time - SLACK if time - _FIRST > SLACK else _FIRST


def later(time: datetime) -> datetime:
    """Later by ``SLACK``, or the latest time that there is."""
    return time + SLACK if _LAST - time > SLACK else _LAST


def first_number(
    connection: Connection, number: ColumnElement[int], at: ColumnElement[datetime], since: datetime
) -> int:
    """The number of the first row with ``at`` ≥ ``since``; one more than the last number where there is none.

    ``number`` and ``at`` are columns of one table; ``number`` is its key, and may have gaps. A caller that needs every
    row asks for a time that is ``SLACK`` earlier.
    """
    first, last = connection.execute(select(func.min(number), func.max(number))).one()
    if first is None:
        return 0
    low, high = first, last + 1
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(select(number, at).where(number >= middle).order_by(number).limit(1)).one_or_none()
        if row is None or row[1] >= since:
            high = middle
        else:
            low = row[0] + 1
    return int(low)
