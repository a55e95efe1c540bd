"""The message of an order that was rejected. Only its text has the order's name: no column does."""

from __future__ import annotations

import json
from collections.abc import Collection

from sqlalchemy import Connection, or_, select

from domain.exact_json import read_json
from domain.why.facts import Rejected
from workers.store.rows import StoredRow
from workers.store.tables import REJECTED

#: How many of the newest waiting messages are searched for a name.
NEWEST = 20_000
#: How many of those that contain it are parsed.
CLOSELY = 50


def find_rejected(
    connection: Connection, name: str, account: str | None = None, *, accounts: Collection[str] | None = None
) -> Rejected | None:
    """The newest that waits and is about an order or a key of this name. ``accounts``: those of whoever asks, None:
    all; whose a message is that can't be read is not known."""
    if not name:
        return None
    newest = select(REJECTED).where(REJECTED.c.redriven_at.is_(None)).order_by(REJECTED.c.id.desc()).limit(NEWEST)
    recent = newest.subquery()
    spellings = {name, json.dumps(name)[1:-1]}
    holds = or_(*(recent.c.excerpt.contains(spelled, autoescape=True) for spelled in sorted(spellings)))
    rows = connection.execute(select(recent).where(holds).order_by(recent.c.id.desc()).limit(CLOSELY)).all()
    only = accounts if account is None else {account}
    row = next((row for row in rows if _is_about(row, name, only, accounts is not None)), None)
    return None if row is None else Rejected(row.id, row.at, row.reason, row.complete)


def _is_about(row: StoredRow, name: str, accounts: Collection[str] | None, must_tell: bool) -> bool:
    """What can't be read is taken to be: the name stands in it as a text of its own."""
    try:
        fields = read_json(row.excerpt)
    except (ValueError, RecursionError):
        quoted = {f'"{name}"', f'"{json.dumps(name)[1:-1]}"'}
        return not must_tell and any(one in row.excerpt for one in quoted)
    if not isinstance(fields, dict) or name not in (fields.get("order_id"), fields.get("idempotency_key")):
        return False
    return accounts is None or fields.get("account") in [*accounts]  # a list: it may be any JSON
