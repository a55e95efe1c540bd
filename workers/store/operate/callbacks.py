"""Callbacks that no invoice is known for: linked to one, or dismissed."""

from __future__ import annotations

from workers.store import callbacks
from workers.store.acts import Act, Actor, Deed, record
from workers.store.callbacks import DISMISSED, UNMATCHED
from workers.store.operate.invoices import BY_HAND
from workers.store.reads.callbacks import account_of
from workers.store.store import Store


def link(store: Store, actor: Actor, callback_id: int, invoice_id: str) -> str | None:
    """Have an unmatched callback judged for this invoice. Returns why that can't be; None: it will be."""
    database = store.database
    with database.transaction() as connection:
        problem = callbacks.link(connection, database, callback_id, invoice_id, actor.reason or BY_HAND)
        if problem is None:
            deed = Deed(
                act=Act.LINK,
                invoice_id=invoice_id,
                account=account_of(connection, callback_id),
                callback_id=callback_id,
                before={"state": UNMATCHED},
                after={"state": "linked", "invoice_id": invoice_id},
            )
            record(connection, database, actor, [deed])
    return problem


def dismiss(store: Store, actor: Actor, callback_id: int) -> bool:
    """Say that an unmatched callback is about nothing of ours. False: there is no such callback."""
    database = store.database
    with database.transaction() as connection:
        done = callbacks.dismiss(connection, callback_id, actor.reason or BY_HAND)
        if done:
            deed = Deed(
                act=Act.DISMISS,
                account=account_of(connection, callback_id),
                callback_id=callback_id,
                before={"state": UNMATCHED},
                after={"state": DISMISSED},
            )
            record(connection, database, actor, [deed])
    return done
