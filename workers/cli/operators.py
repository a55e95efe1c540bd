"""`invoices mark` and `invoices recheck`: what a person knows about a payment, or wants to know."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from workers.cli.context import open_store, settings
from workers.cli.errors import CommandFailed
from workers.cli.invoices import require_invoice
from workers.cli.output import json_option, print_json

if TYPE_CHECKING:
    from workers.store.operators import Act
    from workers.store.rows import StoredRow
    from workers.store.store import Store

MARKS = ("paid", "failed", "refunded", "cancelled")
OF_MONEY = ("paid", "refunded")
LONGEST_REASON, LONGEST_NAME = 500, 100

account_option = click.option("--account", help="Whose order, where several accounts have one of this id.")
by_option = click.option("--by", help="Who says so.  [default: the user of this shell]")


class Amount(click.ParamType[Decimal]):
    """A decimal, digit for digit."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        from domain.money import parse_amount

        try:
            amount = value if isinstance(value, Decimal) else parse_amount(str(value))
        except ValueError as error:
            self.fail(f"{value!r}: {error}")
        if amount < 0:
            self.fail(f"{value!r} is less than nothing")
        return amount


@click.command("mark")
@click.argument("name", metavar="ID|ORDER_ID")
@click.argument("status", type=click.Choice(MARKS))
@click.option("--reason", required=True, help="Why; told in the event and kept.")
@click.option("--amount", type=Amount(), help="What was paid, in the currency of the payment.")
@by_option
@account_option
@json_option
def mark_command(
    name: str, status: str, reason: str, amount: Decimal | None, by: str | None, account: str | None, as_json: bool
) -> int:
    """Say by hand what became of an invoice: an open or expired one was paid, a paid one refunded, …

    An expired one can be marked as paid at any time; one that is cancelled or failed can't be (exit code 1).
    """
    from domain.status import Status
    from workers.store.operators import mark

    if amount is not None and status not in OF_MONEY:
        raise click.UsageError(f"--amount: nothing is paid where an invoice is {status}")
    words, who = _text("--reason", reason, LONGEST_REASON), _who(by)

    def do(store: Store, invoice_id: str) -> Act | None:
        return mark(store, invoice_id, Status(status), reason=words, by=who, amount=amount)

    row, act = _do(name, account, do)
    if as_json:
        told = {"id": row.id, "order_id": row.order_id, "status": act.status, "previous_status": act.status_before}
        print_json({**told, "marked": act.done, "by": who, "reason": words, "why": act.why})
    if not act.done:
        raise CommandFailed(f"{row.id} can't be marked as {status}: {act.why}")
    if not as_json:
        click.echo(f"marked {row.id} (order {row.order_id}), which was {act.status_before}, as {act.status}")
    return 0


@click.command("recheck")
@click.argument("name", metavar="ID|ORDER_ID")
@click.option("--reason", default="asked for by hand", show_default=True, help="Why; kept.")
@by_option
@account_option
@json_option
def recheck_command(name: str, reason: str, by: str | None, account: str | None, as_json: bool) -> int:
    """Have a worker ask the provider about an invoice now. One that can't be asked about says why (exit code 1)."""
    from workers.store.operators import recheck

    words, who = _text("--reason", reason, LONGEST_REASON), _who(by)
    row, act = _do(name, account, lambda store, invoice_id: recheck(store, invoice_id, reason=words, by=who))
    if as_json:
        told = {"id": row.id, "order_id": row.order_id, "status": act.status}
        print_json({**told, "rechecked": act.done, "why": act.why})
    if not act.done:
        raise CommandFailed(f"{row.id} can't be looked up: {act.why}")
    if not as_json:
        click.echo(f"{row.id} (order {row.order_id}) is looked up now; it is {act.status}")
    return 0


def _do(name: str, account: str | None, do: Callable[[Store, str], Act | None]) -> tuple[StoredRow, Act]:
    from workers.store.queries import accounts_of_order

    with open_store(settings()) as store:
        row = require_invoice(store.database, name, account)
        accounts = store.database.read(accounts_of_order, name)
        if account is None and row.id != name and len(accounts) > 1:
            raise CommandFailed(f"several accounts have an order {name!r}: give --account {'|'.join(accounts)}", 2)
        act = do(store, row.id)
    if act is None:
        raise CommandFailed(f"there is no invoice {row.id} any more")
    return row, act


def _text(option: str, value: str, longest: int) -> str:
    text = " ".join(value.split())
    if not text or len(text) > longest:
        raise click.UsageError(f"{option} must have 1 to {longest} characters")
    return text


def _who(by: str | None) -> str:
    if by is not None:
        return _text("--by", by, LONGEST_NAME)
    try:
        return getpass.getuser()[:LONGEST_NAME]
    except (OSError, KeyError):  # a container's user may have no name
        return "command line"
