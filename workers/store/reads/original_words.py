"""What a provider or a receiver said of one invoice, in its own words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from sqlalchemy import Connection, select

from domain.asking import references_of
from workers.store.database import Database
from workers.store.endpoints import list_endpoints
from workers.store.reads.endpoints import is_within
from workers.store.rows import StoredRow
from workers.store.tables import ATTEMPT, CALLBACK, DELIVERY, EVENT, EVIDENCE

Accounts = Collection[str] | None


def read_raw(database: Database, invoice: StoredRow, kind: str, number: int, accounts: Accounts) -> str | None:
    """The words of a piece of evidence, a callback, an event or a receiver's answer; None: the invoice has none of this
    name, or it is not for those who see only these accounts."""
    read = _KINDS.get(kind)
    if read is None:
        return None
    found = database.read(read, invoice, number, accounts)
    return bytes(found).decode("utf-8", "replace") if isinstance(found, (bytes, memoryview)) else found


def _evidence(connection: Connection, invoice: StoredRow, number: int, accounts: Accounts) -> str | None:
    query = select(EVIDENCE.c.raw).where(EVIDENCE.c.id == number, EVIDENCE.c.invoice_id == invoice.id)
    return connection.execute(query).scalar_one_or_none()


def _callback(connection: Connection, invoice: StoredRow, number: int, accounts: Accounts) -> bytes | None:
    """Its own; one that matches no invoice only to those who see every account."""
    row = connection.execute(select(CALLBACK).where(CALLBACK.c.id == number)).one_or_none()
    if row is None or row.account != invoice.provider_account:
        return None
    names_it = row.order_id == invoice.order_id or row.reference in {invoice.provider_ref, *references_of(invoice)}
    unmatched = row.invoice_id is None and accounts is None and names_it
    return row.body if row.invoice_id == invoice.id or unmatched else None


def _event(connection: Connection, invoice: StoredRow, number: int, accounts: Accounts) -> bytes | None:
    query = select(EVENT.c.body).where(EVENT.c.number == number, EVENT.c.invoice_id == invoice.id)
    return connection.execute(query).scalar_one_or_none()


def _attempt(connection: Connection, invoice: StoredRow, number: int, accounts: Accounts) -> bytes | None:
    query = select(ATTEMPT.c.answer, DELIVERY.c.endpoint_id).join(DELIVERY, DELIVERY.c.id == ATTEMPT.c.delivery_id)
    query = query.where(ATTEMPT.c.id == number, DELIVERY.c.invoice_id == invoice.id)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    seen = {one.id for one in list_endpoints(connection) if is_within(one, accounts)}
    return row.answer if row.endpoint_id in seen else None


_KINDS: Mapping[str, Callable[[Connection, StoredRow, int, Accounts], str | bytes | None]] = {
    "evidence": _evidence,
    "callback": _callback,
    "event": _event,
    "attempt": _attempt,
}
