"""`invoices events`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from workers.cli.context import open_database
from workers.cli.invoices import require_invoice
from workers.cli.output import about, json_option, limit_option, print_bytes, print_table, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.store.database import Database
    from workers.store.rows import StoredRow

POLL_SECONDS = 0.5


@click.command("events")
@click.argument("name", metavar="[ID|ORDER_ID]", required=False)
@click.option("--account", help="Whose order; the newest of any account otherwise.")
@click.option("--follow", is_flag=True, help="Go on with new events of all invoices as they come, until Ctrl-C.")
@limit_option
@json_option
def events_command(name: str | None, account: str | None, follow: bool, limit: int, as_json: bool) -> None:
    """Show the events of an invoice in their order, or the newest of all invoices.

    With --json each line is the very envelope that endpoints and the stream get.
    """
    if name is not None and follow:
        raise click.UsageError("--follow tells of all invoices: leave the id out")
    from workers.store.queries import events_of, list_events

    with open_database() as database:
        if follow:
            for row in follow_events(database, None):
                _print_live(row, as_json)
            return
        if name is not None:
            found: Any = database.read(events_of, require_invoice(database, name, account).id)
        else:
            found = list_events(database, limit=limit)
        if as_json:
            for row in found:
                print_bytes(row.body)
            return
        rows = ((row.created_at, *about(row), row.type, row.published_at) for row in found)
        print_table(("AT", "INVOICE", "", "EVENT", "PUBLISHED"), rows, empty="there are no events")


def follow_events(database: Database, seconds: float | None) -> Iterator[StoredRow]:
    """New events as they are committed, for so many seconds (None: for ever)."""
    from workers.store.tail import EventTail

    tail = EventTail()
    deadline = None if seconds is None else time.monotonic() + seconds
    database.read(tail.start)
    while True:
        rows = database.read(tail.poll)
        yield from rows
        left = POLL_SECONDS if deadline is None else min(POLL_SECONDS, deadline - time.monotonic())
        if left <= 0:
            return
        if not rows:
            time.sleep(left)


def _print_live(row: StoredRow, as_json: bool) -> None:
    if as_json:
        print_bytes(row.body)
    else:
        invoice_id, sequence = about(row)
        click.echo(f"{shown(row.created_at)}  {invoice_id or '':36}  {shown(sequence):>3}  {row.type}")
