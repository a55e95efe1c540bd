"""Writes ended invoices into files and then removes their rows, a day at a time.

Only what a finished file holds is removed: under the invoice's lock, each of its lines is compared with the line that
the rows would make now. After a crash at any point the next run removes what finished files hold, and writes a further
file for the rest; an invoice that changed in between is written again as it is then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, delete, select

from workers.store.acts import Act, Actor, Deed, record
from workers.store.archiving.documents import Document, day_of, ended, first_id, id_of, is_ended, read_documents
from workers.store.archiving.files import Draft, Folder, check, lines
from workers.store.database import Database
from workers.store.positions import remove_positions
from workers.store.seek import later
from workers.store.tables import (
    ATTEMPT,
    CALLBACK,
    DELIVERY,
    DRIFT_INVOICE,
    ENDPOINT,
    EVENT,
    EVIDENCE,
    INVOICE,
    KEPT,
    PAYMENT,
)

Item = TypeVar("Item")

#: Invoices a transaction.
BATCH = 200

#: Told of a step, and of how many invoices.
Told = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Archived:
    """A file of this run, or of one that was interrupted, and how many invoices were removed by it."""

    path: Path
    written: int  #: 0: it was finished before
    removed: int


def archive(database: Database, folder: Folder, before: datetime, actor: Actor, told: Told) -> Iterator[Archived]:
    """Archive what ended before ``before``. Raises ArchiveRefused, OSError."""
    with folder.alone():
        after = ""
        while wanted := _ids_of_next_day(database, after, before):
            day = day_of(wanted[0])
            yield from _archive_day(database, folder, day, wanted, actor, told)
            after = first_id(day + timedelta(days=1))


def survey(database: Database, before: datetime) -> Iterator[tuple[datetime, int]]:
    """The days with what would be archived, and how many invoices; changes nothing."""
    after = ""
    while wanted := _ids_of_next_day(database, after, before):
        day = day_of(wanted[0])
        yield day, len(wanted)
        after = first_id(day + timedelta(days=1))


def first_day(database: Database, before: datetime) -> datetime | None:
    """The first of them."""
    with database.reading() as connection:
        first = connection.execute(ended("", before, first_id(later(before))).limit(1)).scalar_one_or_none()
    return None if first is None else day_of(first)


def _ids_of_next_day(database: Database, after: str, before: datetime) -> list[str]:
    """Of the first day that has any."""
    with database.reading() as connection:
        last = first_id(later(before))  # ids are by the clock of the host that made them
        first = connection.execute(ended(after, before, last).limit(1)).scalar_one_or_none()
        if first is None:
            return []
        end = min(first_id(day_of(first) + timedelta(days=1)), last)
        return list(connection.execute(ended(first, before, end)).scalars())


def _archive_day(
    database: Database, folder: Folder, day: datetime, wanted: Sequence[str], actor: Actor, told: Told
) -> Iterator[Archived]:
    left = set(wanted)
    for path in folder.finished(day):
        removed = _remove_held(database, path, left, actor, told)
        if removed:
            yield Archived(path, 0, removed)
    if left:
        path = folder.new(day)
        written = _write(database, path, sorted(left), told)
        if written:
            yield Archived(path, written, _remove_held(database, path, left, actor, told))


def _write(database: Database, path: Path, ids: Sequence[str], told: Told) -> int:
    """A new file; none where all of them wait for something. Returns how many lines it has."""
    draft = Draft(path)
    try:
        for some in _batches(ids):
            found = database.read(read_documents, some)
            for document in found.values():
                if not document.waits:
                    draft.write(document.line)
            told("written", len(some))
        if draft.lines:
            draft.finish()
            told("finished", 0)
        return draft.lines
    finally:
        draft.close()


def _remove_held(database: Database, path: Path, left: set[str], actor: Actor, told: Told) -> int:
    """Remove the rows of those of ``left`` that the file holds as they are; takes them out of ``left``."""
    check(path)
    removed = 0
    held = ((id_of(line), line) for line in lines(path))
    for some in _batches(pair for pair in held if pair[0] in left):
        with database.transaction() as connection:
            gone = _remove(connection, dict(some))
        left.difference_update(gone)
        removed += len(gone)
        told("removed", len(gone))
    if removed:
        with database.transaction() as connection:
            deed = Deed(act=Act.ARCHIVED, after={"file": path.name, "invoices": removed})
            record(connection, database, actor, [deed])
    return removed


def _batches(all_of_them: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(all_of_them)
    while some := list(islice(rest, BATCH)):
        yield some


def _remove(connection: Connection, held: dict[str, bytes]) -> list[str]:
    """Remove those whose rows make the same line still."""
    ids = _lock(connection, sorted(held))
    found = read_documents(connection, ids)
    over = set(connection.execute(select(INVOICE.c.id).where(INVOICE.c.id.in_(ids), is_ended())).scalars())
    same = {one: document for one, document in found.items() if document.line == held[one] and not document.waits}
    gone = [one for one in same if one in over]
    _remove_rows(connection, gone, [same[one] for one in gone])
    return gone


def _lock(connection: Connection, ids: Sequence[str]) -> list[str]:
    """In the order that others lock in: judging the invoice, a replay its events, an attempt its delivery. An invoice
    that somebody has locked is left for the next run."""
    query = select(INVOICE.c.id).where(INVOICE.c.id.in_(ids)).order_by(INVOICE.c.id)
    got = list(connection.execute(query.with_for_update(skip_locked=True)).scalars())
    events = select(EVENT.c.number).where(EVENT.c.invoice_id.in_(got)).order_by(EVENT.c.number).with_for_update()
    numbers = list(connection.execute(events).scalars())
    ours = DELIVERY.c.endpoint_id.in_(select(ENDPOINT.c.id)), DELIVERY.c.event_number.in_(numbers)
    deliveries = select(DELIVERY.c.id).where(*ours).order_by(DELIVERY.c.id)
    connection.execute(deliveries.with_for_update()).all()
    return got


def _remove_rows(connection: Connection, ids: Sequence[str], documents: Sequence[Document]) -> None:
    """What operators did stays: it is kept for good."""
    deliveries = [number for one in documents for number in one.deliveries]
    connection.execute(delete(ATTEMPT).where(ATTEMPT.c.delivery_id.in_(deliveries)))
    connection.execute(delete(DELIVERY).where(DELIVERY.c.id.in_(deliveries)))
    remove_positions(connection, {number for one in documents for number in one.events})
    callbacks = [number for one in documents for number in one.callbacks]
    connection.execute(delete(CALLBACK).where(CALLBACK.c.id.in_(callbacks)))
    for table in (EVENT, EVIDENCE, PAYMENT, DRIFT_INVOICE, KEPT):
        connection.execute(delete(table).where(table.c.invoice_id.in_(ids)))
    connection.execute(delete(INVOICE).where(INVOICE.c.id.in_(ids)))
