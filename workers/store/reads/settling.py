"""What a person has to settle, a page at a time, newest first: for who sees these accounts (None: all)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, and_, func, select

from domain.decision import Stage
from domain.exact_json import read_json
from domain.status import Status
from workers.store.callbacks import UNMATCHED
from workers.store.reads.contradictions import settled, unsettled
from workers.store.rows import StoredRow
from workers.store.tables import AGENDA, CALLBACK, EVIDENCE, INVOICE, REJECTED

#: How many of the newest are looked at for a page. If it is not full then, the next one goes on from there.
LOOK = 1000
Rows = Sequence[StoredRow]


def page_of_doubts(
    connection: Connection, accounts: Collection[str] | None, before: str | None, limit: int
) -> tuple[Rows, str | None]:
    """Invoices in doubt, with when they are taken up again (``due_at``; None: nobody but a person does); and behind
    which the next page begins."""
    create = and_(AGENDA.c.stage == Stage.CREATE.value, AGENDA.c.subject == INVOICE.c.id)
    query = select(INVOICE, AGENDA.c.due_at).outerjoin(AGENDA, create)
    query = query.where(INVOICE.c.status == Status.IN_DOUBT.value)
    if accounts is not None:
        query = query.where(INVOICE.c.account.in_(sorted(accounts)))
    if before is not None:
        query = query.where(INVOICE.c.id < before)
    rows = connection.execute(query.order_by(INVOICE.c.id.desc()).limit(limit + 1)).all()
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def page_of_unmatched(
    connection: Connection, accounts: Collection[str] | None, before: int | None, limit: int
) -> tuple[Rows, int | None]:
    """Callbacks that no invoice is known for."""
    query = select(CALLBACK).where(CALLBACK.c.state == UNMATCHED)
    if accounts is not None:
        query = query.where(CALLBACK.c.account.in_(sorted(accounts)))
    if before is not None:
        query = query.where(CALLBACK.c.id < before)
    rows = connection.execute(query.order_by(CALLBACK.c.id.desc()).limit(limit + 1)).all()
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def count_unmatched(connection: Connection, most: int) -> Mapping[str, int]:
    """How many there are by account, among the newest ``most``."""
    found = select(CALLBACK.c.account).where(CALLBACK.c.state == UNMATCHED).order_by(CALLBACK.c.id.desc())
    newest = found.limit(most).subquery()
    counted = select(newest.c.account, func.count().label("callbacks")).group_by(newest.c.account)
    return {row.account: row.callbacks for row in connection.execute(counted)}


def find_unmatched(connection: Connection, callback_id: int, accounts: Collection[str] | None) -> StoredRow | None:
    """One of them."""
    query = select(CALLBACK).where(CALLBACK.c.id == callback_id, CALLBACK.c.state == UNMATCHED)
    row = connection.execute(query).one_or_none()
    return None if row is None or (accounts is not None and row.account not in accounts) else row


def page_of_rejected(
    connection: Connection,
    accounts: Collection[str] | None,
    before: int | None,
    limit: int,
    *,
    sent_too: bool = False,
) -> tuple[Rows, int | None]:
    """Messages that were rejected; without ``sent_too`` only those that were not sent again yet. Who sees some
    accounts sees those that name one of them."""
    query = select(REJECTED).order_by(REJECTED.c.id.desc())
    if not sent_too:
        query = query.where(REJECTED.c.redriven_at.is_(None))
    if before is not None:
        query = query.where(REJECTED.c.id < before)
    if accounts is None:
        rows = connection.execute(query.limit(limit + 1)).all()
        return rows[:limit], rows[limit - 1].id if len(rows) > limit else None
    looked = connection.execute(query.limit(LOOK)).all()
    seen = [row for row in looked if account_in(row.excerpt) in accounts]
    if len(seen) > limit:
        return seen[:limit], seen[limit - 1].id
    return seen, looked[-1].id if len(looked) == LOOK else None


def find_rejected_message(
    connection: Connection, message_id: int, accounts: Collection[str] | None
) -> StoredRow | None:
    """One of them."""
    row = connection.execute(select(REJECTED).where(REJECTED.c.id == message_id)).one_or_none()
    return None if row is None or (accounts is not None and account_in(row.excerpt) not in accounts) else row


def account_in(excerpt: str) -> str | None:
    """The account that a message names, where it can be read."""
    try:
        fields = read_json(excerpt)
    except (ValueError, RecursionError):
        return None
    account = fields.get("account") if isinstance(fields, dict) else None
    return account if isinstance(account, str) else None


def page_of_contradictions(
    connection: Connection,
    accounts: Collection[str] | None,
    before: int | None,
    limit: int,
    *,
    settled_too: bool = False,
) -> tuple[Rows, int | None]:
    """What was said against what is known of an invoice; without ``settled_too`` only what nobody has decided since."""
    newest = unsettled(LOOK)
    looked = (newest if before is None else newest.where(EVIDENCE.c.id < before)).subquery()
    is_settled = settled(looked)
    query = select(looked, INVOICE.c.order_id, INVOICE.c.account, INVOICE.c.status, is_settled.label("settled"))
    query = query.join(INVOICE, INVOICE.c.id == looked.c.invoice_id)
    if not settled_too:
        query = query.where(~is_settled)
    if accounts is not None:
        query = query.where(INVOICE.c.account.in_(sorted(accounts)))
    rows = connection.execute(query.order_by(looked.c.id.desc()).limit(limit + 1)).all()
    if len(rows) > limit:
        return rows[:limit], rows[limit - 1].id
    count, last = connection.execute(select(func.count(), func.min(looked.c.id))).one()
    return rows, last if count == LOOK else None
