"""`invoices health` and `invoices why --all`: the state of the whole system, from the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from workers.cli.context import open_database, settings_to_read
from workers.cli.errors import CommandFailed
from workers.cli.output import has_colours, json_option, plain, print_json, print_table
from workers.cli.table import YEAR, Column
from workers.cli.text import counted

if TYPE_CHECKING:
    from config.settings import Settings
    from domain.why import Late
    from domain.why.patience import Pace
    from workers.store.database import Database
    from workers.store.reads.why.late import Overview

#: The example has to be whole, to be copied: with an id (36 characters) and the longest cause (20) 80 columns do.
COLUMNS = (Column("CAUSE"), Column("N"), Column("SINCE", lead=YEAR, rank=1), Column("EXAMPLE"))
COLOURS = {"OK": "green", "DEGRADED": "yellow", "STALLED": "red"}
#: In the order in which an invoice meets them.
ROLES = ("intake", "worker", "web", "beat")


@click.command("health")
@json_option
def health_command(as_json: bool) -> int:
    """Say in one word how the system is: OK, DEGRADED or STALLED. The exit code is 0 for OK only.

    DEGRADED: something is late or waits for a person. STALLED: work is due and nothing moves, or no worker runs.
    """
    config = settings_to_read()
    try:
        with open_database(config, of_any_release=True) as database:
            overview, parts = _look(database, config)
    except CommandFailed as error:  # there is no database
        overview, parts = None, {"database": str(error), "redis": _redis_state(config)}
    late = [] if overview is None else overview.late
    verdict = "STALLED" if overview is None else overview.verdict.value
    if as_json:
        print_json({"verdict": verdict, "causes": [late_fields(one) for one in late], "parts": parts})
    else:
        _print_verdict(verdict)
        _print_parts(parts)
        if overview is None:
            click.echo("what is late is not known: the database can't be read")
        else:
            _print_late(late)
    return 0 if verdict == "OK" else 1


def tell_late(database: Database, config: Settings, *, as_json: bool) -> int:
    """Print what is late, a line for each cause; the exit code."""
    from workers.store.reads.why.late import read_overview

    overview = database.read(read_overview, database, read_pace(config))
    if as_json:
        for one in overview.late:
            print_json(late_fields(one))
    else:
        _print_late(overview.late)
        _print_verdict(overview.verdict.value)
    return 0 if overview.verdict.value == "OK" else 1


def late_fields(late: Late) -> dict[str, object]:
    """A line of JSON."""
    return {
        "cause": late.cause.value,
        "count": late.count,
        "oldest_since": plain(late.oldest_since),
        "example": late.example,
    }


def _look(database: Database, config: Settings) -> tuple[Overview | None, Mapping[str, object]]:
    """What is late and the parts' states; None where the database can't be used, and so nothing moves."""
    from workers.store.database import ANY_FAILURE, UNAVAILABLE
    from workers.store.reads.why.late import read_overview
    from workers.store.release import SchemaTooOld, require_release

    redis = _redis_state(config)
    try:
        database.read(require_release)
        overview = database.read(read_overview, database, read_pace(config))
    except SchemaTooOld as error:
        return None, {"database": str(error), "redis": redis}
    except UNAVAILABLE as error:
        return None, {"database": f"away ({type(error).__name__})", "redis": redis}
    except ANY_FAILURE as error:  # a damaged file, …
        return None, {"database": f"can't be read ({type(error).__name__})", "redis": redis}
    return overview, {"database": "ok", "redis": redis} | _parts(overview)


def _parts(overview: Overview) -> dict[str, object]:
    untold = overview.untold
    return {
        "processes": {
            role: {"running": len(overview.crew.alive(role)), "seen_at": plain(overview.crew.seen_at(role))}
            for role in ROLES
        },
        "moved_at": plain(overview.crew.moved_at()),
        "stream": {"untold": untold.events, "oldest_at": plain(untold.oldest_at)},
    }


def read_pace(config: Settings) -> Pace:
    """How fast accounts may be called, and how many calls workers have lately asked for."""
    from domain.why.patience import Pace
    from workers.coordination.asked import read_asked
    from workers.coordination.connections import ONE_TRY, open_redis

    with open_redis(config.redis_url, ONE_TRY) as client:
        return Pace(config.accounts, read_asked(client, config.accounts))


def _redis_state(config: Settings) -> str:
    from redis.exceptions import RedisError

    from workers.coordination.connections import ONE_TRY, open_redis

    try:
        with open_redis(config.redis_url, ONE_TRY) as client:
            client.ping()
    except (RedisError, OSError) as error:
        return f"away ({type(error).__name__})"
    return "ok"


def _print_verdict(verdict: str) -> None:
    click.echo(click.style(verdict, fg=COLOURS[verdict], bold=True) if has_colours() else verdict)


def _print_parts(parts: Mapping[str, object]) -> None:
    click.echo(f"  {'database':10}  {parts['database']}")
    click.echo(f"  {'redis':10}  {parts['redis']}")
    processes = parts.get("processes")
    for role, seen in processes.items() if isinstance(processes, dict) else ():
        when = f", last seen {seen['seen_at']}" if seen["seen_at"] else ", never seen"
        click.echo(f"  {role:10}  {seen['running']} running{'' if seen['running'] else when}")
    stream = parts.get("stream")
    if isinstance(stream, dict):
        click.echo(f"  {'stream':10}  {counted(stream['untold'], 'event', 'events')} on their way")


def _print_late(late: Sequence[Late]) -> None:
    lines = ((one.cause.value, one.count, one.oldest_since, one.example or "") for one in late)
    print_table(COLUMNS, lines, empty="nothing is late")
