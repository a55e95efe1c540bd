"""`invoices deliveries replay`: events sent once more, under the same ids."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from workers.cli.actor import acting, actor
from workers.cli.context import open_store, settings
from workers.cli.errors import CommandFailed, missing_endpoint
from workers.cli.invoices import Moment, check_span
from workers.cli.output import json_option, print_json
from workers.cli.progress import progress_bar
from workers.cli.text import counted

if TYPE_CHECKING:
    from workers.store.operate.replay import Job
    from workers.store.replay import Choice
    from workers.store.store import Store


@click.command("replay")
@click.argument("name", metavar="[ID]", required=False)
@click.option(
    "--endpoint", "endpoint_id", metavar="ID", help="To this endpoint; without it: to all that had the event."
)
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only events of this type; repeatable.")
@click.option("--since", type=Moment(), help="Only events from then on: a time, or an age such as 30m, 12h, 7d.")
@click.option("--until", type=Moment(), help="Only events before then.")
@click.option("--dead-only", is_flag=True, help="Only dead letters: events whose tries were used up.")
@click.option("--missed-only", is_flag=True, help="Only what the endpoint does not have: what waits, and dead letters.")
@click.option("--newest-only", is_flag=True, help="Of each invoice only the newest; older ones that wait are given up.")
@acting
@json_option
def replay(
    name: str | None,
    endpoint_id: str | None,
    types: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    dead_only: bool,
    missed_only: bool,
    newest_only: bool,
    reason: str | None,
    by: str | None,
    as_json: bool,
) -> None:
    """Send one event (by its ID, or a delivery's) once more, or an endpoint's by type and time; each has all its tries.

    In each invoice's order, and with the same webhook-id, so that a receiver can tell. Events from before an endpoint
    was added are sent to it too. At most 10,000 events a job. Events for a disabled endpoint wait until it is enabled.
    """
    _check(name, endpoint_id, chooses=bool(types or since or until or missed_only or newest_only))
    check_span(since, until)
    from workers.store.operate.replay import run
    from workers.store.replay import Choice

    who = actor(by, reason)
    choice = Choice(endpoint_id or "", types, since, until, dead_only, missed_only, newest_only)
    with open_store(settings()) as store:
        for job in _plan(store, *_event_of(store, name, endpoint_id), choice):
            with progress_bar("replaying", len(job.events), counts=True) as advance:
                sent = run(store, who, job, advance)
            _tell(job, sent, as_json)


def _event_of(store: Store, name: str | None, endpoint_id: str | None) -> tuple[str | None, str | None]:
    """The event's id, and the endpoint that is to have it: a delivery's own."""
    from workers.store.queries import find_deliveries

    is_number = name is not None and name.isascii() and name.isdecimal()
    found = store.database.read(find_deliveries, name) if is_number and name else ()
    if not found:
        return name, endpoint_id
    ((row, _),) = found
    if endpoint_id not in {None, row.endpoint_id}:
        raise click.UsageError(f"delivery {name} is to {row.endpoint_id}: leave --endpoint out")
    return row.event_id, row.endpoint_id


def _check(event_id: str | None, endpoint_id: str | None, *, chooses: bool) -> None:
    """Raise UsageError unless one event is named, or an endpoint, whose events the other options may choose among."""
    if event_id is None and endpoint_id is None:
        raise click.UsageError("name an event, or --endpoint with --type, --since, --until or --dead-only")
    if event_id is not None and chooses:
        choosing = "--type, --since, --until, --missed-only and --newest-only"
        raise click.UsageError(f"{choosing} choose among events: leave them out with one event's id")


def _plan(store: Store, event_id: str | None, endpoint_id: str | None, choice: Choice) -> list[Job]:
    """The jobs to run, one for each endpoint. Raises CommandFailed and UsageError."""
    from workers.store.operate.replay import NoSuchEndpoint, NoSuchEvent, NotForEndpoint

    try:
        return (
            [_many(store, choice)] if event_id is None else _one_event(store, event_id, endpoint_id, choice.dead_only)
        )
    except NoSuchEvent:
        raise CommandFailed(
            f"there is no event or delivery {event_id!r} (see: invoices events, invoices deliveries list)"
        ) from None
    except NotForEndpoint as error:
        raise CommandFailed(str(error), exit_code=2) from None
    except NoSuchEndpoint as error:
        raise missing_endpoint(str(error)) from None


def _one_event(store: Store, event_id: str, endpoint_id: str | None, dead_only: bool) -> list[Job]:
    from workers.store.operate.replay import plan_one

    jobs = plan_one(store, event_id, endpoint_id, dead_only=dead_only)
    if not jobs:
        raise CommandFailed(f"{event_id} was meant for no endpoint: name one with --endpoint (invoices endpoints list)")
    return jobs


def _many(store: Store, choice: Choice) -> Job:
    from workers.store.operate.replay import TooManyEvents, plan

    try:
        return plan(store, choice)
    except TooManyEvents as error:
        narrow = "narrow them by --since and --until or --type; nothing was sent"
        raise CommandFailed(f"{error}: {narrow}", exit_code=2) from None
    except ValueError as error:
        raise click.UsageError(f"--{error}") from None


def _tell(job: Job, count: int, as_json: bool) -> None:
    if as_json:
        print_json({"endpoint_id": job.choice.endpoint_id, "events": count, "waits": job.disabled})
        return
    click.echo(f"{counted(count, 'event is', 'events are')} sent to {job.choice.endpoint_id} once more")
    if job.disabled and count:
        click.echo(
            f"invoices: it is disabled: they wait for `invoices endpoints enable {job.choice.endpoint_id}`", err=True
        )
