"""What the demo runs on: sandbox, broker, database, the processes of the Procfile, and a receiver of webhooks."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import httpx

from workers.cli.context import ensure_broker, open_store
from workers.cli.demo.home import settle_in
from workers.cli.demo.orders import CALLED_BACK
from workers.cli.errors import CommandFailed
from workers.cli.rotation import open_box
from workers.cli.sandbox_callbacks import name_address
from workers.cli.up import read_processes
from workers.embedded.listening import read_listening
from workers.embedded.sandbox.providers.registry import STAND_INS

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.embedded.sandbox.process import SandboxProcess
    from workers.store.database import Database
    from workers.store.store import Store

PROVIDERS = tuple(each.name for each in STAND_INS)
RECEIVER = "demo"
WORKERS = 2
#: The receiver refuses this many deliveries first, so that the demo shows retries.
REFUSED_DELIVERIES = 5
STOP_SECONDS = 10.0
START_SECONDS = 180.0  #: on a busy machine the imports alone take a minute
#: How long the last callbacks may take.
CALLBACK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Stand:
    """A running demo's parts."""

    config: Settings
    database: Database
    sandbox: SandboxProcess
    http: httpx.Client
    failed: list[BaseException]
    told: threading.Event  #: set once the sandbox knows where the web process takes callbacks
    web: list[str]  #: where the web process listens, the newest last

    def receiver(self) -> dict[str, Any]:
        """What the receiver counted."""
        return dict(self.http.get(self.sandbox.receiver_url(RECEIVER)).raise_for_status().json())

    def calls(self) -> list[dict[str, Any]]:
        """Every create that the sandbox's providers saw."""
        found: list[dict[str, Any]] = []
        for provider in PROVIDERS:
            query = {"provider": provider, "operation": "create", "limit": "0"}
            answer = self.http.get(f"{self.sandbox.control_url}/calls", params=query).raise_for_status().json()
            found += answer["calls"]
        return found

    def callbacks(self) -> dict[str, Any]:
        """What the sandbox has posted, once all of it is answered or given up (or CALLBACK_SECONDS later)."""
        deadline = time.monotonic() + CALLBACK_SECONDS
        while True:
            answer = self.http.get(f"{self.sandbox.control_url}/callbacks", params={"limit": "0"})
            posted: dict[str, Any] = answer.raise_for_status().json()
            if not posted["waiting"] or time.monotonic() > deadline:
                return posted
            time.sleep(0.2)


@contextlib.contextmanager
def raise_stand(home: Path, log: TextIO) -> Iterator[Stand]:
    """Start everything; end all of it again, however the demo ends."""
    from config.logging import configure_logging
    from config.settings import load_settings
    from workers.embedded.sandbox.process import SandboxProcess
    from workers.embedded.valkey import stop_valkey
    from workers.store.schema import upgrade

    with contextlib.ExitStack() as parts:
        sandbox = parts.enter_context(SandboxProcess(log=log))
        settle_in(home, sandbox.url, PROVIDERS)
        config = load_settings()
        configure_logging("json", "info", log)
        config.secret_keys()
        parts.callback(stop_valkey, home)
        ensure_broker(config)
        upgrade(config.database_url)
        store = parts.enter_context(open_store(config))
        http = parts.enter_context(httpx.Client(trust_env=False, timeout=60))
        _add_receiver(config, store, sandbox, http)
        stand = Stand(config, store.database, sandbox, http, [], threading.Event(), [])
        parts.enter_context(_supervised(lambda line: _take_line(stand, log, line), stand.failed))
        _await_callbacks(stand)
        yield stand


def _take_line(stand: Stand, log: TextIO, line: str) -> None:
    """A line of the processes' log. The web process takes a free port and says which, after every start."""
    print(line, file=log, flush=True)
    url = read_listening(line)
    if url is None:
        return
    stand.web.append(url)
    if all(name_address(stand.sandbox.control_url, name, f"{url}/callbacks/{name}") for name in CALLED_BACK):
        stand.told.set()
    else:
        stand.failed.append(CommandFailed("the sandbox does not take the address for callbacks"))


def _await_callbacks(stand: Stand) -> None:
    """Return when callbacks have somewhere to go. Raises CommandFailed."""
    deadline = time.monotonic() + START_SECONDS
    while not stand.told.wait(0.1):
        raise_failure(stand)
        if time.monotonic() > deadline:
            raise CommandFailed(f"the web process did not start within {START_SECONDS:g} s: see its log")


def _add_receiver(config: Settings, store: Store, sandbox: SandboxProcess, http: httpx.Client) -> None:
    from workers.cli.actor import actor
    from workers.delivery.signature import new_secret
    from workers.store.endpoints import NewEndpoint
    from workers.store.operate.endpoints import add

    secret, url = new_secret(), sandbox.receiver_url(RECEIVER)
    http.post(f"{url}/secret", json={"secret": secret}).raise_for_status()
    http.post(f"{url}/faults", json={"status": 500, "times": REFUSED_DELIVERIES, "once": True}).raise_for_status()
    add(store, actor(None, "the demo's receiver"), NewEndpoint(url, open_box(config).seal(secret)))


@contextlib.contextmanager
def _supervised(log: Callable[[str], None], failed: list[BaseException]) -> Iterator[None]:
    """The Procfile's processes, supervised by a thread for as long as the block runs."""
    from workers.embedded.supervisor import Supervisor

    supervisor = Supervisor(read_processes(WORKERS), log=log, stop_timeout_seconds=STOP_SECONDS)

    def run() -> None:
        try:
            supervisor.run()
        except Exception as error:  # noqa: BLE001 - handed to the demo, which then ends
            failed.append(error)

    thread = threading.Thread(target=run, name="supervisor")
    thread.start()
    try:
        yield
    finally:
        supervisor.stop()
        thread.join()


def raise_failure(stand: Stand) -> None:
    """Raises CommandFailed when the processes could not be started."""
    for error in stand.failed:
        raise CommandFailed(str(error)) from error
