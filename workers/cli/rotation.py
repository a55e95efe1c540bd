"""`invoices endpoints rotate|reseal`: an endpoint's secret, and the key that seals all of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from workers.cli.actor import acting, actor
from workers.cli.context import open_store, settings
from workers.cli.errors import missing_endpoint
from workers.cli.output import json_option, plain, print_json
from workers.cli.text import shown

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.delivery.secretbox import SecretBox


def open_box(config: Settings) -> SecretBox:
    """Seals and opens endpoints' secrets and headers. Raises SettingsError without a usable key."""
    from workers.delivery.secretbox import SecretBox

    return SecretBox([key.get_secret_value() for key in config.secret_keys()])


@click.command("rotate")
@click.argument("endpoint_id", metavar="ID")
@click.option(
    "--keep-hours",
    type=click.IntRange(0, 168),
    default=24,
    show_default=True,
    help="How long the old secret signs too; 0: no longer.",
)
@acting
@json_option
def rotate(endpoint_id: str, keep_hours: int, reason: str | None, by: str | None, as_json: bool) -> None:
    """Give an endpoint a new secret, shown this once. For a while webhooks are signed with the old one too."""
    from workers.delivery.signature import new_secret
    from workers.store.operate import secrets

    config, who = settings(), actor(by, reason)
    secret = new_secret()
    request = secrets.Rotation(endpoint_id, open_box(config).seal(secret), timedelta(hours=keep_hours))
    with open_store(config) as store:
        until = secrets.rotate(store, who, request)
    if until is None:
        raise missing_endpoint(endpoint_id)
    if as_json:
        print_json({"id": endpoint_id, "secret": secret, "old_secret_until": plain(until)})
        return
    click.echo(f"id      {endpoint_id}\nsecret  {secret}")
    signs = f"signs until {shown(until)} UTC" if keep_hours else "signs no more"
    click.echo(f"the secret is not shown again; the old one {signs}", err=True)


@click.command("reseal")
@acting
@json_option
def reseal(reason: str | None, by: str | None, as_json: bool) -> None:
    """Seal all secrets and header values with the first key of INVOICES_SECRET_KEY, so that the others can go."""
    from workers.store.operate import secrets

    config, who = settings(), actor(by, reason)
    box = open_box(config)
    with open_store(config) as store:
        count = secrets.reseal(store, who, box.renew, box.renew_headers)
    if as_json:
        print_json({"endpoints": count})
    else:
        click.echo(f"the secrets and headers of {count} endpoints are sealed with the first key")
