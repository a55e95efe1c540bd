"""Which invoices a name means: an id, an order, an event, a key, a reference, a transaction, an address. By index."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sqlalchemy import ColumnElement, Connection, and_, false, select

from domain.payments import reference_key, transaction_key
from workers.store.rows import Query, StoredRow
from workers.store.tables import CALLBACK, EVENT, INVOICE, PAYMENT

Kind = Literal["id", "order", "event", "idempotency key", "reference", "transaction", "address"]

Condition: TypeAlias = ColumnElement[bool]

#: Invoices of one name that are looked at.
MOST = 50


@dataclass(frozen=True, slots=True)
class Found:
    """The invoices that a name means as ``kind``, newest first; ``more``: there are older ones too."""

    kind: Kind
    rows: Sequence[StoredRow]
    more: bool = False

    @property
    def newest(self) -> StoredRow:
        return self.rows[0]


def search(
    connection: Connection, name: str, account: str | None = None, *, accounts: Collection[str] | None = None
) -> Found | None:
    """What the name means first, in the order of ``Kind``; of this account only, where one is given (an id is its own).

    ``accounts``: those that the caller sees (None: all). Nothing is told of other accounts' invoices, not even to who
    knows their ids.
    """
    for kind, find in _WAYS.items():
        condition = find(connection, name)
        if condition is None:
            continue
        query = select(INVOICE).where(condition)
        if account is not None and kind != "id":
            query = query.where(INVOICE.c.account == account)
        if accounts is not None:
            query = query.where(INVOICE.c.account.in_(sorted(accounts)))
        rows = connection.execute(query.order_by(INVOICE.c.id.desc()).limit(MOST + 1)).all()
        if rows:
            return Found(kind, rows[:MOST], len(rows) > MOST)
    return None


def meant_as(connection: Connection, kind: Kind, name: str) -> ColumnElement[bool]:
    """The condition of the invoices that a name means as ``kind``."""
    condition = _WAYS[kind](connection, name)
    return false() if condition is None else condition


def siblings_of(connection: Connection, invoice: StoredRow) -> Found:
    """The other invoices with its order id, of any account, newest first."""
    query = select(INVOICE).where(INVOICE.c.order_id == invoice.order_id, INVOICE.c.id != invoice.id)
    rows = connection.execute(query.order_by(INVOICE.c.id.desc()).limit(MOST + 1)).all()
    return Found("order", rows[:MOST], len(rows) > MOST)


def _by_id(connection: Connection, name: str) -> Condition:
    return INVOICE.c.id == name


def _by_order(connection: Connection, name: str) -> Condition:
    return INVOICE.c.order_id == name


def _by_event(connection: Connection, name: str) -> Condition:
    return INVOICE.c.id.in_(select(EVENT.c.invoice_id).where(EVENT.c.id == name))


def _by_key(connection: Connection, name: str) -> Condition:
    accounts = _each(connection, INVOICE.c.account)
    return and_(INVOICE.c.account.in_(accounts), INVOICE.c.idempotency_key == name)


def _by_reference(connection: Connection, name: str) -> Condition | None:
    """The provider's own id, or what callbacks brought to ask it by."""
    accounts = _each(connection, INVOICE.c.provider_account, INVOICE.c.provider_ref.is_not(None))
    made = select(INVOICE.c.id).where(INVOICE.c.provider_account.in_(accounts), INVOICE.c.provider_ref == name)
    callers = _each(connection, CALLBACK.c.account)
    called = select(CALLBACK.c.invoice_id).where(CALLBACK.c.account.in_(callers), CALLBACK.c.reference == name)
    told = select(PAYMENT.c.invoice_id).where(PAYMENT.c.key == reference_key(name))
    return _among(connection, made, called, told)


def _by_transaction(connection: Connection, name: str) -> Condition | None:
    return _among(connection, select(PAYMENT.c.invoice_id).where(PAYMENT.c.key == transaction_key(name)))


def _by_address(connection: Connection, name: str) -> Condition:
    return INVOICE.c.address == name


def _among(connection: Connection, *queries: Query) -> Condition | None:
    ids = {found for query in queries for found in connection.execute(query.limit(MOST + 1)).scalars() if found}
    return INVOICE.c.id.in_(sorted(ids)) if ids else None


def accounts_with_invoices(connection: Connection) -> set[str]:
    """Every account that an order named or that made an invoice, even if it is no longer configured."""
    made = _each(connection, INVOICE.c.provider_account, INVOICE.c.provider_ref.is_not(None))
    return {*_each(connection, INVOICE.c.account), *made}


def _each(connection: Connection, column: ColumnElement[str], *conditions: ColumnElement[bool]) -> list[str]:
    """The accounts that have invoices, by one look-up each in an index that begins with the account."""
    accounts: list[str] = []
    while True:
        later = [column > accounts[-1]] if accounts else []
        following = select(column).where(*conditions, *later).order_by(column).limit(1)
        account = connection.execute(following).scalar_one_or_none()
        if account is None:
            return accounts
        accounts.append(account)


_WAYS: Mapping[Kind, Callable[[Connection, str], Condition | None]] = {
    "id": _by_id,
    "order": _by_order,
    "event": _by_event,
    "idempotency key": _by_key,
    "reference": _by_reference,
    "transaction": _by_transaction,
    "address": _by_address,
}
