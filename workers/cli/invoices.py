"""`invoices list`, and the options for times that other commands share with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from domain.moments import read_moment
from workers.cli.accounts import require_account
from workers.cli.context import open_database, settings_to_read
from workers.cli.output import json_option, limit_option, money, plain, print_json, print_table, status_cell
from workers.cli.table import YEAR, Column
from workers.cli.text import counted, shown

if TYPE_CHECKING:
    from workers.store.rows import StoredRow

STATUSES = ("queued", "in_doubt", "pending", "partially_paid", "confirming", "paid", "expired", "failed", "cancelled",
            "refunded")  # fmt: skip
ANOMALIES = ("underpaid", "overpaid", "late")


class Moment(click.ParamType[datetime]):
    """A time in RFC 3339 (UTC where it names no zone), or how long ago: 90s, 30m, 12h, 7d."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return read_moment(str(value), datetime.now(UTC))
        except ValueError as error:
            self.fail(str(error))


def check_span(since: datetime | None, until: datetime | None) -> None:
    """Raise UsageError for a span that ends before it begins."""
    if since is not None and until is not None and until <= since:
        raise click.UsageError("--until must be later than --since")


class Chosen(TypedDict):
    """What ``list`` is given to choose by."""

    statuses: tuple[str, ...]
    accounts: tuple[str, ...]
    anomalies: tuple[str, ...]
    assets: tuple[str, ...]
    order_id: str | None
    since: datetime | None
    until: datetime | None


COLUMNS = (
    Column("INVOICE"),
    Column("ORDER", key=8),
    Column("STATUS"),
    Column("ACCOUNT", rank=2),
    Column("TO PAY", rank=5),
    Column("PRICE", rank=3),
    Column("CREATED", lead=YEAR, rank=4),
    Column("EXPIRES", lead=YEAR, rank=6),
    Column("REASON", text=12, rank=7),
)


@click.command("list")
@click.option("--status", "statuses", type=click.Choice(STATUSES), multiple=True, help="Only these; may be repeated.")
@click.option("--account", "accounts", multiple=True, help="Only of this account; may be repeated.")
@click.option(
    "--anomaly", "anomalies", type=click.Choice(ANOMALIES), multiple=True, help="Only these; may be repeated."
)
@click.option("--asset", "assets", metavar="CURRENCY", multiple=True, help="Only to be paid in it; may be repeated.")
@click.option("--order", "order_id", metavar="ORDER_ID", help="Only of this order id.")
@click.option("--since", type=Moment(), help="Made since then: a time, or an age such as 30m, 12h, 7d.")
@click.option("--until", type=Moment(), help="Made before then.")
@limit_option
@click.option("--count", "only_count", is_flag=True, help="Say how many there are, and since when the oldest.")
@json_option
def list_command(limit: int, only_count: bool, as_json: bool, **chosen: Unpack[Chosen]) -> None:
    """List invoices, newest first."""
    from workers.store.queries import Wanted, count_invoices, list_invoices

    check_span(chosen["since"], chosen["until"])
    wanted, config = Wanted(**chosen), settings_to_read()
    with open_database(config) as database:
        for account in chosen["accounts"]:
            require_account(database, config, account)
        if only_count:
            _print_count(*database.read(count_invoices, wanted), as_json=as_json)
            return
        rows = list_invoices(database, wanted, limit=limit)
        if as_json:
            from domain.event import invoice_fields

            for row in rows:
                print_json(invoice_fields(row))
            return
        print_table(COLUMNS, (_line(row) for row in rows), empty="there are no such invoices")


def _print_count(number: int, oldest: datetime | None, *, as_json: bool) -> None:
    if as_json:
        print_json({"count": number, "oldest_created_at": plain(oldest)})
        return
    click.echo(counted(number, "invoice", "invoices") + (f", the oldest of {shown(oldest)}" if oldest else ""))


def _line(row: StoredRow) -> tuple[object, ...]:
    return (
        row.id,
        row.order_id,
        status_cell(row.status, row.anomaly),
        row.account,
        money(row.pay_amount, row.pay_currency),
        money(row.price, row.currency),
        row.created_at,
        row.expires_at,
        row.reason,
    )
