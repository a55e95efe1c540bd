"""`invoices up`: everything on this machine, in one terminal."""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workers.cli.context import ensure_broker, settings
from workers.cli.errors import CommandFailed
from workers.cli.sandbox_callbacks import callback_paths, callback_urls, is_at_sandbox, name_address, read_listening

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.embedded.procfile import ProcessSpec

PROCFILE = Path(__file__).resolve().parents[2] / "Procfile"
WORKER_NODE = "worker@%h"


@click.command("up")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Worker processes.")
@click.option("--sandbox/--no-sandbox", default=True, help="Serve the sandbox providers, if an account points at them.")
def up_command(workers: int, sandbox: bool) -> int:
    """Start and supervise all processes of the Procfile on this machine; Ctrl-C stops.

    Without settings that is: a Valkey, SQLite and the sandbox providers. A process that ends is started again.
    """
    from config.logging import configure_logging
    from workers.embedded.supervisor import supervise
    from workers.embedded.valkey import stop_valkey
    from workers.store.schema import upgrade

    config = settings(need_keys=True)
    configure_logging(config.log_format, config.log_level)
    config.secret_keys()  # made once, before several processes ask for it
    started = ensure_broker(config)
    try:
        upgrade(config.database_url)
        processes = read_processes(workers)
        has_sandbox = sandbox and points_at_sandbox(config)
        if has_sandbox:
            processes.insert(0, sandbox_process(config))
        return supervise(processes, log=take_lines(config) if has_sandbox else None)
    finally:
        if started:
            stop_valkey(config.home)


def read_processes(workers: int, env: Mapping[str, str] | None = None) -> list[ProcessSpec]:
    """The Procfile's processes, ``worker`` as many times as asked for, each with a node name of its own."""
    from workers.embedded.procfile import read_procfile

    if not PROCFILE.is_file():
        raise CommandFailed(f"there is no {PROCFILE}: install the project from its folder (make .venv)")
    processes: list[ProcessSpec] = []
    for spec in read_procfile(PROCFILE):
        spec = dataclasses.replace(spec, env={**spec.env, **(env or {})})  # noqa: PLW2901 - the same one, completed
        if spec.name != "worker" or workers == 1:
            processes.append(spec)
            continue
        for number in range(1, workers + 1):
            argv = tuple(part.replace(WORKER_NODE, f"worker{number}@%h") for part in spec.argv)
            processes.append(dataclasses.replace(spec, name=f"worker{number}", argv=argv))
    return processes


def points_at_sandbox(config: Settings) -> bool:
    """Whether an account's address is the sandbox's port on this machine."""
    return any(is_at_sandbox(account, config) for account in config.accounts.values())


def sandbox_process(config: Settings) -> ProcessSpec:
    """The sandbox providers and the receiver, in a process of their own; their callbacks go to our web process."""
    from workers.embedded.procfile import ProcessSpec

    argv = [sys.executable, "-m", "workers.embedded.sandbox", "--port", str(config.sandbox_port)]
    for name, url in callback_urls(config).items():
        argv += ["--callback-url", f"{name}={url}"]
    return ProcessSpec("sandbox", tuple(argv))


def take_lines(config: Settings) -> Callable[[str], None] | None:
    """Prints the log, and tells the sandbox where the web process listens on a free port; None: nothing to tell."""
    paths = callback_paths(config)
    if not paths or config.web_port:
        return None
    control = f"http://127.0.0.1:{config.sandbox_port}/control"

    def take(line: str) -> None:
        print(line, flush=True)
        url = read_listening(line)
        for name, path in paths.items() if url is not None else ():
            # A thread of its own: the sandbox may still be starting, and the log has to go on.
            threading.Thread(target=name_address, args=(control, name, f"{url}{path}"), daemon=True).start()

    return take
