"""`invoices mark`, `cancel` and `recheck`: what a person says of an invoice, or wants to know."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from workers.cli.actor import actor, by_option
from workers.cli.context import open_store, settings
from workers.cli.errors import CommandFailed
from workers.cli.output import json_option, print_json
from workers.cli.which import NAME, choose_invoice

if TYPE_CHECKING:
    from workers.store.operate.invoices import Done
    from workers.store.rows import StoredRow
    from workers.store.store import Store

MARKS = ("paid", "failed", "refunded", "cancelled", "expired")
OF_MONEY = ("paid", "refunded")

account_option = click.option("--account", help="Whose order, where several accounts have one of this id.")


class Amount(click.ParamType[Decimal]):
    """A decimal, not negative, with every digit that was given."""

    name = "amount"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        from domain.money import parse_amount

        try:
            amount = value if isinstance(value, Decimal) else parse_amount(str(value))
        except ValueError as error:
            self.fail(f"{value!r}: {error}")
        if amount < 0:
            self.fail(f"{value!r} is less than nothing")
        return amount


@click.command("mark")
@click.argument("name", metavar=NAME)
@click.argument("status", type=click.Choice(MARKS))
@click.option("--reason", required=True, help="Why; told in the event and kept.")
@click.option("--amount", type=Amount(), help="What was paid, in the currency of the payment.")
@by_option
@account_option
@json_option
def mark_command(
    name: str, status: str, reason: str, amount: Decimal | None, by: str | None, account: str | None, as_json: bool
) -> int:
    """Say by hand what became of an invoice: an open or expired one was paid, a paid one was refunded, …

    An expired one can be marked as paid at any time; one that is cancelled or failed can't be (exit code 1). A mark as
    what an invoice is already settles what was said against it: one that stays expired, since the money went back or
    none came, is marked as expired.
    """
    from domain.status import Status
    from workers.store.operate.invoices import Mark, mark

    if amount is not None and status not in OF_MONEY:
        raise click.UsageError(f"--amount: nothing is paid where an invoice is {status}")
    who, request = actor(by, reason), Mark(Status(status), amount)
    row, act = operate(name, account, lambda store, invoice_id: mark(store, who, invoice_id, request), ask=not as_json)
    if as_json:
        told = {"id": row.id, "order_id": row.order_id, "status": act.status, "previous_status": act.status_before}
        print_json({**told, "marked": act.done, "by": who.name, "reason": who.reason, "why": act.why})
    if not act.done:
        raise CommandFailed(f"{row.id} can't be marked as {status}: {act.why}")
    if not as_json and act.status == act.status_before:
        click.echo(f"{row.id} (order {row.order_id}) is {act.status}, as you say; what was said against it is settled")
    elif not as_json:
        click.echo(f"marked {row.id} (order {row.order_id}), which was {act.status_before}, as {act.status}")
    return 0


@click.command("cancel")
@click.argument("name", metavar=NAME)
@click.option("--reason", default="cancelled by hand", show_default=True, help="Why; told in the event and kept.")
@by_option
@account_option
@json_option
def cancel_command(name: str, reason: str, by: str | None, account: str | None, as_json: bool) -> int:
    """Give an order up: its invoice ends as cancelled. One that has ended otherwise stays as it is (exit code 1)."""
    from workers.store.operate.invoices import cancel

    who = actor(by, reason)
    row, act = operate(name, account, lambda store, invoice_id: cancel(store, who, invoice_id), ask=not as_json)
    is_cancelled = act.done or act.status == "cancelled"
    if as_json:
        print_json({"id": row.id, "order_id": row.order_id, "status": act.status, "cancelled": is_cancelled})
    if not is_cancelled:
        raise CommandFailed(f"{row.id} can't be cancelled: {act.why}")
    if not as_json and not act.done:
        click.echo(f"{row.id} (order {row.order_id}) is cancelled already")
    elif not as_json:
        click.echo(f"cancelled {row.id} (order {row.order_id}), which was {act.status_before}")
    return 0


@click.command("recheck")
@click.argument("name", metavar=NAME)
@click.option("--reason", default="asked for by hand", show_default=True, help="Why; kept.")
@by_option
@account_option
@json_option
def recheck_command(name: str, reason: str, by: str | None, account: str | None, as_json: bool) -> int:
    """Have a worker ask the provider about an invoice now. One that can't be asked about says why (exit code 1)."""
    from workers.store.operate.invoices import recheck

    who = actor(by, reason)
    row, act = operate(name, account, lambda store, invoice_id: recheck(store, who, invoice_id), ask=not as_json)
    if as_json:
        told = {"id": row.id, "order_id": row.order_id, "status": act.status}
        print_json({**told, "rechecked": act.done, "why": act.why})
    if not act.done:
        raise CommandFailed(f"{row.id} can't be looked up: {act.why}")
    if not as_json:
        click.echo(f"{row.id} (order {row.order_id}) is looked up now; it is {act.status}")
    return 0


def operate(
    name: str, account: str | None, do: Callable[[Store, str], Done | None], *, ask: bool
) -> tuple[StoredRow, Done]:
    """Run ``do`` on the invoice that ``name`` means; ``ask`` lets the person choose where there are several. Raises
    CommandFailed."""
    with open_store(settings()) as store:
        row = choose_invoice(store.database, name, account, ask=ask)
        act = do(store, row.id)
    if act is None:
        raise CommandFailed(f"there is no invoice {row.id} any more")
    return row, act
