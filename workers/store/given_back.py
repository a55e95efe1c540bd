"""Callbacks that invoices give back: no look-up could tell whose they are, so a person has to."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, or_, select, update

from domain.asking import references_of
from domain.echo import numbers_made_of
from domain.status import Status
from workers.store import callback_sql as sql
from workers.store.bulk import execute_keyed
from workers.store.callbacks import MATCHED, UNMATCHED
from workers.store.judging.work import GivenBack
from workers.store.tables import CALLBACK

REASON = "several invoices may be meant, or it came at an odd time, and no look-up told whose it is"


def give_back(connection: Connection, given: Sequence[GivenBack]) -> None:
    """List them as unmatched again, except one that has paid another invoice of the order meanwhile."""
    for one in given:
        said = CALLBACK.c.order_id.in_([one.order_id, *numbers_made_of(one.order_id)])
        whose = or_(CALLBACK.c.invoice_id.is_(None), CALLBACK.c.invoice_id == one.invoice_id)
        meant = CALLBACK.c.account == one.account, said, CALLBACK.c.at == one.came_at
        rows = connection.execute(
            select(CALLBACK.c.id, CALLBACK.c.reference).where(*meant, CALLBACK.c.state == MATCHED, whose)
        ).all()
        if not rows:
            continue
        paid_by = _references_of_paid(connection, one)
        waiting = [row.id for row in rows if row.reference not in paid_by]
        values = {"state": UNMATCHED, "invoice_id": None, "reason": REASON}
        connection.execute(update(CALLBACK).where(CALLBACK.c.id.in_(waiting)).values(values))


def _references_of_paid(connection: Connection, one: GivenBack) -> set[str]:
    key = "provider_account", "order_id"
    found = execute_keyed(connection, sql.of_orders, key, [(one.account, one.order_id)]).all()
    paid = [each for each in found if each.status in {Status.PAID, Status.REFUNDED}]
    return {reference for each in paid for reference in references_of(each)}
