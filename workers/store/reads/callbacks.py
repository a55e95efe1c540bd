"""What providers called back about: what nobody could match, and when each account was last called."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from domain.models import UtcTime
from workers.store.callbacks import CALLBACK, UNMATCHED


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Callbacks of an account that no invoice is known for."""

    account: str
    callbacks: int
    since: datetime  #: the oldest of them


def read_unmatched(connection: Connection) -> list[Unmatched]:
    """Accounts with unmatched callbacks."""
    query = (
        select(CALLBACK.c.account, func.count(), func.min(CALLBACK.c.at, type_=UtcTime))
        .where(CALLBACK.c.state == UNMATCHED)
        .group_by(CALLBACK.c.account)
        .order_by(CALLBACK.c.account)
    )
    return [Unmatched(*row) for row in connection.execute(query)]


def account_of(connection: Connection, callback_id: int) -> str | None:
    """Whose callback this is; None where there is none."""
    return connection.execute(select(CALLBACK.c.account).where(CALLBACK.c.id == callback_id)).scalar_one_or_none()
