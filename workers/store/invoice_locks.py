"""The locks for judging: invoices and their agenda rows; locked ones are waited for, raise, or are left out."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Unpack

from sqlalchemy import Connection, Executable, select

from domain.decision import Stage
from workers.store.bulk import SHORT_WAIT, How, Locks, execute_keyed, keyed, locking, of_keys
from workers.store.places import place
from workers.store.rows import BINARY, LockedRow
from workers.store.tables import AGENDA, INVOICE

STAGES = (Stage.CREATE, Stage.CHECK, Stage.CLOCK)
_STAGE_NAMES = tuple(stage.value for stage in STAGES)
#: Each row by its whole key. Given the stages and the ids, PostgreSQL may read all rows of a stage instead: where the
#: agenda was not analysed since it has grown, that costs as much as there are orders waiting.
_KEY = ("stage", "subject")


def lock_invoices(
    connection: Connection, ids: Sequence[str], locks: Locks
) -> tuple[dict[str, SimpleNamespace], dict[tuple[str, str], LockedRow], frozenset[str]]:
    """Lock invoices first, then their agenda rows, each sorted by key: transactions can't deadlock.

    Returns the invoices by id, their rows by (stage, id), and with ``skip`` the ids that somebody else holds.
    """
    if locks == "skip":
        connection.execute(SHORT_WAIT)
    invoices = execute_keyed(connection, locking(_locked_invoices, locks), ("id",), [(key,) for key in ids])
    found = {row["id"]: SimpleNamespace(**row) for row in invoices.mappings()}
    skipped = _skipped(connection, [key for key in ids if key not in found]) if locks == "skip" else set()
    free = [key for key in ids if key not in skipped] if skipped else ids
    keys = [(stage, key) for stage in _STAGE_NAMES for key in free]
    rows = execute_keyed(connection, locking(_locked_rows, locks), _KEY, keys).all()
    agenda: dict[tuple[str, str], LockedRow] = {(row.stage, row.subject): row for row in rows}
    if locks == "skip":  # no row comes or goes without its invoice's lock
        planned = execute_keyed(connection, _known_rows, _KEY, keys).all()
        skipped |= {row.subject for row in planned if (row.stage, row.subject) not in agenda}
    return found, agenda, frozenset(skipped)


def _skipped(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Of these, which could not be locked, those that exist."""
    if not ids:
        return set()
    return set(execute_keyed(connection, _known_invoices, ("id",), [(key,) for key in ids]).scalars())


@functools.cache
def _locked_invoices(dialect: str, **how: Unpack[How]) -> Executable:
    found = select(INVOICE).where(keyed(dialect, INVOICE.c.id)).order_by(INVOICE.c.id)
    return found.with_for_update(**how).execution_options(**{BINARY: True})


@functools.cache
def _locked_rows(dialect: str, **how: Unpack[How]) -> Executable:
    key = AGENDA.c.stage, AGENDA.c.subject
    rows = select(*key, AGENDA.c.lane, AGENDA.c.claims, AGENDA.c.lease_token, place(dialect))
    return of_keys(dialect, rows, *key).order_by(*key).with_for_update(of=AGENDA, **how)


@functools.cache
def _known_invoices(dialect: str) -> Executable:
    return select(INVOICE.c.id).where(keyed(dialect, INVOICE.c.id))


@functools.cache
def _known_rows(dialect: str) -> Executable:
    return select(AGENDA.c.stage, AGENDA.c.subject).where(keyed(dialect, AGENDA.c.stage, AGENDA.c.subject))
