"""Callbacks: those that match no invoice, and when each account was last called back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from domain.status import Status
from workers.store.callbacks import UNMATCHED, newest_at
from workers.store.queries import earliest_id
from workers.store.reads.made_at_provider import first_made
from workers.store.tables import CALLBACK, FORGED, INVOICE
from workers.store.tables.columns import UtcTime

#: Invoices made longer ago than this don't tell whether callbacks arrive today.
LOOK_BACK = timedelta(days=30)
#: How far behind the database's clock that of a host which makes ids may be. A whole day of slack, as for what must
#: not miss a row, would be a day's invoices to read for one answer.
CLOCKS = timedelta(minutes=10)
#: How many are counted; more are reported as "at least".
COUNTED = 1000


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Callbacks of an account that no invoice is known for."""

    account: str
    callbacks: int
    since: datetime  #: the oldest of them


@dataclass(frozen=True, slots=True)
class Calls:
    """When an account was last called back, and when the first invoice was made after that."""

    account: str
    last_at: datetime | None  #: None: no callback is kept
    unheard_since: datetime | None  #: None: no invoice was made since


def read_calls(connection: Connection, account: str, now: datetime) -> Calls:
    """What is known of an account's callbacks."""
    last_at = newest_at(connection, account)
    since = max(last_at or now - LOOK_BACK, now - LOOK_BACK)
    return Calls(account, last_at, first_made(connection, account, since, earliest_id(since - CLOCKS)))


def paid_elsewhere(connection: Connection, account: str, since: datetime, most: int = COUNTED) -> int:
    """How many invoices that other accounts made since are paid, at most ``most``. The index of statuses has the
    invoices of each status in the order of their making."""
    paid = select(INVOICE.c.id).where(
        INVOICE.c.status == Status.PAID.value,
        INVOICE.c.id >= earliest_id(since - CLOCKS),
        INVOICE.c.created_at > since,
        INVOICE.c.provider_account != account,
    )
    return int(connection.execute(select(func.count()).select_from(paid.limit(most).subquery())).scalar_one())


def read_unmatched(connection: Connection) -> list[Unmatched]:
    """Accounts with unmatched callbacks."""
    query = (
        select(CALLBACK.c.account, func.count(), func.min(CALLBACK.c.at, type_=UtcTime))
        .where(CALLBACK.c.state == UNMATCHED)
        .group_by(CALLBACK.c.account)
        .order_by(CALLBACK.c.account)
    )
    return [Unmatched(*row) for row in connection.execute(query)]


def read_forged(connection: Connection, account: str) -> datetime | None:
    """When the newest kept callback with a wrong signature for this account came; None: none is kept."""
    query = select(FORGED.c.at).where(FORGED.c.account == account).order_by(FORGED.c.id.desc()).limit(1)
    return connection.execute(query).scalar_one_or_none()


def account_of(connection: Connection, callback_id: int) -> str | None:
    """The account of a callback; None: there is no such callback."""
    return connection.execute(select(CALLBACK.c.account).where(CALLBACK.c.id == callback_id)).scalar_one_or_none()
