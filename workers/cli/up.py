"""`invoices up`: everything on this machine, in one terminal."""

from __future__ import annotations

import dataclasses
import errno
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import click

from workers.cli.console_link import say_way_in
from workers.cli.context import settings
from workers.cli.errors import CommandFailed
from workers.cli.sandbox_callbacks import callback_paths, callback_urls, is_at_sandbox, name_address
from workers.cli.up_readiness import Readiness, what_to_try
from workers.embedded.home import make_home
from workers.embedded.listening import read_listening
from workers.embedded.sole_up import kept_valkey, sole_up
from workers.shipped import ROOT

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.embedded.procfile import ProcessSpec
    from workers.embedded.prometheus import EmbeddedPrometheus

PROCFILE = ROOT / "Procfile"
WORKER_NODE = "worker@%h"
CELERY = (sys.executable, "-P", "-m", "workers.cli.celery")
RULES = ROOT / "deploy" / "observability"
FREE_METRICS_PORT = "9400+"
SANDBOX_STATE = "sandbox.db"  #: in the home: a sandbox that is started again knows its invoices


@click.command("up")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Worker processes.")
@click.option("--sandbox/--no-sandbox", default=True, help="Serve the sandbox providers, if an account points at them.")
@click.option("--observe", is_flag=True, help="Start a Prometheus too, where one is installed.")
def up_command(workers: int, sandbox: bool, observe: bool) -> int:
    """Start and supervise all processes of the Procfile on this machine; Ctrl-C stops.

    Without settings that is: a Valkey, SQLite and the sandbox providers. A process that ends is started again.
    """
    from config.logging import configure_logging

    config = settings(need_keys=True)
    configure_logging(config.log_format, config.log_level)
    config.secret_keys()  # creates the key before several processes try to
    with ExitStack() as ends:
        if config.embedded_broker or config.embedded_database:
            ends.enter_context(sole_up(config.home))
        has_sandbox = sandbox and points_at_sandbox(config)
        require_free_ports(config, has_sandbox=has_sandbox)
        if config.embedded_broker:
            ends.enter_context(kept_valkey(config.home))
        return _run(
            config, workers, has_sandbox=has_sandbox, prometheus=embedded_prometheus(config) if observe else None
        )


def _run(config: Settings, workers: int, *, has_sandbox: bool, prometheus: EmbeddedPrometheus | None) -> int:
    from workers.embedded.supervisor import supervise
    from workers.store.schema import upgrade

    upgrade(config.database_url)
    ports = metrics_ports(config, asked_for=prometheus is not None)
    processes = read_processes(workers, log_format_for_children(config) | ports)
    if has_sandbox:
        processes.insert(0, sandbox_process(config))
    text, pass_on = what_to_try(config, at_sandbox=has_sandbox), (has_sandbox and take_lines(config)) or print_line
    in_words = "console" in (config.log_format, *log_format_for_children(config).values())
    way_in = partial(say_way_in, config) if "console" in config.web_serve else None
    if prometheus is None:
        return supervise(processes, log=Readiness(processes, text, pass_on, in_words=in_words, way_in=way_in).take)
    processes.append(prometheus.process())
    text = f"{text}\nPrometheus: {prometheus.url}"
    readiness = Readiness(processes, text, pass_on, in_words=in_words, way_in=way_in)

    def take(line: str) -> None:
        prometheus.take(line)
        readiness.take(line)

    return supervise(processes, log=take)


def embedded_prometheus(config: Settings) -> EmbeddedPrometheus | None:
    """None, with a note on standard error, when no Prometheus is installed."""
    from workers.embedded.prometheus import EmbeddedPrometheus, free_port, is_installed

    if not is_installed():
        print("No Prometheus is installed (apt-get install prometheus): going on without.", file=sys.stderr)
        return None
    return EmbeddedPrometheus(config.home, sorted(RULES.glob("*.rules.yaml")), free_port())


def metrics_ports(config: Settings, *, asked_for: bool) -> dict[str, str]:
    """Settings that let each process take a free port for its metrics, from the one on that is set: they are several on
    this machine, and a port is one's."""
    port = config.metrics_port
    if port.number:
        return {} if port.or_next else {"INVOICES_METRICS_PORT": f"{port.number}+"}
    return {"INVOICES_METRICS_PORT": FREE_METRICS_PORT} if asked_for else {}


def print_line(line: str) -> None:
    """One line of the merged log, at once."""
    print(line, flush=True)


def log_format_for_children(config: Settings) -> dict[str, str]:
    """The setting that children need to log for a terminal: they write into pipes, which end on ours."""
    if config.log_format is None and sys.stdout.isatty():
        return {"INVOICES_LOG_FORMAT": "console"}
    return {}


def require_free_ports(config: Settings, *, has_sandbox: bool) -> None:
    """Raise CommandFailed for a port that is in use, naming the setting that changes it."""
    wanted = [("the web process", config.web_host, config.web_port, "INVOICES_WEB_PORT")]
    if has_sandbox:
        wanted.append(("the sandbox", "127.0.0.1", config.sandbox_port, "INVOICES_SANDBOX_PORT"))
    for who, host, port, setting in wanted:
        if port and not _is_free(host, port):
            raise CommandFailed(
                f"port {port}, where {who} is to listen, is in use: set {setting} to another, or free it"
            )


def _is_free(host: str, port: int) -> bool:
    """Whether the port is free. The process that listens reports what else is wrong with the address."""
    bare = host.strip("[]")
    try:
        socket.create_server((bare, port), family=socket.AF_INET6 if ":" in bare else socket.AF_INET).close()
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    return True


def read_processes(workers: int, env: Mapping[str, str] | None = None) -> list[ProcessSpec]:
    """The Procfile's processes; ``workers`` times ``worker``, each with a node name of its own."""
    from workers.embedded.procfile import read_procfile

    if not PROCFILE.is_file():
        raise CommandFailed(
            f"there is no {PROCFILE}: install invoices anew, from its wheel or in a clone by make .venv"
        )
    processes: list[ProcessSpec] = []
    for named in read_procfile(PROCFILE):
        spec = dataclasses.replace(named, argv=from_anywhere(named.argv), env={**named.env, **(env or {})})
        if spec.name != "worker" or workers == 1:
            processes.append(spec)
            continue
        for number in range(1, workers + 1):
            argv = tuple(part.replace(WORKER_NODE, f"worker{number}@%h") for part in spec.argv)
            processes.append(dataclasses.replace(spec, name=f"worker{number}", argv=argv))
    return processes


def from_anywhere(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The command, which works in a folder that has modules of our names too."""
    return (*CELERY, *argv[1:]) if argv[0] == "celery" else argv


def points_at_sandbox(config: Settings) -> bool:
    """Whether an account's address is the sandbox's port on this machine."""
    return any(is_at_sandbox(account, config) for account in config.accounts.values())


def sandbox_process(config: Settings) -> ProcessSpec:
    """The process of the sandbox's providers and receivers; callbacks go to the web process."""
    from workers.embedded.procfile import ProcessSpec

    argv = [sys.executable, "-P", "-m", "workers.embedded.sandbox", "--port", str(config.sandbox_port)]
    make_home(config.home)
    argv += ["--state", str(config.home / SANDBOX_STATE)]
    for name, url in callback_urls(config).items():
        argv += ["--callback-url", f"{name}={url}"]
    return ProcessSpec("sandbox", tuple(argv))


def take_lines(config: Settings) -> Callable[[str], None] | None:
    """Prints the log and tells the sandbox the web process's free port; None: there is nothing to tell."""
    paths = callback_paths(config)
    if not paths or config.web_port:
        return None
    control = f"http://127.0.0.1:{config.sandbox_port}/control"

    def take(line: str) -> None:
        print_line(line)
        url = read_listening(line)
        for name, path in paths.items() if url is not None else ():
            # In a thread: the sandbox may still be starting, and the log must not wait for it.
            threading.Thread(target=name_address, args=(control, name, f"{url}{path}"), daemon=True).start()

    return take
