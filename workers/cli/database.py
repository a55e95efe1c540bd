"""`invoices migrate`."""

from __future__ import annotations

import click

from workers.cli.context import settings
from workers.cli.output import json_option, print_json


@click.command("migrate")
@json_option
def migrate_command(as_json: bool) -> None:
    """Bring the database to the newest revision; safe to run at any time, and by several at once."""
    from config.logging import configure_logging
    from workers.store.schema import upgrade

    config = settings()
    configure_logging(config.log_format, config.log_level)  # what it waits for is told on standard error
    before, after = upgrade(config.database_url)
    if as_json:
        print_json({"before": before, "after": after, "changed": before != after})
    elif before == after:
        click.echo(f"nothing to do: the database is at revision {after}")
    else:
        click.echo(f"migrated from {before or 'nothing'} to {after}")
