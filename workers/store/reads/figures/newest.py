"""Where the newest rows of a table begin that are looked at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, select


@dataclass(frozen=True, slots=True)
class Newest:
    """The rows with numbers above ``after``, which tell what happened from ``since`` on. ``is_cut``: that is later than
    was asked for, because there are more rows than are looked at."""

    after: int
    since: datetime
    is_cut: bool


def newest(
    connection: Connection, number: ColumnElement[int], at: ColumnElement[datetime], since: datetime, most: int
) -> Newest:
    """A table's rows since a time, at most ``most`` of them. ``number`` is its key, which grows with the time
    ``at``."""
    last = connection.execute(select(func.coalesce(func.max(number), 0))).scalar_one()
    after = max(0, last - most)
    first = connection.execute(select(at).where(number > after).order_by(number).limit(1)).scalar_one_or_none()
    is_cut = after > 0 and first is not None and first > since
    return Newest(after, first if is_cut and first is not None else since, is_cut)
