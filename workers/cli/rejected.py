"""`invoices rejected`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from workers.cli.context import open_database
from workers.cli.output import json_option, limit_option, plain, print_json, print_table
from workers.cli.table import CUT, YEAR, Column

if TYPE_CHECKING:
    from workers.store.rows import StoredRow

COLUMNS = (
    Column("ID"),
    Column("AT", lead=YEAR, rank=2),
    Column("REASON", text=38),
    Column("TASK", rank=4),
    Column("SENT AGAIN", lead=YEAR, rank=3),
    Column("MESSAGE", text=16, rank=1),
)


@click.command("rejected")
@click.option("--waiting", is_flag=True, help="Only those that were not sent again yet.")
@click.option("--count", "only_count", is_flag=True, help="Only how many there are.")
@limit_option
@json_option
def rejected_command(waiting: bool, only_count: bool, limit: int, as_json: bool) -> None:
    """List the messages that were rejected, newest first, and why."""
    from workers.store.queries import count_rejected, list_rejected

    with open_database() as database:
        if only_count:
            count = database.read(count_rejected, waiting=waiting)
            print_json({"rejected": count}) if as_json else click.echo(count)
            return
        rows = list_rejected(database, limit=limit, waiting=waiting)
        if as_json:
            for row in rows:
                print_json({name: plain(value) for name, value in row._mapping.items()})
            return
        lines = ((r.id, r.at, r.reason, r.task, r.redriven_at, _message(r)) for r in rows)
        print_table(COLUMNS, lines, empty="no message was rejected")


def _message(row: StoredRow) -> str:
    """Its beginning, with a mark where the rest was not kept."""
    return str(row.excerpt) if row.complete else f"{row.excerpt}{CUT}"
