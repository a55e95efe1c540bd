"""Rows of the agenda removed by their place (PostgreSQL's ctid).

A row that this transaction has locked stays there, unless the transaction changes it itself; then it is found by its
key. Nothing is looked up, and the statement is planned anew each time: a plan that was made while the agenda was small
would read all of it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Executable,
    String,
    bindparam,
    cast,
    delete,
    literal_column,
    null,
    text,
)

from workers.store.bulk import execute_keyed, keyed
from workers.store.quick import execute
from workers.store.rows import UNPREPARED, Placed
from workers.store.tables import AGENDA

_KEY = ("stage", "subject")

_REMOVE_PLACED = (
    text("DELETE FROM agenda WHERE ctid = ANY (CAST(:places AS tid[]))")
    .bindparams(bindparam("places", type_=ARRAY(String)))
    .execution_options(**{UNPREPARED: True})
)


def place(dialect: str) -> ColumnElement[Any]:
    """The place, as a column of a statement that locks rows of the agenda. SQLite has none."""
    found: ColumnElement[Any] = cast(literal_column("agenda.ctid"), String) if dialect == "postgresql" else null()
    return found.label("place")


def remove(connection: Connection, rows: Mapping[tuple[str, str], Placed]) -> None:
    """Take rows off the agenda, by stage and subject, that this transaction has locked."""
    places = [row.place for row in rows.values()]
    if not rows:
        return
    if None in places or execute(connection, _REMOVE_PLACED, {"places": places}).rowcount != len(rows):
        execute_keyed(connection, _remove, _KEY, sorted(rows))


@functools.cache
def _remove(dialect: str) -> Executable:
    return delete(AGENDA).where(keyed(dialect, AGENDA.c.stage, AGENDA.c.subject))
