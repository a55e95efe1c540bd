"""`invoices web`: callbacks, the HTTP interface, the console, health and metrics."""

from __future__ import annotations

import click

from workers.cli.context import settings


@click.command("web")
def web_command() -> None:
    """Serve providers' callbacks, the HTTP interface, the console, health and metrics until SIGTERM or Ctrl-C.

    Where: INVOICES_WEB_HOST and INVOICES_WEB_PORT (0: a free one, printed).
    """
    from config.logging import configure_logging
    from workers.cli.errors import CommandFailed
    from workers.web.process import run
    from workers.web.server import CannotListen

    config = settings(need_keys=True)
    configure_logging(config.log_format, config.log_level)
    try:
        run(config, lambda url: click.echo(f"listening on {url}/"))
    except CannotListen as error:
        raise CommandFailed(str(error)) from None
