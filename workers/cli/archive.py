"""`invoices archive`: ended invoices into files, and out of the database."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workers.cli.actor import acting, actor
from workers.cli.context import open_database, settings, settings_to_read
from workers.cli.errors import CommandFailed
from workers.cli.output import json_option, print_bytes, print_json
from workers.cli.progress import progress_bar
from workers.cli.text import shown

if TYPE_CHECKING:
    from config.settings import Settings

NOT_SET = "INVOICES_ARCHIVE_DIR is not set, here and for the workers: otherwise they remove what is to be archived"
KEPT_ALL = "INVOICES_RETENTION_DAYS is 0, which keeps everything: give --older-than DAYS"


@click.group("archive", invoke_without_command=True)
@click.option(
    "--older-than", "days", type=click.IntRange(1, 36_500), help="Days without a change.  [INVOICES_RETENTION_DAYS]"
)
@click.option("--dry-run", is_flag=True, help="Only say what would be archived.")
@acting
@json_option
@click.pass_context
def archive_command(
    context: click.Context, days: int | None, dry_run: bool, reason: str | None, by: str | None, as_json: bool
) -> None:
    """Write ended invoices to INVOICES_ARCHIVE_DIR, a compressed file a day, and remove them from the database.

    A line is an invoice with all that belongs to it. Nothing is removed before its file is on the disk. Run it daily;
    killed, it is run again. An order that is sent again after it was archived is a new order.
    """
    if context.invoked_subcommand is not None:
        return
    config, who = settings(), actor(by, reason)
    path, age = _folder(config), timedelta(days=_days(config, days))
    if dry_run:
        _foretell(config, age, as_json)
        return
    from workers.store.operate.archiving import ArchiveRefused, archive, survey

    removed = 0
    with open_database(config) as database:
        try:
            total = sum(count for _, count in survey(database, age))
            with progress_bar("archiving", total) as advance:
                for one in archive(database, path, age, who, lambda step, n: advance(n) if step == "removed" else None):
                    removed += one.removed
                    _tell(one.path, one.written, one.removed, as_json)
        except ArchiveRefused as refusal:
            raise CommandFailed(str(refusal)) from None
    if not as_json:
        click.echo(f"{removed} invoices were archived" if removed else "nothing to archive")


@archive_command.command("find")
@click.argument("name")
@json_option
def find_command(name: str, as_json: bool) -> None:
    """Find an archived invoice by its id, order id, idempotency key, reference, address, transaction or event."""
    from workers.store.operate.archiving import ArchiveRefused, find

    found = False
    try:
        for file, line in find(_folder_that_exists(settings_to_read()), name):
            found = True
            if as_json:
                print_bytes(line.rstrip(b"\n"))
            else:
                _show(file, line)
    except ArchiveRefused as refusal:
        raise CommandFailed(str(refusal)) from None
    if not found:
        raise CommandFailed(f"no archived invoice has the name {name!r}")


def _folder(config: Settings) -> Path:
    if config.archive_dir is None:
        raise CommandFailed(NOT_SET)
    return config.archive_dir


def _folder_that_exists(config: Settings) -> Path:
    path = _folder(config)
    if not path.is_dir():
        raise CommandFailed(f"there is no folder {path}, which INVOICES_ARCHIVE_DIR names: nothing was archived there")
    return path


def _days(config: Settings, days: int | None) -> int:
    if not days and not config.retention_days:
        raise CommandFailed(KEPT_ALL)
    return days or config.retention_days


def _foretell(config: Settings, age: timedelta, as_json: bool) -> None:
    from workers.store.operate.archiving import survey

    with open_database(config) as database:
        for day, count in survey(database, age):
            if as_json:
                print_json({"day": f"{day:%Y-%m-%d}", "invoices": count})
            else:
                click.echo(f"{day:%Y-%m-%d}  {count:>9,}")


def _tell(path: Path, written: int, removed: int, as_json: bool) -> None:
    if as_json:
        print_json({"file": str(path), "written": written, "removed": removed})
    else:
        click.echo(f"{path.name}  {removed:>9,}  {path.stat().st_size:>13,} bytes")


def _show(file: Path, line: bytes) -> None:
    from domain.exact_json import read_json

    document = read_json(line)
    one = document["invoice"]
    click.echo(f"{one['id']}  {shown(one['order_id'])}  {one['account']}  {one['status']}  in {file.name}")
    for event in document["events"]:
        click.echo(f"  {event['created_at']}  {event['type']}  {event['id']}")
    click.echo("  all of it: --json")
