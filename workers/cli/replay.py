"""`invoices deliveries replay`: events sent once more, with the ids they had."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import click

from workers.cli.context import open_database
from workers.cli.errors import CommandFailed, missing_endpoint
from workers.cli.invoices import Moment
from workers.cli.output import json_option, print_json

if TYPE_CHECKING:
    from workers.store.database import Database
    from workers.store.replay import Chosen

#: Events a job.
MOST_EVENTS = 10_000


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be sent to one endpoint."""

    endpoint_id: str
    disabled: bool
    events: Sequence[Chosen]


@click.command("replay")
@click.argument("event_id", metavar="[EVENT_ID]", required=False)
@click.option(
    "--endpoint", "endpoint_id", metavar="ID", help="To this endpoint; without it: to all that had the event."
)
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only events of this type; repeatable.")
@click.option("--since", type=Moment(), help="Only events from then on: a time, or an age such as 30m, 12h, 7d.")
@click.option("--until", type=Moment(), help="Only events before then.")
@click.option("--dead-only", is_flag=True, help="Only dead letters: events whose tries were used up.")
@json_option
def replay(
    event_id: str | None,
    endpoint_id: str | None,
    types: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    dead_only: bool,
    as_json: bool,
) -> None:
    """Send one event once more, or an endpoint's events by type and time, with all their tries anew.

    In each invoice's order, and with the same webhook-id: a receiver can tell. Events from before an endpoint was added
    are sent to it too. At most 10,000 events a job. What is sent to a disabled endpoint waits until it is enabled.
    """
    if event_id is None and endpoint_id is None:
        raise click.UsageError("name an event, or --endpoint with --type, --since, --until or --dead-only")
    if event_id is not None and (types or since or until):
        raise click.UsageError("--type, --since and --until choose events of an endpoint, and here is one event's id")
    with open_database() as database:
        if event_id is not None:
            jobs = _one_event(database, event_id, endpoint_id)
        else:
            jobs = [_many(database, str(endpoint_id), types, since, until, dead_only)]
        for job in jobs:
            count = _run(database, job, dead_only)
            _tell(job, count, as_json)


def _one_event(database: Database, event_id: str, endpoint_id: str | None) -> list[Job]:
    from workers.store.replay import endpoints_of, find_event

    with database.reading() as connection:
        event = find_event(connection, event_id)
        if event is None:
            raise CommandFailed(f"there is no event {event_id!r} (see: invoices events)")
        ids = [endpoint_id] if endpoint_id is not None else endpoints_of(connection, event)
    if not ids:
        raise CommandFailed(f"{event_id} was meant for no endpoint: name one with --endpoint (invoices endpoints list)")
    return [Job(each, _is_disabled(database, each), [event]) for each in ids]


def _many(
    database: Database,
    endpoint_id: str,
    types: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    dead_only: bool,
) -> Job:
    from workers.store.replay import choose

    _check_choice(types, since, until)
    disabled = _is_disabled(database, endpoint_id)
    with database.reading() as connection:
        events = choose(
            connection,
            endpoint_id,
            types=types,
            since=since,
            until=until,
            dead_only=dead_only,
            limit=MOST_EVENTS + 1,
        )
    if len(events) > MOST_EVENTS:
        raise CommandFailed(
            f"these are more than {MOST_EVENTS:,} events, the most of one job: narrow them by --since and --until or "
            "--type; nothing was sent",
            exit_code=2,
        )
    return Job(endpoint_id, disabled, events)


def _check_choice(types: tuple[str, ...], since: datetime | None, until: datetime | None) -> None:
    from workers.store.endpoints import EVENT_TYPES

    unknown = sorted(set(types) - EVENT_TYPES)
    if unknown:
        raise click.UsageError(f"--type: there is no {', '.join(unknown)}; there are {', '.join(sorted(EVENT_TYPES))}")
    if since is not None and until is not None and until <= since:
        raise click.UsageError("--until must be later than --since")


def _is_disabled(database: Database, endpoint_id: str) -> bool:
    from workers.store.endpoints import find_endpoint

    with database.reading() as connection:
        endpoint = find_endpoint(connection, endpoint_id)
    if endpoint is None:
        raise missing_endpoint(endpoint_id)
    return endpoint.disabled_at is not None


def _run(database: Database, job: Job, dead_only: bool) -> int:
    """In transactions of their own, so that nobody waits long; ended half-way, the rest can be replayed again."""
    from workers.store.replay import BATCH, replay

    count = 0
    with _progress(len(job.events)) as advance:
        for start in range(0, len(job.events), BATCH):
            batch = job.events[start : start + BATCH]
            with database.transaction() as connection:
                count += replay(connection, database, job.endpoint_id, batch, dead_only=dead_only)
            advance(len(batch))
    return count


def _tell(job: Job, count: int, as_json: bool) -> None:
    if as_json:
        print_json({"endpoint_id": job.endpoint_id, "events": count, "waits": job.disabled})
        return
    click.echo(f"{count} events are sent to {job.endpoint_id} once more")
    if job.disabled and count:
        click.echo(f"invoices: it is disabled: they wait for `invoices endpoints enable {job.endpoint_id}`", err=True)


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, for a terminal; takes the events done."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from workers.cli.output import console

    columns = (SpinnerColumn(), TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("replaying", total=total)
        yield lambda done: progress.advance(task, done)
