"""`invoices contradictions`: what was said against what is known of an invoice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from domain.contradicted import kind_and_words
from workers.cli.accounts import require_account
from workers.cli.context import open_database, settings_to_read
from workers.cli.output import json_option, limit_option, plain, print_json, print_table
from workers.cli.table import YEAR, Column

if TYPE_CHECKING:
    from workers.store.rows import StoredRow


COLUMNS = (
    Column("ID"),
    Column("AT", lead=YEAR, rank=3),
    Column("INVOICE"),
    Column("ORDER", key=8, rank=4),
    Column("ACCOUNT", rank=7),
    Column("IS NOW"),
    Column("KIND", rank=2),
    Column("WHAT WAS SAID", text=14, rank=1),
    Column("WHO", rank=5),
    Column("SETTLED", rank=6),
)


@click.command("contradictions")
@click.option("--all", "settled_too", is_flag=True, help="Those that are settled too.")
@click.option("--account", help="Of this account only.")
@limit_option
@json_option
def contradictions_command(settled_too: bool, account: str | None, limit: int, as_json: bool) -> None:
    """List what contradicts what is known of an invoice, newest first. It is kept, and changed nothing.

    Check at the provider which is right, and say so with `invoices mark`: that settles everything said before, even
    when the mark is what the invoice is already.
    """
    from workers.store.reads.contradictions import list_contradictions

    config = settings_to_read()
    with open_database(config) as database:
        require_account(database, config, account)
        rows = list_contradictions(database, limit=limit, settled_too=settled_too, account=account)
        if as_json:
            for row in rows:
                print_json(_fields(row))
            return
        print_table(COLUMNS, map(_line, rows), empty="there is no contradiction")


def _line(row: StoredRow) -> tuple[object, ...]:
    kind, words = kind_and_words(row.note, row.detail)
    settled = "marked" if row.settled else ""
    return row.id, row.at, row.invoice_id, row.order_id, row.account, row.status, kind, words, row.source, settled


def _fields(row: StoredRow) -> dict[str, object]:
    kind, words = kind_and_words(row.note, row.detail)
    about = {"id": row.id, "invoice": row.invoice_id, "order_id": row.order_id, "account": row.account}
    said = {"kind": kind, "words": words, "source": row.source}
    return {**about, "at": plain(row.at), **said, "status": row.status, "settled": bool(row.settled)}
