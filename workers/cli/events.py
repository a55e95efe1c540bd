"""`invoices events`: an invoice's, or the newest of all."""

from __future__ import annotations

import itertools
import time
from datetime import datetime
from typing import TYPE_CHECKING

import click

from workers.cli.accounts import require_account
from workers.cli.context import open_database, settings_to_read
from workers.cli.invoices import Moment, check_span
from workers.cli.output import about, json_option, limit_option, print_bytes, print_table
from workers.cli.table import YEAR, Column
from workers.cli.text import shown
from workers.cli.which import NAME, require_invoice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from config.settings import Settings
    from workers.store.database import Database
    from workers.store.reads.events import Wanted
    from workers.store.rows import StoredRow

POLL_SECONDS = 0.5


COLUMNS = (
    Column("AT", lead=YEAR),
    Column("ORDER", key=8),
    Column("EVENT"),
    Column("", rank=3),
    Column("INVOICE", rank=2),
    Column("ACCOUNT", rank=4),
    Column("POSITION", rank=5),
    Column("PUBLISHED", lead=YEAR, rank=6),
)


@click.command("events")
@click.argument("name", metavar=f"[{NAME}]", required=False)
@click.option("--account", help="Only of this account.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only of this type; may be repeated.")
@click.option("--since", type=Moment(), help="From then on: a time, or an age such as 30m, 12h, 7d.")
@click.option("--until", type=Moment(), help="Before then.")
@click.option("--follow", is_flag=True, help="Go on with new events of all invoices as they come, until Ctrl-C.")
@limit_option
@json_option
def events_command(
    name: str | None,
    account: str | None,
    types: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    follow: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Show the events of an invoice in their order, or the newest of all invoices.

    With --json each line is the envelope that endpoints and the stream get, and its position in the log that /v1/events
    follows (null while it has none).
    """
    from workers.store.reads.events import Wanted

    if follow and any(one is not None for one in (name, since, until)):
        raise click.UsageError("--follow tells of all invoices from now on: leave the name and the times out")
    check_span(since, until)
    _check_types(types)
    wanted = Wanted(types=types, account=account, since=since, until=until)
    config = settings_to_read()
    with open_database(config) as database:
        if follow:
            require_account(database, config, account)
            _print_live(filter(wanted.takes, follow_events(database, None)), as_json)
        else:
            _print(_find(database, config, wanted, limit) if name is None else _of(database, name, wanted), as_json)


def _check_types(types: tuple[str, ...]) -> None:
    from workers.store.endpoints import EVENT_TYPES

    unknown = [one for one in types if one not in EVENT_TYPES]
    if unknown:
        raise click.UsageError(f"--type: there is no {unknown[0]!r}; types are {', '.join(sorted(EVENT_TYPES))}")


def _of(database: Database, name: str, wanted: Wanted) -> Iterator[StoredRow]:
    from workers.store.reads.events import placed_events_of

    invoice = require_invoice(database, name, wanted.account)
    return filter(wanted.takes, database.read(placed_events_of, invoice.id))


def _find(database: Database, config: Settings, wanted: Wanted, limit: int) -> Iterable[StoredRow]:
    from workers.store.reads.events import list_events

    found = list_events(database, wanted, limit=limit)
    first = next(found, None)
    if first is None:  # only now: events tell of rejected orders too, and these may name an unknown account
        require_account(database, config, wanted.account)
        return ()
    return itertools.chain((first,), found)


def _print(rows: Iterable[StoredRow], as_json: bool) -> None:
    if as_json:
        for row in rows:
            print_event(row)
        return
    print_table(COLUMNS, map(_line, rows), empty="there are no such events")


def print_event(row: StoredRow) -> None:
    """The event's own bytes, with its position added as the last field."""
    position = "null" if row.position is None else str(row.position)
    print_bytes(row.body[:-1] + f',"position":{position}}}'.encode())


def _line(row: StoredRow) -> tuple[object, ...]:
    from workers.store.reads.events import told_of

    (account, order_id), (invoice_id, sequence) = told_of(row), about(row)
    return row.created_at, order_id, row.type, sequence, invoice_id, account, row.position, row.published_at


def follow_events(database: Database, seconds: float | None) -> Iterator[StoredRow]:
    """New events as they are committed, for ``seconds`` (None: for ever)."""
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


def _print_live(rows: Iterable[StoredRow], as_json: bool) -> None:
    for row in rows:
        if as_json:
            print_event(row)
            continue
        at, order_id, event_type, sequence, invoice_id, *_ = map(shown, _line(row))
        click.echo(f"{at}  {event_type:22}  {sequence:>3}  {order_id}  {invoice_id}")
