"""`invoices unmatched list|link|dismiss`: callbacks that no invoice is known for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from domain.masking import mask
from workers.cli.actor import actor, by_option
from workers.cli.context import open_database, open_store, settings, settings_to_read
from workers.cli.errors import CommandFailed
from workers.cli.output import ROW_NUMBER, json_option, limit_option, money, plain, print_json, print_table
from workers.cli.table import YEAR, Column
from workers.cli.which import require_invoice

if TYPE_CHECKING:
    from workers.store.rows import StoredRow

reason_option = click.option("--reason", required=True, help="Why; kept with the callback.")

COLUMNS = (
    Column("ID"),
    Column("ORDER", key=8),
    Column("REFERENCE", key=8),
    Column("STATUS"),
    Column("AMOUNT"),
    Column("ACCOUNT", rank=2),
    Column("AT", lead=YEAR, rank=1),
    Column("WHY", text=20, rank=3),
)


@click.group("unmatched")
def unmatched_command() -> None:
    """Providers' callbacks that no invoice is known for."""


@unmatched_command.command("list")
@limit_option
@json_option
def list_unmatched(limit: int, as_json: bool) -> None:
    """List them, newest first. Each stays until it is linked or dismissed, or its invoice is made."""
    from workers.store.callbacks import unmatched

    config = settings_to_read()
    with open_database(config) as database:
        rows = database.read(unmatched, limit)
        if as_json:
            for row in rows:
                print_json(_fields(row, config.secrets()))
            return
        lines = (
            (r.id, r.order_id, r.reference, r.word, money(r.amount, None), r.account, r.at, r.reason) for r in rows
        )
        print_table(COLUMNS, lines, empty="every callback belongs to an invoice")


def _fields(row: StoredRow, secrets: tuple[str, ...]) -> dict[str, object]:
    return {
        "id": row.id,
        "account": row.account,
        "at": plain(row.at),
        "order_id": row.order_id,
        "reference": row.reference,
        "status": row.word,
        "amount": money(row.amount, None) or None,
        "raw": mask(bytes(row.body).decode("utf-8", "replace"), secrets),
        "reason": row.reason,
    }


@unmatched_command.command("link")
@click.argument("callback_id", metavar="ID", type=ROW_NUMBER)
@click.argument("invoice", metavar="INVOICE")
@reason_option
@by_option
@json_option
def link(callback_id: int, invoice: str, reason: str, by: str | None, as_json: bool) -> None:
    """Say which invoice a callback is about. It then counts like one that was matched by itself."""
    from workers.store.operate import callbacks
    from workers.store.reads.callbacks import account_of

    who = actor(by, reason)
    with open_store(settings()) as store:
        row = require_invoice(store.database, invoice, store.database.read(account_of, callback_id))
        problem = callbacks.link(store, who, callback_id, row.id)
    if problem is not None:
        raise CommandFailed(f"{problem} (see: invoices unmatched list)")
    if as_json:
        print_json({"id": callback_id, "invoice": row.id, "order_id": row.order_id, "linked": True})
    else:
        click.echo(f"linked callback {callback_id} to {row.id} (order {row.order_id}); a worker judges it now")


@unmatched_command.command("dismiss")
@click.argument("callback_id", metavar="ID", type=ROW_NUMBER)
@reason_option
@by_option
@json_option
def dismiss(callback_id: int, reason: str, by: str | None, as_json: bool) -> None:
    """Say that a callback is about nothing of yours."""
    from workers.store.operate import callbacks

    who = actor(by, reason)
    with open_store(settings()) as store:
        done = callbacks.dismiss(store, who, callback_id)
    if not done:
        raise CommandFailed(f"there is no unmatched callback {callback_id} (see: invoices unmatched list)")
    if as_json:
        print_json({"id": callback_id, "dismissed": True})
    else:
        click.echo(f"dismissed callback {callback_id}")
