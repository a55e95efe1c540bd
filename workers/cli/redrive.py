"""`invoices redrive`: what waits for a person is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from workers.cli.context import open_database, open_store, settings
from workers.cli.enqueue import open_publisher
from workers.cli.errors import CommandFailed
from workers.cli.invoices import require_invoice
from workers.cli.output import json_option, print_json

if TYPE_CHECKING:
    from workers.store.database import Database
    from workers.store.rows import StoredRow

INTAKE_TASKS = ("invoices.create", "invoices.create_many", "invoices.cancel")
PAGE = 500

all_option = click.option("--all", "everything", is_flag=True, help="All that wait.")


@click.group("redrive")
def redrive_command() -> None:
    """Try again: rejected messages, invoices in doubt, parked rows."""


def _require_choice(names: Sequence[Any], everything: bool) -> None:
    if bool(names) == everything:
        raise click.UsageError("name what is to be tried again, or give --all (and not both)")


@redrive_command.command("rejected")
@click.argument("ids", metavar="[ID]...", type=int, nargs=-1)
@all_option
@json_option
def rejected(ids: tuple[int, ...], everything: bool, as_json: bool) -> int:
    """Send rejected messages again, as they were; only those that were kept whole. Repeats are harmless."""
    _require_choice(ids, everything)
    from workers.store.queries import mark_redriven

    config = settings()
    sent, left = 0, 0
    with open_database(config) as database, open_publisher(config, 30) as publisher:
        for row in _chosen(database, ids, everything):
            problem = _why_not(row)
            if problem is None:
                publisher.send_text(row.task, row.excerpt)
                with database.transaction() as connection:
                    mark_redriven(connection, row.id, database.now(connection))
            sent, left = sent + (problem is None), left + (problem is not None)
            _tell(as_json, {"id": row.id, "sent": problem is None, "reason": problem})
    if not as_json:
        click.echo(f"sent {sent} messages again" + (f", {left} can't be" if left else ""))
    return 1 if left else 0


def _chosen(database: Database, ids: Sequence[int], everything: bool) -> list[StoredRow]:
    from workers.store.queries import list_rejected, rejected_by_id

    if everything:
        # What was sent again already was perhaps rejected again, and stands in the list anew.
        return list(list_rejected(database, limit=0, waiting=True))[::-1]
    rows = list(database.read(rejected_by_id, ids))
    missing = sorted(set(ids) - {row.id for row in rows})
    if missing:
        raise CommandFailed(f"there is no rejected message {', '.join(map(str, missing))} (see: invoices rejected)")
    return rows


def _why_not(row: StoredRow) -> str | None:
    if not row.complete:
        return "only its beginning was kept: send the order again from where it came"
    if row.task not in INTAKE_TASKS:
        return f"it names no task of ours ({row.task})"
    return None


def _tell(as_json: bool, told: dict[str, Any]) -> None:
    if as_json:
        print_json(told)
    elif told.get("reason"):
        click.echo(f"invoices: {told['id']}: {told['reason']}", err=True)


@redrive_command.command("doubt")
@click.argument("names", metavar="[ID|ORDER_ID]...", nargs=-1)
@all_option
@json_option
def doubt(names: tuple[str, ...], everything: bool, as_json: bool) -> int:
    """Create invoices in doubt again.

    The provider may have made the invoice the first time: look there before, the customer must not get two addresses.
    """
    _require_choice(names, everything)
    from workers.store.queries import list_invoices

    again, left = 0, 0
    with open_store(settings()) as store:
        if everything:
            ids = [row.id for row in list_invoices(store.database, status="in_doubt", limit=0)]
        else:
            ids = [require_invoice(store.database, name).id for name in names]
        for invoice_id in ids:
            verdict, status = _retry(store, invoice_id)
            done = verdict != "ignored"
            again, left = again + done, left + (not done)
            reason = None if done else f"it is {status}, not in doubt"
            _tell(as_json, {"id": invoice_id, "retried": done, "status": status, "reason": reason})
    if not as_json:
        click.echo(f"{again} invoices will be created again" + (f", {left} can't be" if left else ""))
    return 1 if left else 0


def _retry(store: Any, invoice_id: str) -> tuple[str, str | None]:
    from domain.evidence import RetryRequested
    from workers.store.judging import Judgement

    (outcome,) = store.judge([Judgement(invoice_id, RetryRequested(reason="created again by hand"))])
    return outcome.verdict, outcome.status


@redrive_command.command("parked")
@json_option
def parked(as_json: bool) -> None:
    """Take up agenda rows again that were parked because they ended whoever took them up."""
    from workers.store.endpoints import redrive_parked

    total = 0
    with open_database() as database:
        while True:
            with database.transaction() as connection:
                count = redrive_parked(connection, database.now(connection), PAGE)
            total += count
            if count < PAGE:
                break
    if as_json:
        print_json({"redriven": total})
    else:
        click.echo(f"{total} parked rows are due again")
