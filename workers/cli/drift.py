"""`invoices drift list|accept`: what is new in providers' answers."""

from __future__ import annotations

import click

from workers.cli.accounts import require_account
from workers.cli.actor import actor, by_option
from workers.cli.context import open_database, open_store, settings, settings_to_read
from workers.cli.errors import CommandFailed
from workers.cli.output import ROW_NUMBER, json_option, limit_option, print_json, print_table
from workers.cli.table import YEAR, Column

COLUMNS = (
    Column("ID"),
    Column("ACCOUNT", rank=1),
    Column("NEW", text=30),
    Column("IN", rank=2),
    Column("INVOICES"),
    Column("SINCE", lead=YEAR),
    Column("ACCEPTED", lead=YEAR, rank=3),
)


@click.group("drift")
def drift_command() -> None:
    """What is new in providers' answers: neither documented nor seen in an answer before."""


@drift_command.command("list")
@click.option("--all", "accepted_too", is_flag=True, help="Those that were accepted too.")
@click.option("--account", help="Of this account only.")
@limit_option
@json_option
def list_command(accepted_too: bool, account: str | None, limit: int, as_json: bool) -> None:
    """List it, newest first: fields, types, words for statuses, currencies and networks, decimals.

    Each is told once, by an event `provider.drift`. An unknown status changes no invoice: find out from the provider
    or its documents what it means.
    """
    from workers.store.reads.drift import counted_in_words, drift_fields, list_drifts, short_of

    config = settings_to_read()
    with open_database(config) as database:
        require_account(database, config, account)
        rows = database.read(list_drifts, limit=limit, account=account, accepted_too=accepted_too)
        if as_json:
            for row in rows:
                print_json(drift_fields(row))
            return
        lines = (
            (r.id, r.account, short_of(r), r.call, counted_in_words(r.invoices), r.since, r.accepted_at) for r in rows
        )
        print_table(COLUMNS, lines, empty="every answer is as the providers' documents say")


@drift_command.command("accept")
@click.argument("numbers", metavar="[ID]…", nargs=-1, type=ROW_NUMBER)
@click.option("--account", help="All that are open of this account.")
@click.option("--reason", required=True, help="What it turned out to be; kept in the audit log.")
@by_option
@json_option
def accept_command(numbers: tuple[int, ...], account: str | None, reason: str, by: str | None, as_json: bool) -> None:
    """Say that it is known: it raises no alarm any more, and is not told again."""
    from workers.store.operate.drift import accept

    if bool(numbers) == (account is not None):
        raise CommandFailed("give the IDs, or --account for all of an account (see: invoices drift list)", 2)
    with open_store(settings()) as store:
        done = accept(store, actor(by, reason), numbers, account)
    if as_json:
        print_json({"accepted": done})
    elif done:
        click.echo(f"accepted {done}")
    if not done:
        raise CommandFailed("nothing like that is open (see: invoices drift list)")
