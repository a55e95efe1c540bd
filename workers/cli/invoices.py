"""`invoices list` and `show`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from workers.cli.context import open_database, settings
from workers.cli.errors import CommandFailed
from workers.cli.output import json_option, limit_option, plain, print_json, print_table, shown, status_text

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database
    from workers.store.rows import StoredRow

STATUSES = ("queued", "in_doubt", "pending", "partially_paid", "confirming", "paid", "expired", "failed", "cancelled",
            "refunded")  # fmt: skip
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Moment(click.ParamType[datetime]):
    """A time in RFC 3339 (UTC where it names no zone), or how long ago: 90s, 30m, 12h, 7d."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        try:
            if text[-1:] in _UNITS and text[:-1].isdigit():
                return datetime.now(UTC) - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
            time = datetime.fromisoformat(text)
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is neither a time such as 2026-11-21T20:19:00Z nor an age such as 30m, 12h or 7d")


def check_span(since: datetime | None, until: datetime | None) -> None:
    """Raise UsageError where a span of time has its ends the wrong way round."""
    if since is not None and until is not None and until <= since:
        raise click.UsageError("--until must be later than --since")


@click.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="Only these.")
@click.option("--account", help="Only of this account.")
@click.option("--since", type=Moment(), help="Made since then: a time, or an age such as 30m, 12h, 7d.")
@limit_option
@json_option
def list_command(status: str | None, account: str | None, since: datetime | None, limit: int, as_json: bool) -> None:
    """List invoices, newest first."""
    from workers.store.queries import list_invoices

    with open_database() as database:
        rows = list_invoices(database, status=status, account=account, since=since, limit=limit)
        if as_json:
            from domain.event import invoice_fields

            for row in rows:
                print_json(invoice_fields(row))
            return
        columns = ("INVOICE", "ORDER", "ACCOUNT", "STATUS", "PRICE", "TO PAY", "CREATED", "EXPIRES", "REASON")
        print_table(columns, (_line(row) for row in rows), empty="there are no such invoices")


def _line(row: StoredRow) -> tuple[Any, ...]:
    return (
        row.id,
        row.order_id,
        row.account,
        status_text(row.status, row.anomaly),
        money(row.price, row.currency),
        money(row.pay_amount, row.pay_currency),
        row.created_at,
        row.expires_at,
        (row.reason or "")[:80],
    )


def money(amount: Any, currency: str | None) -> str:
    """An amount with every digit, and what it is in."""
    from domain.money import format_amount

    return " ".join(part for part in (None if amount is None else format_amount(amount), currency) if part)


def require_invoice(database: Database, name: str, account: str | None = None) -> StoredRow:
    """The invoice of this id or order id. Raises CommandFailed."""
    from workers.store.queries import find_invoice

    found = database.read(find_invoice, name, account)
    if found is None:
        of = f" of account {account}" if account else ""
        raise CommandFailed(f"there is no invoice or order {name!r}{of} (see: invoices list, invoices rejected)")
    return found


def _invoice_or_payer(database: Database, name: str, account: str | None) -> StoredRow:
    """The invoice of this id or order id, otherwise the newest that this transaction was seen for."""
    from workers.store.queries import find_invoice
    from workers.store.reads.payments import invoices_of_transaction

    if database.read(find_invoice, name, account) is None:
        paid = database.read(invoices_of_transaction, name)
        chosen = [row for row in paid if account is None or row.account == account]
        if chosen:
            return chosen[0]
    return require_invoice(database, name, account)


@click.command("show")
@click.argument("name", metavar="ID|ORDER_ID|TRANSACTION")
@click.option("--account", help="Whose order; the newest of any account otherwise.")
@json_option
def show_command(name: str, account: str | None, as_json: bool) -> None:
    """Show one invoice: by its id, the newest of an order id, or the newest that a transaction was seen for."""
    from domain.event import invoice_fields
    from workers.cli.audit import ACT_COLUMNS, act_line
    from workers.cli.payments import payment_lines, print_payments
    from workers.store.queries import events_of, evidence_of
    from workers.store.reads.acts import act_fields, acts_of
    from workers.store.reads.payments import payments_of

    config = settings()
    with open_database(config) as database:
        row = _invoice_or_payer(database, name, account)
        payments = database.read(payments_of, row.id)
        events = database.read(events_of, row.id)
        evidence, acts = database.read(evidence_of, row.id), database.read(acts_of, row.id)
        waits = _callback_missing(database, config, row)
        if as_json:
            done = {"acts": [act_fields(act) for act in acts]}
            print_json(invoice_fields(row) | payment_lines(row, payments) | done)
            return
    _print_fields(row)
    print_payments(row, payments)
    print_table(("", "EVENT", "AT"), ((e.sequence, e.type, e.created_at) for e in events), empty="no event yet")
    if evidence:
        click.echo()
        said = ((e.at, e.source, e.kind, e.verdict, e.note, e.detail[:200]) for e in evidence)
        print_table(("WHEN", "WHO", "WHAT WAS SAID", "CAME OF IT", "NOTE", "DETAIL"), said, empty="")
    if acts:
        click.echo()
        print_table(ACT_COLUMNS, map(act_line, acts), empty="")
    if waits is not None:
        click.echo(f"\n{waits}")


def _callback_missing(database: Database, config: Settings, row: StoredRow) -> str | None:
    """Why nobody can be asked about an invoice that may still be paid, where only a callback brings what to ask by."""
    from domain.asking import waits_for_callback
    from domain.status import WATCHED
    from workers.bootstrap import policies
    from workers.cli.callback_address import callback_place
    from workers.store.callbacks import newest_at

    name = row.provider_account
    account = config.accounts.get(name)
    if account is None or not waits_for_callback(row, policies(config)[name]):
        return None
    if row.status not in {*WATCHED, "expired"}:
        return None
    last_at = database.read(newest_at, name)
    came = f"the last one for {name} came {shown(last_at)}" if last_at else f"none came for {name} yet"
    return (
        "It can't be asked about until a callback brings what to ask by; "
        f"{came}. Callbacks go to {callback_place(config, name)}"
    )


def _print_fields(row: StoredRow) -> None:
    from rich.table import Table
    from rich.text import Text

    from domain.event import invoice_fields
    from domain.exact_json import write_json
    from workers.cli.output import console

    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in invoice_fields(row).items():
        if value is None or (name == "metadata" and row.metadata_json == "{}"):
            continue
        if name == "status":
            table.add_row(name, status_text(row.status))
            continue
        is_text = isinstance(value, (str, int))
        table.add_row(Text(name, style="bold"), Text(shown(plain(value)) if is_text else write_json(value)))
    console().print(table)
    click.echo()
