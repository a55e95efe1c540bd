"""`invoices migrate`."""

from __future__ import annotations

import click

from workers.cli.context import settings
from workers.cli.output import json_option, print_json


@click.command("migrate")
@click.option(
    "--patience",
    "patience_seconds",
    type=click.FloatRange(min=0),
    help="Seconds to wait for whoever holds a table or is already migrating (300).",
)
@json_option
def migrate_command(patience_seconds: float | None, as_json: bool) -> None:
    """Bring the database to the newest revision; safe to run at any time, and by several at once."""
    from config.logging import configure_logging
    from workers.store.schema import PATIENCE_SECONDS, upgrade

    config = settings()
    configure_logging(config.log_format, config.log_level)  # logs what it waits for, to standard error
    patience = PATIENCE_SECONDS if patience_seconds is None else patience_seconds
    before, after = upgrade(config.database_url, patience_seconds=patience)
    if as_json:
        print_json({"before": before, "after": after, "changed": before != after})
    elif before == after:
        click.echo(f"nothing to do: the database is at revision {after}")
    else:
        click.echo(f"migrated from {before or 'nothing'} to {after}")
