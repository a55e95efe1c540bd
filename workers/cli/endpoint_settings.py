"""`invoices endpoints add` and `change`: what an endpoint is to be like."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from workers.cli.actor import acting, actor
from workers.cli.context import open_store, settings
from workers.cli.errors import CommandFailed, missing_endpoint
from workers.cli.output import json_option, plain, print_json
from workers.cli.rotation import open_box
from workers.cli.tokens import check_accounts

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.acts import Actor
    from workers.store.endpoints import Endpoint, EndpointChanges, NewEndpoint
    from workers.store.store import Store


@click.command("add")
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


class Given(TypedDict):
    """The options of `change`."""

    url: str | None
    events: str | None
    accounts: tuple[str, ...]
    all_accounts: bool
    headers: tuple[str, ...]
    no_headers: bool
    max_in_flight: int | None


@click.command("change")
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
def change(endpoint_id: str, reason: str | None, by: str | None, as_json: bool, **given: Unpack[Given]) -> None:
    """Change an endpoint's settings. What waits for it is sent by the new ones."""
    from workers.store.endpoints import find_endpoint
    from workers.store.operate import endpoints

    config, who = settings(), actor(by, reason)
    changes = _changes(config, given)
    with open_store(config) as store:
        _change(store, who, endpoint_id, changes)
        is_known = endpoints.wait_until_known(store)
        changed = store.database.read(find_endpoint, endpoint_id)
    if as_json and changed is not None:
        print_json(fields_of(changed))
    elif not as_json:
        click.echo(f"changed {endpoint_id}")
    if not is_known:
        click.echo("a worker is still writing changes that it began before this; it goes by the old settings", err=True)


def _changes(config: Settings, given: Given) -> EndpointChanges:
    """What is to be different. Raises UsageError if that is nothing, or two things at once."""
    from workers.store.endpoints import EndpointChanges

    if (given["accounts"] and given["all_accounts"]) or (given["headers"] and given["no_headers"]):
        raise click.UsageError("give --account or --all-accounts, and --header or --no-headers, not both")
    changes = EndpointChanges()
    if given["url"] is not None:
        _check_address(given["url"], config)
        changes["url"] = given["url"]
    if given["events"] is not None:
        changes["events"] = _read_types(given["events"])
    if given["accounts"] or given["all_accounts"]:
        check_accounts(config, given["accounts"])
        changes["accounts"] = given["accounts"]
    if given["headers"] or given["no_headers"]:
        changes["sealed_headers"] = open_box(config).seal_headers(_read_headers(given["headers"]))
    if given["max_in_flight"] is not None:
        changes["max_in_flight"] = given["max_in_flight"]
    if not changes:
        raise click.UsageError("say what is to be different")
    return changes


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


def fields_of(endpoint: Endpoint) -> dict[str, object]:
    """An endpoint's settings as JSON: of its headers, the names only."""
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
