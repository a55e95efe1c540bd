"""Invoices that a filter chooses, newest first, a page at a time, at a cost that has a bound.

Three indexes are in the order of a page: all ids, each status's ids, the ids of those with an anomaly. One of them is
walked from the newest on. The rest of the filter is compared row by row, no further than ``DEPTHS`` at a time: a page
of what is rare may be short, and says how far the look went.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, FromClause, func, select, union_all

from workers.store.queries import earliest_id, of_kinds
from workers.store.reads.invoices import HIGHEST_ID, LOWEST_ID, walk_invoices
from workers.store.reads.needs_person import needy_ids
from workers.store.reads.search import Kind, meant_as, search
from workers.store.rows import Query, StoredRow
from workers.store.seek import earlier, later
from workers.store.tables import INVOICE

#: How many rows are compared at first (more than are counted), and how many more if those were not enough.
DEPTHS = (1_100, 8_900)
#: How many are counted; beyond that only "more" is told.
COUNTED = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A filter; parts that are not given choose all. Each value once. ``accounts`` None: any; an empty set: nothing."""

    statuses: tuple[str, ...] = ()
    anomalies: tuple[str, ...] = ()
    accounts: frozenset[str] | None = None
    assets: tuple[str, ...] = ()  #: currencies of the payment
    name: str | None = None  #: anything that ``search`` understands
    since: datetime | None = None
    until: datetime | None = None
    needs_person: bool = False  #: nothing goes on by itself

    def within(self, accounts: Collection[str] | None) -> Selection:
        """The same for somebody who sees only these accounts; None: all."""
        if accounts is None:
            return self
        seen = frozenset(accounts)
        return replace(self, accounts=seen if self.accounts is None else seen & self.accounts)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Ids, newest first. ``looked_to``: the look ended at this id, and there may be more below it; None: these are as
    many as were asked for, or all."""

    ids: Sequence[str]
    looked_to: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Invoices, newest first. ``found``: how many match from here on; COUNTED + 1 stands for more. ``older``: the page
    after this one begins before this id; None: it is the last."""

    rows: Sequence[StoredRow]
    found: int
    older: str | None
    looked_to: str | None
    meant: Kind | None = None  #: how the name was understood


def read_page(connection: Connection, selection: Selection, *, before: str | None = None, limit: int) -> Page:
    """A page of it, with how many follow."""
    meant = _meaning(connection, selection)
    chosen = _choose(connection, selection, meant, before, max(COUNTED, limit) + 1)
    ids = chosen.ids[:limit]
    older = ids[-1] if len(chosen.ids) > limit else chosen.looked_to
    return Page(rows_of(connection, ids), len(chosen.ids), older, chosen.looked_to, meant)


def choose(connection: Connection, selection: Selection, *, before: str | None = None, limit: int) -> Chosen:
    """Up to ``limit`` that match now, from the one before the id ``before`` on."""
    return _choose(connection, selection, _meaning(connection, selection), before, limit)


def read_piece(
    connection: Connection, selection: Selection, before: str | None, limit: int
) -> tuple[Sequence[StoredRow], str | None]:
    """The next invoices of all that match, and where those after them begin; None: there are no more."""
    chosen = choose(connection, selection, before=before, limit=limit)
    rows = rows_of(connection, chosen.ids) if chosen.ids else ()
    return rows, chosen.ids[-1] if len(chosen.ids) >= limit else chosen.looked_to


def matching(connection: Connection, selection: Selection, ids: Collection[str]) -> set[str]:
    """Those of these invoices that match as they are now. The filter's name, and whether a person is needed, are left
    aside."""
    query = select(INVOICE.c.id).where(INVOICE.c.id.in_(sorted(ids)), *_conditions(selection, INVOICE))
    return set(connection.execute(query).scalars())


def rows_of(connection: Connection, ids: Sequence[str]) -> Sequence[StoredRow]:
    """These invoices, newest first."""
    return connection.execute(select(INVOICE).where(INVOICE.c.id.in_(ids)).order_by(INVOICE.c.id.desc())).all()


def _meaning(connection: Connection, selection: Selection) -> Kind | None:
    if selection.name is None:
        return None
    found = search(connection, selection.name, accounts=selection.accounts)
    return None if found is None else found.kind


def _choose(connection: Connection, selection: Selection, meant: Kind | None, before: str | None, limit: int) -> Chosen:
    low, high = _window(selection, before)
    if selection.name is not None:
        named = [] if meant is None else [meant_as(connection, meant, selection.name)]
        if selection.needs_person and named:
            named.append(INVOICE.c.id.in_(needy_ids(connection)))
        return Chosen(_directly(connection, named, selection, (low, high), limit) if named else [])
    if selection.needs_person:
        needy = INVOICE.c.id.in_(needy_ids(connection))
        return Chosen(_directly(connection, [needy], selection, (low, high), limit))
    return _walk(connection, selection, (low, high), limit)


def _directly(
    connection: Connection,
    conditions: Collection[ColumnElement[bool]],
    selection: Selection,
    window: tuple[str, str],
    limit: int,
) -> list[str]:
    """Of few rows, that an index finds."""
    within = INVOICE.c.id >= window[0], INVOICE.c.id < window[1]
    query = select(INVOICE.c.id).where(*conditions, *within, *_conditions(selection, INVOICE))
    return list(connection.execute(query.order_by(INVOICE.c.id.desc()).limit(limit)).scalars())


def _walk(connection: Connection, selection: Selection, window: tuple[str, str], limit: int) -> Chosen:
    found: list[str] = []
    (low, high), needs_comparing = window, _needs_comparing(selection)
    for depth in DEPTHS if needs_comparing else (limit,):
        share = max(depth // _lanes_of(selection), 1) if needs_comparing else limit
        lanes = [lane.limit(share).subquery() for lane in _lanes(selection, low, high)]
        floor = _floor(connection, lanes, share) if needs_comparing else None
        found += _among(connection, selection, lanes, floor, limit - len(found))
        if floor is None or len(found) >= limit:
            return Chosen(found)
        high = floor
    return Chosen(found, high)


def _window(selection: Selection, before: str | None) -> tuple[str, str]:
    """``low`` ≤ id < ``high``: what can match at all, by the times in the ids."""
    low = LOWEST_ID if selection.since is None else earliest_id(earlier(selection.since))
    high = HIGHEST_ID if selection.until is None else earliest_id(later(selection.until))
    return low, high if before is None else min(high, before)


def _needs_comparing(selection: Selection) -> bool:
    """Whether something of it is not told by the index that is walked."""
    times = selection.since or selection.until
    return bool(selection.accounts is not None or selection.anomalies or selection.assets or times)


def _lanes_of(selection: Selection) -> int:
    return 1 if selection.anomalies else len(selection.statuses) or 1


def _lanes(selection: Selection, low: str, high: str) -> Iterator[Query]:
    """What is walked, each an index scan from its end."""
    columns = [INVOICE.c[name] for name in ("id", "status", "anomaly", "account", "pay_currency", "created_at")]
    if selection.anomalies:
        yield walk_invoices(columns, low, high).where(INVOICE.c.anomaly.is_not(None))
    else:
        yield from (walk_invoices(columns, low, high, status) for status in selection.statuses or (None,))


def _floor(connection: Connection, lanes: Sequence[FromClause], share: int) -> str | None:
    """The id down to which all of them have been walked; None: to the end."""
    ends = [select(func.count(), func.min(lane.c.id)) for lane in lanes]
    found = connection.execute(union_all(*ends) if len(ends) > 1 else ends[0]).all()
    return max((lowest for count, lowest in found if count >= share), default=None)


def _among(
    connection: Connection, selection: Selection, lanes: Sequence[FromClause], floor: str | None, limit: int
) -> list[str]:
    walked = (union_all(*map(select, lanes)) if len(lanes) > 1 else select(lanes[0])).subquery()
    query = select(walked.c.id).where(*_conditions(selection, walked))
    if floor is not None:
        query = query.where(walked.c.id >= floor)
    return list(connection.execute(query.order_by(walked.c.id.desc()).limit(limit)).scalars())


def _conditions(selection: Selection, table: FromClause) -> Iterator[ColumnElement[bool]]:
    kinds = {
        "status": selection.statuses or None,
        "anomaly": selection.anomalies or None,
        "pay_currency": selection.assets or None,
        "account": selection.accounts,
    }
    return of_kinds(table, kinds, selection.since, selection.until)
