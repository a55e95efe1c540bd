"""`invoices endpoints`: where webhooks are sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from workers.cli.actor import acting, actor, by_option
from workers.cli.breakers import breaker_states, reset_breaker
from workers.cli.context import open_database, open_store, settings
from workers.cli.errors import CommandFailed, missing_endpoint
from workers.cli.output import json_option, plain, print_json, print_table
from workers.cli.rotation import open_box, reseal, rotate
from workers.cli.table import YEAR, Column
from workers.cli.text import counted
from workers.cli.tokens import check_accounts

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.delivery.attempt import Attempt
    from workers.store.acts import Actor
    from workers.store.database import Database
    from workers.store.endpoints import Endpoint, EndpointChanges, NewEndpoint
    from workers.store.health import Health
    from workers.store.store import Store


@click.group("endpoints")
def endpoints_command() -> None:
    """Add, list, change, test and remove endpoints: where webhooks are sent."""


endpoints_command.add_command(rotate)
endpoints_command.add_command(reseal)


@endpoints_command.command("add")
@click.argument("url")
@click.option("--events", help="Only these types, comma-separated: invoice.paid,invoice.expired.  [default: invoice.*]")
@click.option("--account", "accounts", multiple=True, help="Only this account's events; repeatable.  [default: all]")
@click.option(
    "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Sent with every webhook; repeatable."
)
@click.option(
    "--max-in-flight",
    type=click.IntRange(1, 1000),
    default=100,
    show_default=True,
    help="Webhooks to it side by side, from each worker process.",
)
@acting
@json_option
def add(
    url: str,
    events: str | None,
    accounts: tuple[str, ...],
    headers: tuple[str, ...],
    max_in_flight: int,
    reason: str | None,
    by: str | None,
    as_json: bool,
) -> None:
    """Send every event from now on to URL, signed. The secret is shown this once."""
    from workers.delivery.signature import new_secret
    from workers.store.endpoints import NewEndpoint, list_endpoints
    from workers.store.operate import endpoints

    config, who = settings(), actor(by, reason)
    given, types = _read_headers(headers), _read_types(events)
    check_accounts(config, accounts)
    _check_address(url, config)
    secret, box = new_secret(), open_box(config)
    request = NewEndpoint(url, box.seal(secret), types, box.seal_headers(given), max_in_flight, accounts)
    with open_store(config) as store:
        same = [one for one in store.database.read(list_endpoints) if one.url == url]
        told: dict[str, object] = {"id": _add(store, who, request), "secret": secret, "url": url}
        told |= {"events": types, "accounts": sorted(set(accounts)) or None}
        _tell_added(told, same, as_json=as_json)
        if not endpoints.wait_until_known(store):  # last: an error here must not keep the secret back
            click.echo("a worker is still writing changes that it began before this; they may not be sent", err=True)


def _add(store: Store, who: Actor, request: NewEndpoint) -> str:
    """The new endpoint's id. Raises CommandFailed for unknown types of events."""
    from workers.store.operate import endpoints

    try:
        return endpoints.add(store, who, request)
    except ValueError as error:
        raise CommandFailed(str(error), exit_code=2) from None


@endpoints_command.command("change")
@click.argument("endpoint_id", metavar="ID")
@click.option("--url", help="Where webhooks go from now on; the secret stays.")
@click.option("--events", help="Only these types, comma-separated; invoice.*: every change of an invoice.")
@click.option("--account", "accounts", multiple=True, help="Only this account's events; repeatable.")
@click.option("--all-accounts", is_flag=True, help="The events of every account.")
@click.option(
    "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Instead of all headers it had; repeatable."
)
@click.option("--no-headers", is_flag=True, help="No header of its own.")
@click.option("--max-in-flight", type=click.IntRange(1, 1000), help="Webhooks side by side, from each worker process.")
@acting
@json_option
def change(
    endpoint_id: str,
    url: str | None,
    events: str | None,
    accounts: tuple[str, ...],
    all_accounts: bool,
    headers: tuple[str, ...],
    no_headers: bool,
    max_in_flight: int | None,
    reason: str | None,
    by: str | None,
    as_json: bool,
) -> None:
    """Change an endpoint's settings. What waits for it is sent by the new ones."""
    from workers.store.endpoints import EndpointChanges, find_endpoint
    from workers.store.operate import endpoints

    config, who, changes = settings(), actor(by, reason), EndpointChanges()
    for one, other, said in ((accounts, all_accounts, "--account"), (headers, no_headers, "--header")):
        if one and other:
            raise click.UsageError(f"give {said} or none of it, not both")
    if url is not None:
        _check_address(url, config)
        changes["url"] = url
    if events is not None:
        changes["events"] = _read_types(events)
    if accounts or all_accounts:
        check_accounts(config, accounts)
        changes["accounts"] = accounts
    if headers or no_headers:
        changes["sealed_headers"] = open_box(config).seal_headers(_read_headers(headers))
    if max_in_flight is not None:
        changes["max_in_flight"] = max_in_flight
    if not changes:
        raise click.UsageError("say what is to be different")
    with open_store(config) as store:
        _change(store, who, endpoint_id, changes)
        is_known = endpoints.wait_until_known(store)
        changed = store.database.read(find_endpoint, endpoint_id)
    if as_json and changed is not None:
        print_json(_fields(changed))
    elif not as_json:
        click.echo(f"changed {endpoint_id}")
    if not is_known:
        click.echo("a worker is still writing changes that it began before this; it goes by the old settings", err=True)


def _change(store: Store, who: Actor, endpoint_id: str, changes: EndpointChanges) -> None:
    from workers.store.operate import endpoints

    try:
        known = endpoints.change(store, who, endpoint_id, changes)
    except ValueError as error:
        raise CommandFailed(str(error), exit_code=2) from None
    if not known:
        raise missing_endpoint(endpoint_id)


def _read_types(events: str | None) -> list[str] | None:
    types = None if events is None else [name.strip() for name in events.split(",") if name.strip()]
    if types == []:
        raise click.UsageError("--events names no type of event; leave it out for all of them")
    return types


def _read_headers(lines: tuple[str, ...]) -> dict[str, str]:
    from workers.delivery.webhook import check_headers

    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise click.UsageError("--header must be of the form 'NAME: VALUE'")
        if name.strip().lower() in {known.lower() for known in headers}:
            raise click.UsageError(f"--header {name.strip()} is there twice")
        headers[name.strip()] = value.strip()
    try:
        check_headers(headers)
    except ValueError as error:
        raise CommandFailed(str(error), exit_code=2) from None
    return headers


def _check_address(url: str, config: Settings) -> None:
    from workers.http.address import AddressGuard, AddressRefused

    try:
        asyncio.run(AddressGuard(config.webhook_allow).resolve_and_check(url))
    except AddressRefused as error:
        raise CommandFailed(f"url: {error}{_way_out(str(error))}", exit_code=2) from None


def _way_out(refusal: str) -> str:
    """How an operator may allow the address, where that is possible: the setting, and which processes need it."""
    if "INVOICES_WEBHOOK_ALLOW" in refusal:
        return "; the workers need that setting too"
    is_private = "not a public address" in refusal
    return "; INVOICES_WEBHOOK_ALLOW lists exceptions, for this command and for the workers" if is_private else ""


def _tell_added(told: Mapping[str, object], same: Sequence[Endpoint], *, as_json: bool) -> None:
    if as_json:
        print_json({**told, "same_url": [one.id for one in same]})
        return
    click.echo(f"id      {told['id']}\nsecret  {told['secret']}")
    click.echo(f"the secret is not shown again; try it: invoices endpoints test {told['id']}", err=True)
    if same:
        ids = ", ".join(f"{one.id}{'' if one.disabled_at is None else ' (disabled)'}" for one in same)
        others = "endpoints have" if len(same) > 1 else "endpoint has"
        click.echo(f"{len(same)} other {others} this URL: {ids}; each is sent its events, this one too", err=True)


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
            print_json(_fields(endpoint) | _health(health) | {"breaker": breakers.get(endpoint.id)})
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


def _fields(endpoint: Endpoint) -> dict[str, object]:
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": None if endpoint.events is None else sorted(endpoint.events),
        "accounts": None if endpoint.accounts is None else sorted(endpoint.accounts),
        "headers": endpoint.header_names,  # their values may authorise
        "max_in_flight": endpoint.max_in_flight,
        "created_at": plain(endpoint.created_at),
        "disabled_at": plain(endpoint.disabled_at),
        "disabled_reason": endpoint.disabled_reason,
        "rotated_until": plain(endpoint.rotated_until),
    }


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
