"""A sample of a table's rows since a time: as many as there are, or so many of them, evenly spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, select

#: The time's beginning is found to within this part of the rows after it: a sixteenth.
NEAR = 16


@dataclass(frozen=True, slots=True)
class Sampled:
    """The numbers of the rows to look at: one of every ``step``. Later looks choose the same rows again."""

    numbers: Sequence[int]
    step: int


def sampled(
    connection: Connection, number: ColumnElement[int], at: ColumnElement[datetime], since: datetime, most: int
) -> Sampled:
    """``number`` is the table's key, which grows with the time ``at``. Some rows are from before ``since``: the caller
    leaves these out."""
    last = connection.execute(select(func.coalesce(func.max(number), 0))).scalar_one()
    first = _about_first(connection, number, at, since, last)
    step = max(1, math.ceil((last - first + 1) / most))
    return Sampled(range(first + -first % step, last + 1, step), step)


def _about_first(
    connection: Connection, number: ColumnElement[int], at: ColumnElement[datetime], since: datetime, last: int
) -> int:
    """The number at which the time begins, or one a little below it: found by halving, as nearly as a sample needs."""
    low, high = 1, last + 1
    while high - low > 1:
        middle = (low + high) // 2
        first = connection.execute(select(at).where(number >= middle).order_by(number).limit(1)).scalar_one_or_none()
        if first is None or first >= since:
            high = middle
        else:
            low = middle
        if last + 1 - high > NEAR * (high - low):
            break
    return low
