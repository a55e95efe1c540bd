"""`invoices move`: everything into another database."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from workers.cli.actor import acting, actor
from workers.cli.context import open_database, settings
from workers.cli.errors import CommandFailed
from workers.cli.output import json_option, print_json
from workers.cli.progress import progress_bar

if TYPE_CHECKING:
    from config.settings import Settings
    from domain.why.processes import Process
    from workers.store.database import Database
    from workers.store.operate.moving import Moved

POLL_SECONDS = 0.5

NEXT = """
Now, for every process:
  export INVOICES_DATABASE_URL={url}
{key}and start them. Then run `invoices doctor`.
Put the old database away: a process that still finds it would go on there, with the same orders."""
KEPT_KEY = "  export INVOICES_SECRET_KEY=$(cat {home}/secret.key)      # was made there; webhooks are signed by it\n"


@click.command("move")
@click.argument("database_url")
@click.option("--even-so", is_flag=True, help="Although processes were seen lately. They must be gone all the same.")
@acting
@json_option
def move_command(database_url: str, even_so: bool, reason: str | None, by: str | None, as_json: bool) -> None:
    """Move everything from this database into the one at DATABASE_URL, which is empty or was never migrated.

    Stop intake, workers, beat and web first; orders wait in the broker meanwhile, callbacks are sent again by the
    providers. Every table is copied in one transaction and read back. If it fails, or is killed, the target stays empty
    and this database is as it was: run it again. A password is best given in PGPASSWORD or ~/.pgpass.
    """
    from workers.store.operate.moving import MoveRefused, move_into, survey

    config, who, target = settings(), actor(by, reason), _target(database_url)
    with open_database(config, of_any_release=True) as source:
        try:
            found = survey(source)
            if not even_so:
                _wait_until_gone(source)
            began = time.monotonic()
            with progress_bar("moving", 2 * found.rows) as advance:
                moved = move_into(source, target, who, lambda _, rows: advance(rows))
        except MoveRefused as refusal:
            raise CommandFailed(str(refusal)) from None
    seconds = time.monotonic() - began
    if as_json:
        _print(moved, seconds, _shown(target))
        return
    rows = sum(one.rows for one in moved)
    click.echo(f"moved {rows:,} rows of {len(moved)} tables in {seconds:.1f} s; each was read back and is the same")
    if found.leases:
        click.echo(f"{found.leases} leases of workers that died run out there as they would have here")
    click.echo(NEXT.format(url=_shown(target), key=_key_line(config)))


def _target(database_url: str) -> str:
    from config.database_url import check_database_url
    from config.logging import register_secrets
    from config.urls import passwords_of

    register_secrets(passwords_of(database_url))
    try:
        return check_database_url(database_url)
    except ValueError as error:
        raise click.UsageError(f"DATABASE_URL {error}") from None


def _shown(url: str) -> str:
    from config.urls import redact_url

    return redact_url(url)


def _key_line(config: Settings) -> str:
    """With a database of one's own the key has to be given; the embedded default has made one."""
    return "" if config.given_secret_keys else KEPT_KEY.format(home=config.home)


def _print(moved: Sequence[Moved], seconds: float, target: str) -> None:
    for one in moved:
        print_json({"table": one.table, "rows": one.rows, "digest": one.digest})
    rows = sum(one.rows for one in moved)
    print_json({"target": target, "tables": len(moved), "rows": rows, "seconds": round(seconds, 1)})


def _wait_until_gone(source: Database) -> None:
    """A process that was stopped a moment ago was seen lately, too. Raises CommandFailed for one that still runs."""
    from workers.store.operate.moving import processes_seen

    first = {(one.role, one.name): one.seen_at for one in processes_seen(source)}
    if first:
        click.echo(f"waiting to see whether {_names(first)} ended; 15 seconds at most", err=True)
    while seen := processes_seen(source):
        alive = [one for one in seen if first.get((one.role, one.name)) != one.seen_at]
        if alive:
            raise CommandFailed(f"{_named(alive)} runs: stop intake, workers, beat and web, then run this again")
        time.sleep(POLL_SECONDS)


def _names(seen: Iterable[tuple[str, str]]) -> str:
    return ", ".join(sorted({role for role, _ in seen}))


def _named(alive: Sequence[Process]) -> str:
    return ", ".join(f"{one.role} {one.name}" for one in alive)
