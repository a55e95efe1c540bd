"""Hosts with our processes on them: intake and worker each, web on every other one, beat on the first."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.ground import ROOT, SECRET, order_fields
from tests.bench.processes import BIN, READY, Processes, message, push, wait_until
from tests.hosts.network import HUB, host_name, inside
from tests.hosts.servers import VALKEY_PORT, Servers
from workers.delivery.secretbox import SecretBox, new_key
from workers.embedded.procfile import read_procfile
from workers.store.database import Database
from workers.store.endpoints import NewEndpoint, add_endpoint
from workers.store.store import Store

INTAKE = "invoices.intake"
#: Two accounts at the same provider: what many orders of one do to the other.
ACCOUNTS = ("shop", "small")


class Crew:
    """The hosts that run, over one database."""

    def __init__(self, key: str, servers: Servers, database_url: str, folder: Path, delay_ms: int) -> None:
        self._key, self.servers, self._folder = key, servers, folder
        self._database_url = database_url
        self._secret_key = new_key()
        self._environment = self._settings(delay_ms)
        self._hosts: dict[int, tuple[contextlib.ExitStack, Processes]] = {}
        self._commands = {spec.name: spec.argv for spec in read_procfile(ROOT / "Procfile")}

    def _settings(self, delay_ms: int) -> dict[str, str]:
        account = {
            "provider": "nebulox",
            "base_url": f"http://{HUB}:{self.servers.port}/d{delay_ms}",
            "api_key": "bench-key-000000",
        }
        redis_url = f"redis://{HUB}:{VALKEY_PORT}"
        return {
            "INVOICES_DATABASE_URL": self._database_url,
            "INVOICES_BROKER_URL": f"{redis_url}/0",
            "INVOICES_REDIS_URL": f"{redis_url}/1",
            "INVOICES_ACCOUNTS": json.dumps(dict.fromkeys(ACCOUNTS, account)),
            "INVOICES_SECRET_KEY": self._secret_key,
            "INVOICES_WEBHOOK_ALLOW": f"{HUB}:{self.servers.port}",
            "INVOICES_LOG_FORMAT": "json",
        }

    def subscribe(self, plain_url: str) -> None:
        """Point an endpoint at the receiver."""
        store = Store(Database(plain_url, pool_size=1), {}, lambda _: None)
        sealed = SecretBox([self._secret_key]).seal(SECRET)
        with store.database.transaction() as connection:
            new = NewEndpoint(f"http://{HUB}:{self.servers.port}/hook", sealed, max_in_flight=100)
            add_endpoint(connection, "ep_hosts", new, store.database.now(connection))
        store.close()

    @contextlib.contextmanager
    def hosts(self, *numbers: int) -> Iterator[None]:
        """These hosts, for the length of the block."""
        try:
            for number in numbers:
                self.add(number)
            yield
        finally:
            for number in list(self._hosts):
                self.kill(number)

    def add(self, number: int) -> None:
        """One more host, ready to work."""
        home = self._folder / f"host{number}-{uuid.uuid4().hex[:6]}"
        home.mkdir()
        stack = contextlib.ExitStack()
        processes = stack.enter_context(Processes(home / "logs", self._environment | {"INVOICES_HOME": str(home)}))
        self._hosts[number] = stack, processes
        names = ["intake", "worker"] + ["web"] * (number % 2) + ["beat"] * (number == 1)
        for name in names:
            argv = [part.replace("@%h", f"{number}@%h") for part in self._commands[name]]
            command = inside(host_name(self._key, number), str(BIN / argv[0]), *argv[1:])
            processes.start(name, command, READY.get(name))

    def kill(self, number: int) -> None:
        """A host is gone: none of its processes ends in an orderly way."""
        stack, _ = self._hosts.pop(number)
        stack.close()

    def cpu(self) -> dict[str, float]:
        """Seconds so far of all hosts' processes by kind, and of both servers."""
        used: dict[str, float] = {}
        for _, processes in self._hosts.values():
            for kind, seconds in processes.cpu_seconds().items():
                used[kind] = used.get(kind, 0.0) + seconds
        return used | self.servers.cpu()

    def push(self, count: int, account: str = ACCOUNTS[0]) -> list[str]:
        """Orders into the broker, a message each; their ids."""
        run = uuid.uuid4().hex[:8]
        ids = [f"{run}-{number}" for number in range(count)]
        messages = [message("invoices.create", order_of(one, account), INTAKE) for one in ids]
        push(self.servers.redis, INTAKE, messages)
        return ids

    def waiting(self) -> int:
        """Messages that no intake has taken yet, sorted by account or not."""
        client = self.servers.redis
        return sum(int(client.llen(key)) for key in client.keys(f"{INTAKE}*"))

    def whole_rate(self, count: int) -> float:
        """Invoices a second, from the first message to the last webhook's answer."""
        self.servers.ask("reset", "POST")
        start = time.time()
        self.push(count)
        self.wait_for_hooks(count)
        return float(count / (self.servers.ask("stats")["last_hook_at"] - start))

    def wait_for_hooks(self, count: int) -> None:
        """Until so many different events have come."""
        wait_until(lambda: self.servers.ask("stats")["hooks"] >= count, f"{count} webhooks came")


def order_of(order_id: str, account: str) -> Mapping[str, Any]:
    """An order as a shop would send it."""
    return order_fields(order_id) | {"account": account}


def lost_or_twice(rows: Sequence[tuple[str, int]], ids: Sequence[str]) -> tuple[int, int]:
    """How many of the orders have no invoice, and how many more than one."""
    found = dict(rows)
    return sum(one not in found for one in ids), sum(count > 1 for count in found.values())
