"""`invoices deliveries`: webhooks, and every attempt to deliver them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from domain.schedule import DELIVERY_DELAYS
from workers.cli.context import open_database
from workers.cli.errors import CommandFailed, missing_endpoint
from workers.cli.invoices import Moment, check_span
from workers.cli.output import about, json_option, limit_option, plain, print_json, print_table
from workers.cli.replay import replay
from workers.cli.table import YEAR, Column
from workers.cli.text import shown
from workers.cli.which import NAME, require_invoice

if TYPE_CHECKING:
    from workers.store.database import Database
    from workers.store.rows import StoredRow

STATES = ("due", "parked", "delivered", "dead")
COLUMNS = (
    Column("ID"),
    Column("INVOICE"),
    Column("", rank=5),
    Column("EVENT", rank=4),
    Column("STATE"),
    Column("TRIES", rank=3),
    Column("NEXT TRY", lead=YEAR, rank=1),
    Column("LAST", text=8, rank=2),
    Column("ENDPOINT", rank=6),
)
INVOICE, ENDPOINT = 1, len(COLUMNS) - 1  #: left out when one was asked for: it would be the same in every row


@click.group("deliveries")
def deliveries_command() -> None:
    """List webhooks with every attempt to deliver them; send them once more."""


deliveries_command.add_command(replay)


@deliveries_command.command("list")
@click.option("--endpoint", help="Only to this endpoint.")
@click.option("--invoice", metavar=NAME, help="Only of this invoice.")
@click.option("--state", type=click.Choice(STATES), help="Only in this state; parked: its endpoint is disabled.")
@click.option("--missed", is_flag=True, help="Only what its endpoint does not have: due, parked or dead.")
@click.option("--since", type=Moment(), help="Only of events from then on: a time, or an age such as 30m, 12h, 7d.")
@click.option("--until", type=Moment(), help="Only of events before then.")
@limit_option
@json_option
def list_(
    endpoint: str | None,
    invoice: str | None,
    state: str | None,
    missed: bool,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """List deliveries, newest first."""
    from workers.store.queries import list_deliveries

    check_span(since, until)
    with open_database() as database:
        if endpoint is not None:
            _require_endpoint(database, endpoint)
        if invoice is not None:
            invoice = require_invoice(database, invoice).id
        found = list_deliveries(
            database,
            endpoint=endpoint,
            invoice=invoice,
            state=state,
            missed=missed,
            since=since,
            until=until,
            limit=limit,
        )
        _print(found, {INVOICE: invoice, ENDPOINT: endpoint}, as_json=as_json)


def _print(
    found: Iterable[tuple[StoredRow, Sequence[StoredRow]]], named: Mapping[int, str | None], *, as_json: bool
) -> None:
    """A table has no columns for what was ``named``: they would hold the same in each line."""
    from workers.store.reads.parts import delivery_fields

    if as_json:
        for row, attempts in found:
            print_json(delivery_fields(row, attempts))
        return
    shown_too = [place for place in range(len(COLUMNS)) if named.get(place) is None]
    lines = (_line(row, tries) for row, tries in found)
    print_table(
        [COLUMNS[place] for place in shown_too],
        ([line[place] for place in shown_too] for line in lines),
        empty="there are no such deliveries",
    )


def _require_endpoint(database: Database, endpoint_id: str) -> None:
    """Raise CommandFailed for an unknown endpoint: nothing is ever missing there, which looks like good news."""
    from workers.store.endpoints import find_endpoint

    if database.read(find_endpoint, endpoint_id) is None:
        raise missing_endpoint(endpoint_id)


def _line(row: StoredRow, tries: Sequence[StoredRow]) -> tuple[object, ...]:
    last = tries[-1] if tries else None
    said = "" if last is None else (last.error or f"{last.status} in {last.latency_ms} ms")
    waits = row.next_try_at if row.shown_state == "due" else None
    return (row.id, *about(row), row.type, row.shown_state, row.tries, waits, said, row.endpoint_id)


@deliveries_command.command("show")
@click.argument("name", metavar="ID")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show one delivery by its number, or all of an event by the event's id: each attempt, and what came back."""
    from workers.store.queries import delivery_before, find_deliveries
    from workers.store.reads.parts import delivery_fields

    with open_database() as database:
        found = database.read(find_deliveries, name)
        before = {row.id: database.read(delivery_before, row) for row, _ in found if row.state == "due"}
    if not found:
        raise CommandFailed(f"there is no delivery of that number or event: {name!r} (see: invoices deliveries list)")
    for place, (row, tries) in enumerate(found):
        older = before.get(row.id)
        if as_json:
            print_json(delivery_fields(row, tries) | {"waits_for": None if older is None else older.id})
            continue
        click.echo("\n" * (place > 0) + _heading(row, older))
        for number, attempt in enumerate(tries, start=1):
            click.echo(_try(number, attempt))


def _heading(row: StoredRow, older: StoredRow | None) -> str:
    lines = {
        "delivery": row.id,
        "endpoint": row.endpoint_id,
        "event": f"{row.event_id}  {row.type}",
        "invoice": f"{row.invoice_id}  sequence {row.sequence}" if row.sequence else None,
        "state": f"{row.shown_state}, {row.tries} of {len(DELIVERY_DELAYS)} tries",
        "finished": row.finished_at,
        "next try": _next_try(row, older),
    }
    return "\n".join(f"{name:10}{shown(value)}" for name, value in lines.items() if value is not None)


def _next_try(row: StoredRow, older: StoredRow | None) -> object:
    if row.shown_state == "parked":
        return f"none: the endpoint is disabled (invoices endpoints enable {row.endpoint_id})"
    if row.state != "due":
        return None
    if older is not None:
        return f"after delivery {older.id}, sequence {older.sequence} of the same invoice"
    return row.next_try_at


def _try(number: int, attempt: StoredRow) -> str:
    """An attempt on one line, and below it the answer as it came, indented."""
    status = "" if attempt.status is None else f" {attempt.status}"
    error = "" if attempt.error is None else f", {attempt.error}"
    then = "" if attempt.next_try_at is None else f", next {shown(attempt.next_try_at)}"
    line = f"try {number:<6}{shown(attempt.at)}  {attempt.outcome}{status} in {attempt.latency_ms} ms{error}{then}"
    answer = str(plain(attempt.answer or b"")).strip()
    return "\n".join([shown(line), *(f"          {shown(each)}" for each in answer.splitlines())])
