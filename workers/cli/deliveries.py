"""`invoices deliveries`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from workers.cli.context import open_database
from workers.cli.invoices import require_invoice
from workers.cli.output import json_option, limit_option, plain, print_json, print_table

if TYPE_CHECKING:
    from sqlalchemy import Row

STATES = ("due", "parked", "delivered", "dead")


@click.group("deliveries")
def deliveries_command() -> None:
    """List webhooks and each try of them."""


@deliveries_command.command("list")
@click.option("--endpoint", help="Only to this endpoint.")
@click.option("--invoice", metavar="ID|ORDER_ID", help="Only of this invoice.")
@click.option("--state", type=click.Choice(STATES), help="Only in this state; parked: its endpoint is disabled.")
@limit_option
@json_option
def list_(endpoint: str | None, invoice: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """List deliveries, newest first."""
    from workers.store.queries import list_deliveries

    with open_database() as database:
        if invoice is not None:
            with database.reading() as connection:
                invoice = require_invoice(connection, invoice).id
        found = list_deliveries(database, endpoint=endpoint, invoice=invoice, state=state, limit=limit)
        if as_json:
            for row, tries in found:
                print_json(delivery_fields(row, tries))
            return
        columns = ("ID", "ENDPOINT", "INVOICE", "", "EVENT", "STATE", "TRIES", "LAST", "NEXT TRY")
        print_table(columns, (_line(row, tries) for row, tries in found), empty="there are no such deliveries")


def delivery_fields(row: Row[Any], tries: Sequence[Row[Any]]) -> dict[str, Any]:
    """A delivery as JSON: what it carries, where it stands, and every try."""
    fields = {"id": row.id, "endpoint_id": row.endpoint_id, "invoice_id": row.invoice_id, "event_id": row.event_id}
    attempts = [
        {name: plain(value) for name, value in attempt._mapping.items() if name not in {"id", "delivery_id"}}
        for attempt in tries
    ]
    return fields | {
        "type": row.type,
        "sequence": row.sequence,
        "state": row.shown_state,
        "tries": row.tries,
        "next_try_at": plain(row.next_try_at),
        "created_at": plain(row.created_at),
        "finished_at": plain(row.finished_at),
        "attempts": attempts,
    }


def _line(row: Row[Any], tries: Sequence[Row[Any]]) -> tuple[Any, ...]:
    last = tries[-1] if tries else None
    said = "" if last is None else (last.error or f"{last.status} in {last.latency_ms} ms")
    waits = row.next_try_at if row.shown_state == "due" else None
    return (row.id, row.endpoint_id, row.invoice_id, row.sequence, row.type, row.shown_state, row.tries, said, waits)
