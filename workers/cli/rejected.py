"""`invoices rejected`."""

from __future__ import annotations

import click

from workers.cli.context import open_database
from workers.cli.output import json_option, limit_option, plain, print_json, print_table


@click.command("rejected")
@click.option("--waiting", is_flag=True, help="Only those that were not sent again yet.")
@click.option("--count", "only_count", is_flag=True, help="Only how many there are.")
@limit_option
@json_option
def rejected_command(waiting: bool, only_count: bool, limit: int, as_json: bool) -> None:
    """List the messages that were turned away, newest first, and why."""
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
        lines = ((r.id, r.at, r.task, r.reason, r.excerpt[:80], r.redriven_at) for r in rows)
        print_table(("ID", "AT", "TASK", "REASON", "MESSAGE", "SENT AGAIN"), lines, empty="no message was turned away")
