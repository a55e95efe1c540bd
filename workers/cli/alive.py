"""`invoices alive`: whether the process here answers and its loops turn, for a container's health check."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

import click

from workers.cli.context import settings_to_read
from workers.cli.errors import CommandFailed
from workers.embedded.listening import EVERYWHERE

if TYPE_CHECKING:
    from config.settings import Settings

#: A pump is given five seconds to answer in, and a busy machine some more.
ANSWER_SECONDS = 15.0


@click.command("alive")
def alive_command() -> None:
    """Say whether the process here is alive, for a container's health check: exit code 0 if it answers and turns.

    Intake, worker and beat are asked at INVOICES_METRICS_PORT, web at INVOICES_WEB_PORT. Only what a restart mends
    counts: never a broker, a database or a provider that is away, nor a refused key (`invoices health` says that).
    """
    tried = []
    for host, port in _places(settings_to_read()):
        try:
            status, said = _ask(host, port)
        except ConnectionRefusedError:
            tried.append(f"{host}:{port}")
            continue
        except (OSError, HTTPException, ValueError) as error:
            raise CommandFailed(f"{host}:{port} does not answer: {type(error).__name__}") from None
        if status != 200:
            raise CommandFailed(f"{host}:{port} answers {status}: {said}")
        click.echo(f"alive: {host}:{port}")
        return
    raise CommandFailed(f"nobody listens on {' or '.join(tried)} (INVOICES_METRICS_PORT, INVOICES_WEB_PORT)")


def _places(config: Settings) -> Iterator[tuple[str, int]]:
    """Where a process of each role says so. In a container only one of them listens."""
    if config.metrics_port.number:
        yield "127.0.0.1", config.metrics_port.number
    if config.web_port:
        host = config.web_host.strip("[]")
        yield EVERYWHERE.get(host, host).strip("[]"), config.web_port


def _ask(host: str, port: int) -> tuple[int, str]:
    """The status, and the loops that don't turn or what else was said."""
    connection = HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/health/live", headers={"Host": "localhost"})
        answer = connection.getresponse()
        content = json.loads(answer.read(10_000))
    finally:
        connection.close()
    loops = content.get("loops", []) if isinstance(content, dict) else []
    return answer.status, f"stuck: {', '.join(map(str, loops))}" if loops else "no reason was given"
