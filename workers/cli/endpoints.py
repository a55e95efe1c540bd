"""`invoices endpoints`: where webhooks are sent."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

import click

from workers.cli.actor import acting, actor, by_option
from workers.cli.breakers import breaker_states, reset_breaker
from workers.cli.context import open_database, open_store, settings
from workers.cli.endpoint_settings import add, change, fields_of
from workers.cli.errors import CommandFailed, missing_endpoint
from workers.cli.output import json_option, plain, print_json, print_table
from workers.cli.rotation import open_box, reseal, rotate
from workers.cli.table import YEAR, Column
from workers.cli.text import counted

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.delivery.attempt import Attempt
    from workers.store.database import Database
    from workers.store.endpoints import Endpoint
    from workers.store.health import Health


@click.group("endpoints")
def endpoints_command() -> None:
    """Add, list, change, test and remove endpoints: where webhooks are sent."""


endpoints_command.add_command(add)
endpoints_command.add_command(change)
endpoints_command.add_command(rotate)
endpoints_command.add_command(reseal)


COLUMNS = (
    Column("ID"),
    Column("URL", text=16),
    Column("EVENTS", text=9, rank=3),
    Column("STATE", text=8),
    Column("LAST SUCCESS", lead=YEAR, rank=4),
    Column("WAITING", rank=1),
    Column("DEAD", rank=2),
    Column("OLD SECRET UNTIL", lead=YEAR, rank=5),
    Column("ACCOUNTS", text=10, rank=6),
)


@endpoints_command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List endpoints and how they do; secrets are never shown again."""
    from workers.store.endpoints import list_endpoints
    from workers.store.health import health_of

    config = settings()
    with open_database(config) as database:
        now = database.time()
        found = [(endpoint, database.read(health_of, endpoint.id)) for endpoint in database.read(list_endpoints)]
    breakers = breaker_states(config, [endpoint.id for endpoint, _ in found])
    if as_json:
        for endpoint, health in found:
            print_json(fields_of(endpoint) | _health(health) | {"breaker": breakers.get(endpoint.id)})
        return
    rows = (_line(endpoint, health, breakers.get(endpoint.id), now) for endpoint, health in found)
    print_table(COLUMNS, rows, empty="there is no endpoint: invoices endpoints add URL")


def _line(endpoint: Endpoint, health: Health, breaker: str | None, now: datetime) -> tuple[object, ...]:
    state = "enabled" if breaker in {None, "closed"} else f"enabled, breaker {breaker}"
    if endpoint.disabled_at is not None:
        state = f"disabled: {endpoint.disabled_reason}"
    rotating = endpoint.rotated_until is not None and endpoint.rotated_until > now
    return (
        endpoint.id,
        endpoint.url,
        ", ".join(sorted(endpoint.events)) if endpoint.events else "invoice.*",
        state,
        health.last_success_at,
        health.waiting,
        health.dead,
        endpoint.rotated_until if rotating else None,
        "all" if endpoint.accounts is None else ", ".join(sorted(endpoint.accounts)),
    )


def _health(health: Health) -> dict[str, object]:
    last = plain(health.last_success_at)
    return {"waiting": health.waiting, "dead": health.dead, "last_success_at": last}


@endpoints_command.command("remove")
@click.argument("endpoint_id", metavar="ID")
@acting
@json_option
def remove(endpoint_id: str, reason: str | None, by: str | None, as_json: bool) -> None:
    """Remove an endpoint with everything that still waits for it, and its log."""
    from workers.store.operate import endpoints

    who = actor(by, reason)
    with open_store(settings()) as store:
        removed = endpoints.remove(store, who, endpoint_id)
    if removed is None:
        raise missing_endpoint(endpoint_id)
    if as_json:
        print_json({"id": endpoint_id, "removed": True, "deliveries": removed})
    else:
        click.echo(f"removed {endpoint_id} with {removed} deliveries")


@endpoints_command.command("disable")
@click.argument("endpoint_id", metavar="ID")
@click.option("--reason", default="by hand", show_default=True, help="Why; shown in the list, and kept.")
@by_option
def disable(endpoint_id: str, reason: str, by: str | None) -> None:
    """Let an endpoint's events wait; none is dropped."""
    from workers.store.operate import endpoints

    who = actor(by, reason)
    with open_store(settings()) as store:
        if not endpoints.disable(store, who, endpoint_id, who.reason or reason):
            raise missing_endpoint(endpoint_id)
    click.echo(f"disabled {endpoint_id}: its events wait")


@endpoints_command.command("enable")
@click.argument("endpoint_id", metavar="ID")
@acting
def enable(endpoint_id: str, reason: str | None, by: str | None) -> None:
    """Deliver again, at once, with all tries and each invoice's events in order."""
    from workers.store.operate import endpoints

    config, who = settings(), actor(by, reason)
    with open_store(config) as store:
        reset_breaker(config, endpoint_id)
        waited = endpoints.enable(store, who, endpoint_id)
    if waited is None:
        raise missing_endpoint(endpoint_id)
    click.echo(
        f"enabled {endpoint_id}"
        + (f": the events of {counted(waited, 'invoice', 'invoices')} waited" if waited else "")
    )


@endpoints_command.command("test")
@click.argument("endpoint_id", metavar="ID")
@json_option
def test(endpoint_id: str, as_json: bool) -> None:
    """Send a signed `invoices.test` event once, and print what came back. Not logged, not repeated."""
    config = settings()
    with open_database(config) as database:
        endpoint, now = _find(database, endpoint_id)
    attempt = asyncio.run(_send(endpoint, config, now))
    answer = attempt.answer.decode("utf-8", "replace")
    if as_json:
        told = {"id": endpoint_id, "outcome": attempt.outcome, "status": attempt.status, "error": attempt.error}
        print_json(told | {"latency_ms": attempt.latency_ms, "answer": answer})
    if attempt.outcome != "delivered":
        raise CommandFailed(f"the test was not taken: {attempt.error}")
    if not as_json:
        from workers.cli.text import shown

        click.echo(f"taken: {attempt.status} in {attempt.latency_ms} ms {shown(answer[:200])}".rstrip())


def _find(database: Database, endpoint_id: str) -> tuple[Endpoint, datetime]:
    """The endpoint, and the database's time."""
    from workers.store.endpoints import find_endpoint

    endpoint, now = database.read(find_endpoint, endpoint_id), database.time()
    if endpoint is None:
        raise missing_endpoint(endpoint_id)
    return endpoint, now


async def _send(endpoint: Endpoint, config: Settings, now: datetime) -> Attempt:
    from workers.delivery.trial import send_trial, trial_of
    from workers.http.address import AddressGuard

    box = open_box(config)
    secrets = tuple(box.open(sealed) for sealed in endpoint.signing(now))
    headers = box.open_headers(endpoint.sealed_headers, endpoint.clear_headers)
    trial = trial_of(endpoint.id, endpoint.url, secrets, headers, now)
    return await send_trial(AddressGuard(config.webhook_allow), trial)
