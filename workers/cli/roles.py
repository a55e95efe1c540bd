"""`invoices intake`, `worker`, `beat`: one process of the Procfile, where something else supervises it."""

from __future__ import annotations

import os
import sys

import click

from workers.cli.errors import CommandFailed

PASSED_ON = {"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]}


def _command(role: str, does: str) -> click.Command:
    @click.command(role, context_settings=PASSED_ON, help=does)
    @click.argument("celery_options", nargs=-1, type=click.UNPROCESSED)
    def command(celery_options: tuple[str, ...]) -> None:
        become(role, celery_options)

    return command


def become(role: str, more: tuple[str, ...]) -> None:
    """Replace this process by the one of the Procfile: signals then reach it, and no other process stands between."""
    from workers.cli.up import CELERY, read_processes

    lines = {spec.name: spec.argv for spec in read_processes(workers=1)}
    line = lines.get(role, ())
    if line[: len(CELERY)] != CELERY:
        raise CommandFailed(f"the Procfile has no line `{role}: celery …`")
    sys.stdout.flush()
    os.execv(sys.executable, [*line, *more])  # noqa: S606 - no shell is wanted


MORE = "Further options are Celery's, such as `-c 4`, and come after those of the Procfile."
intake_command = _command("intake", f"Take orders from the queue, until SIGTERM. {MORE}")
worker_command = _command("worker", f"Call providers, watch invoices, deliver webhooks, until SIGTERM. {MORE}")
beat_command = _command("beat", f"Wake the workers every 5 s, until SIGTERM. {MORE}")
