"""`invoices redrive`: try again what waits for a person."""

from __future__ import annotations

from collections.abc import Sequence

import click

from workers.cli.actor import acting, actor
from workers.cli.context import open_store, settings
from workers.cli.enqueue import open_publisher
from workers.cli.errors import CommandFailed
from workers.cli.output import ROW_NUMBER, json_option, print_json
from workers.cli.text import counted
from workers.cli.which import require_invoice

all_option = click.option("--all", "everything", is_flag=True, help="All that wait.")


@click.group("redrive")
def redrive_command() -> None:
    """Try again: rejected messages, invoices in doubt, parked rows."""


def _require_choice(names: Sequence[object], everything: bool) -> None:
    if bool(names) == everything:
        raise click.UsageError("name what is to be tried again, or give --all (and not both)")


@redrive_command.command("rejected")
@click.argument("ids", metavar="[ID]...", type=ROW_NUMBER, nargs=-1)
@all_option
@acting
@json_option
def rejected(ids: tuple[int, ...], everything: bool, reason: str | None, by: str | None, as_json: bool) -> int:
    """Send rejected messages again, unchanged; only those that were kept whole. Repeats are harmless."""
    _require_choice(ids, everything)
    from workers.store.operate.redrive import NoSuchMessage, send_again

    config, who = settings(), actor(by, reason)
    sent, left = 0, 0
    with open_store(config) as store, open_publisher(config, 30) as publisher:
        try:
            for one in send_again(store, who, None if everything else ids, publisher.send_text):
                sent, left = sent + one.sent, left + (not one.sent)
                _tell(as_json, {"id": one.message_id, "sent": one.sent, "reason": one.why})
        except NoSuchMessage as error:
            raise CommandFailed(f"{error} (see: invoices rejected)") from None
    if not as_json:
        click.echo(f"sent {counted(sent, 'message', 'messages')} again" + (f", {left} can't be" if left else ""))
    return 1 if left else 0


def _tell(as_json: bool, told: dict[str, object]) -> None:
    if as_json:
        print_json(told)
    elif told.get("reason"):
        click.echo(f"invoices: {told['id']}: {told['reason']}", err=True)


@redrive_command.command("doubt")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@all_option
@acting
@json_option
def doubt(names: tuple[str, ...], everything: bool, reason: str | None, by: str | None, as_json: bool) -> int:
    """Create invoices in doubt again.

    The provider may have made the invoice the first time. One that can be searched by our order id is searched once
    more first. At the others look for it yourself before: the customer must not get two addresses.
    """
    _require_choice(names, everything)
    from workers.store.operate.invoices import create_all_again

    again, left, who = 0, 0, actor(by, reason)
    with open_store(settings()) as store:
        ids = None if everything else [require_invoice(store.database, name).id for name in names]
        for one in create_all_again(store, who, ids):
            again, left = again + one.done, left + (not one.done)
            _tell(as_json, {"id": one.invoice_id, "retried": one.done, "status": one.status, "reason": one.why})
    if not as_json:
        invoices = counted(again, "invoice", "invoices")
        click.echo(f"{invoices} will be created again" + (f", {left} can't be" if left else ""))
    return 1 if left else 0


@redrive_command.command("parked")
@acting
@json_option
def parked(reason: str | None, by: str | None, as_json: bool) -> None:
    """Make parked agenda rows due again: rows whose holders died again and again.

    Not what `invoices deliveries` calls parked: such webhooks wait until their endpoint is enabled.
    """
    from workers.store.operate.redrive import unpark

    who = actor(by, reason)
    with open_store(settings()) as store:
        total = unpark(store, who)
    if as_json:
        print_json({"redriven": total})
    else:
        click.echo(f"{counted(total, 'parked row is', 'parked rows are')} due again")
