"""`invoices console-link`: a link that signs in to the console of this machine, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from workers.cli.actor import acting, actor
from workers.cli.context import open_store, settings
from workers.cli.errors import CommandFailed
from workers.cli.output import json_option, plain, print_json
from workers.cli.sandbox_callbacks import local_web_url

if TYPE_CHECKING:
    from config.settings import Settings


@click.command("console-link")
@acting
@json_option
def console_link_command(reason: str | None, by: str | None, as_json: bool) -> None:
    """Print a link that signs you in to the console as an admin: once, and within ten minutes.

    On the embedded default only: whoever can read its files may do anything there.
    """
    from workers.store.operate.sessions import add_link

    config, who = settings(), actor(by, reason)
    if not config.embedded:
        raise CommandFailed(
            "a link works on the embedded default only; here people have names: invoices users add NAME --role ROLE"
        )
    if "console" not in config.web_serve:
        raise CommandFailed("INVOICES_WEB_SERVE: the web process serves no console here")
    url = local_web_url(config)
    if url is None:
        raise CommandFailed("INVOICES_WEB_PORT is 0: where the web process listens is told by its log only")
    with open_store(config) as store:
        secret, ends_at = add_link(store, who)
    link = link_at(url, secret)
    if as_json:
        print_json({"url": link, "ends_at": plain(ends_at)})
    else:
        click.echo(link)


def link_at(url: str, secret: str) -> str:
    """The address of a link's page."""
    return f"{url}/console/link?key={secret}"


def say_way_in(config: Settings, url: str) -> str:
    """Where the console of the web process at ``url`` is; on the embedded default a new link that signs in."""
    from workers.store.database import ANY_FAILURE
    from workers.store.operate.sessions import add_link

    if not config.embedded:
        return f"The console: {url}/console/"
    try:
        with open_store(config) as store:
            secret, _ = add_link(store, actor(None, None))
    except ANY_FAILURE:
        return f"The console: {url}/console/ (a link that signs you in: invoices console-link)"
    return f"The console; this link signs you in once, within ten minutes:\n  {link_at(url, secret)}"
