"""`invoices audit`: what operators did."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import click

from workers.cli.context import open_database
from workers.cli.invoices import Moment, check_span
from workers.cli.output import json_option, limit_option, print_json, print_table
from workers.cli.table import YEAR, Column
from workers.cli.which import NAME, require_invoice

if TYPE_CHECKING:
    from workers.store.rows import StoredRow

COLUMNS = (
    Column("ID"),
    Column("ON"),
    Column("WHEN", lead=YEAR, rank=2),
    Column("BY", text=10, rank=4),
    Column("FROM", text=10, rank=7),
    Column("ACT"),
    Column("WHY", text=12, rank=3),
    Column("BEFORE", text=12, rank=6),
    Column("AFTER", text=12, rank=5),
)
LONGEST_CELL = 120


@click.command("audit")
@click.option("--since", type=Moment(), help="From then on: a time, or an age such as 30m, 12h, 7d.")
@click.option("--until", type=Moment(), help="Before then.")
@click.option("--invoice", metavar=NAME, help="Only what was done with this invoice.")
@click.option("--endpoint", metavar="ID", help="Only what was done with this endpoint, a removed one included.")
@click.option("--by", help="Only what this person did.")
@click.option("--act", help="Only this act, such as invoice.mark.")
@limit_option
@json_option
def audit_command(
    since: datetime | None,
    until: datetime | None,
    invoice: str | None,
    endpoint: str | None,
    by: str | None,
    act: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List what operators did by hand, newest first: who, from where, on what, why, before and after. Kept for good."""
    from workers.store.reads.acts import act_fields, list_acts

    check_span(since, until)
    with open_database() as database:
        invoice_id = None if invoice is None else require_invoice(database, invoice).id
        about = {"invoice_id": invoice_id, "endpoint_id": endpoint, "by": by, "act": act}
        rows = list_acts(database, since=since, until=until, limit=limit, **about)
        if as_json:
            for row in rows:
                print_json(act_fields(row))
            return
        print_table(COLUMNS, map(_line, rows), empty="nobody did anything by hand")


def _line(row: StoredRow) -> tuple[object, ...]:
    from workers.store.reads.acts import act_fields

    fields = act_fields(row)
    return (
        row.id,
        _about(row),
        row.at,
        row.by,
        row.origin,
        row.act,
        row.reason,
        _changed(fields["before"]),
        _changed(fields["after"]),
    )


def _about(row: StoredRow) -> str:
    names = {"message": row.message_id, "callback": row.callback_id}
    numbered = [f"{name} {number}" for name, number in names.items() if number is not None]
    return ", ".join([*(each for each in (row.invoice_id, row.endpoint_id) if each), *numbered]) or "everything"


def _changed(values: object) -> str:
    if not isinstance(values, Mapping):
        return ""
    told = ((name, value) for name, value in values.items() if value not in (None, []))
    text = ", ".join(f"{name}: {_shown(value)}" for name, value in told)
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
